/*
 * training_screen.c: the label-noise filter: labels that deserve a second opinion.
 *
 * Feedback corrects errors, so that the live model contradicts a label says little: it may be a style that the
 * model has yet to learn.  A wrong label is one that neither the live model nor what the rest of the feedback
 * teaches speaks for.  So, before a run trains, the drawings are split in two; from the live model a copy is tuned
 * quickly on what one half corrects, beside base data, and reads the other, and the other way round.  What a
 * consistent style teaches carries over from one half to the other; a mistake does not (cross-fitting, as in
 * confident learning: Northcutt, Jiang and Chuang 2021).
 *
 * What speaks for a label is measured by base images of the validation split, on which no annotator has any
 * influence.  Let a drawing be labelled 9, and let 4 be the digit that the copy finds most probable besides.  If
 * the drawing does show a 4, then its probability of being a 9 is one that images of a 4 have.  So the copy reads
 * base images that show a 4, too: the share of them that it gives a 9 with at least the probability that the
 * drawing has is the p-value of that hypothesis (conformal prediction: Vovk, Gammerman and Shafer 2005).  The live
 * model gives another one.  Mistakes that an annotator makes time and again do teach the copies something, but
 * about base images as much as about the drawings, and so the p-value stays what it was.
 *
 * Confirmations of what is easy to read move nothing here: a copy learns from as many agreeing labels as
 * corrections, the hardest, and the rest is about corrections alone.  Which labels are excluded is decided in SQL:
 * mnist_internal.filter_labels.
 *
 * The quick fits have processes of their own, which see a part of the base data only.  Their seed is fixed: what is
 * excluded follows from the data, the live model and the number of processes.
 */
#include "training_sql.h"

#include "utils/array.h"
#include "utils/memutils.h"

#define SCREEN_MIN_DRAWINGS 20	 /* fewer teach too little for a judgement */
#define SCREEN_BASE_IMAGES 10000 /* to train beside, and as many references at most */
#define SCREEN_MIN_STEPS 20
#define SCREEN_MAX_STEPS 60
#define SCREEN_LOOK_STEPS 10	  /* between two looks whether the run is still on record */
#define SCREEN_FEEDBACK_SHARE 0.3 /* of each batch, at most */
#define SCREEN_REPEATS 12		  /* how often a fit shows a drawing, at most */

/*
 * The probabilities that a model gives base images: given[i][j] has those of digit j on the n[i] images that show
 * digit i, sorted upwards.
 */
typedef struct References
{
	int n[NN_CLASSES];
	float *given[NN_CLASSES][NN_CLASSES];
} References;

/* The drawings that the run's feedback comes to. */
static int64
count_drawings(int64 run_id)
{
	Parameters parameters = {0};
	int64 drawings;

	record_begin_run(run_id, "running", READ_LOCK_TIMEOUT);
	add_int8(&parameters, run_id);
	execute("SELECT count(*) FROM mnist_internal.run_drawings($1)", &parameters);
	drawings = DatumGetInt64(result(1));
	record_commit();
	return drawings;
}

static int
compare_floats(const void *a, const void *b)
{
	float left = *(const float *) a;
	float right = *(const float *) b;

	return left < right ? -1 : left > right;
}

/* What the last TRAINING_OPINE made of the references, over all processes. */
static References *
collect_references(const TrainingCrew *crew)
{
	References *references = MemoryContextAllocZero(crew->context, sizeof(References));

	for (int rank = 0; rank < crew->shared->nprocesses; rank++)
		for (int i = 0; i < crew->shared->slots[rank].references; i++)
			references->n[training_crew_references(crew, rank)[i].label]++;
	for (int c = 0; c < NN_CLASSES; c++)
	{
		for (int given = 0; given < NN_CLASSES; given++)
			references->given[c][given] = MemoryContextAlloc(crew->context, sizeof(float) * (references->n[c] + 1));
		references->n[c] = 0;
	}
	for (int rank = 0; rank < crew->shared->nprocesses; rank++)
		for (int i = 0; i < crew->shared->slots[rank].references; i++)
		{
			const TrainingReference *reference = &training_crew_references(crew, rank)[i];

			for (int given = 0; given < NN_CLASSES; given++)
				references->given[reference->label][given][references->n[reference->label]] =
					reference->probabilities[given];
			references->n[reference->label]++;
		}
	for (int c = 0; c < NN_CLASSES; c++)
		for (int given = 0; given < NN_CLASSES; given++)
			qsort(references->given[c][given], references->n[c], sizeof(float), compare_floats);
	return references;
}

/*
 * The share of the base images showing a digit that are given another one with a probability at least.  The one
 * that is given it with the greatest does not count: it may be mislabelled itself, which matters where there are
 * few.
 */
static float
reference_share(const References *references, int shown, int given, float probability)
{
	const float *sorted = references->given[shown][given];
	int low = 0;
	int high = references->n[shown];

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (sorted[middle] < probability)
			low = middle + 1;
		else
			high = middle;
	}
	return (float) Max(references->n[shown] - low - 1, 0) / (float) Max(references->n[shown], 1);
}

/* What speaks for each label, by what the live model and the two fits made of the references. */
static void
measure_opinions(const TrainingCrew *crew, const References *live, References *const fits[TRAINING_FOLDS])
{
	for (int rank = 0; rank < crew->shared->nprocesses; rank++)
	{
		TrainingOpinion *opinions = training_crew_opinions(crew, rank);

		for (int64 i = 0; i < training_crew_nopinions(crew, rank); i++)
		{
			TrainingOpinion *o = &opinions[i];

			o->live_share = reference_share(live, o->other_label, o->label, o->live_own);
			o->fit_share = reference_share(fits[o->fold], o->other_label, o->label, o->fit_own);
		}
	}
}

/* Have the opinions on the run's feedback weighed, and labels excluded. */
static void
weigh_opinions(int64 run_id, const TrainingCrew *crew)
{
	static const Oid types[] = {INT8OID, INT4OID, INT4OID, FLOAT4OID, FLOAT4OID, FLOAT4OID, FLOAT4OID};
	static const Oid array_types[] = {INT8ARRAYOID,	  INT4ARRAYOID,	  INT4ARRAYOID,	 FLOAT4ARRAYOID,
									  FLOAT4ARRAYOID, FLOAT4ARRAYOID, FLOAT4ARRAYOID};
	Parameters parameters = {0};
	int64 n = 0;
	int64 at = 0;
	Datum *columns[lengthof(types)];

	for (int rank = 0; rank < crew->shared->nprocesses; rank++)
		n += training_crew_nopinions(crew, rank);
	record_begin_run(run_id, "running", READ_LOCK_TIMEOUT);
	for (int i = 0; i < (int) lengthof(columns); i++)
		columns[i] = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Datum) * (n + 1));
	for (int rank = 0; rank < crew->shared->nprocesses; rank++)
	{
		const TrainingOpinion *opinion = training_crew_opinions(crew, rank);

		for (int64 i = 0; i < training_crew_nopinions(crew, rank); i++, at++, opinion++)
		{
			columns[0][at] = Int64GetDatum(opinion->feedback_id);
			columns[1][at] = Int32GetDatum(opinion->live_label);
			columns[2][at] = Int32GetDatum(opinion->other_label);
			columns[3][at] = Float4GetDatum(opinion->fit_other);
			columns[4][at] = Float4GetDatum(opinion->fit_own);
			columns[5][at] = Float4GetDatum(opinion->fit_share);
			columns[6][at] = Float4GetDatum(opinion->live_share);
		}
	}
	add_int8(&parameters, run_id);
	for (int i = 0; i < (int) lengthof(columns); i++)
	{
		bool wide = types[i] == INT8OID;

		add(&parameters, array_types[i],
			PointerGetDatum(construct_array(columns[i], (int) n, types[i], wide ? 8 : 4,
											wide ? FLOAT8PASSBYVAL : true, wide ? TYPALIGN_DOUBLE : TYPALIGN_INT)));
	}
	execute("SELECT mnist_internal.filter_labels($1, $2, $3, $4, $5, $6, $7, $8)", &parameters);
	record_commit();
}

/* What the quick fits go by. */
static TrainingOptions
screen_options(const TrainingOptions *options, const TrainingParent *parent, int64 drawings)
{
	TrainingOptions screen;

	training_options_init(&screen, TRAINING_FINE_TUNE);
	nn_net_format(&parent->net, screen.network, sizeof(screen.network));
	screen.processes = options->processes;
	screen.memory_kb = options->memory_kb;
	screen.run_id = options->run_id;
	screen.ndatasets = options->ndatasets;
	memcpy(screen.dataset_ids, options->dataset_ids, sizeof(screen.dataset_ids));
	screen.sets = TRAINING_ALL_SETS & ~TRAINING_SET_BIT(TRAINING_SET_TEST);
	screen.base_limit = screen.references = SCREEN_BASE_IMAGES;
	screen.drawings = drawings;
	return screen;
}

/* The quick fits report no progress, but end with the run. */
static void
look_for_run(void *context, int64 step, const TrainingScore *score)
{
	const TrainingCrew *crew = context;

	(void) score;
	if (step % SCREEN_LOOK_STEPS == 0)
		record_present(crew->shared->options.run_id);
}

/*
 * Tune a copy of the live model on what the feedback outside a fold corrects, so many labels in all folds, and have
 * it read the drawings in the fold; NULL if that came to nothing.
 */
static References *
fit_without(TrainingCrew *crew, int fold, int64 corrections)
{
	TrainingShared *shared = crew->shared;
	Size bytes = crew->net.nvalues * sizeof(float);
	double batch = shared->options.batch_size;
	/* of all drawings of the deck together, which are as many again as the corrections: see training_loop_fold */
	double repeats = SCREEN_REPEATS * 2.0 * (double) corrections / TRAINING_FOLDS;
	int64 steps = (int64) Min(Max(repeats / (SCREEN_FEEDBACK_SHARE * batch), SCREEN_MIN_STEPS), SCREEN_MAX_STEPS);

	memcpy(training_crew_vector(crew, TRAINING_VALUES), training_crew_vector(crew, TRAINING_LIVE), bytes);
	memcpy(training_crew_vector(crew, TRAINING_AVERAGE), training_crew_vector(crew, TRAINING_LIVE), bytes);
	memset(training_crew_vector(crew, TRAINING_MOMENT1), 0, bytes);
	memset(training_crew_vector(crew, TRAINING_MOMENT2), 0, bytes);
	shared->fold = fold;
	training_crew_command(crew, TRAINING_FOLD);
	shared->feedback_share = Min(SCREEN_FEEDBACK_SHARE, repeats / ((double) steps * batch));
	shared->first_step = 0;
	shared->nsteps = shared->all_steps = steps;
	training_crew_command(crew, TRAINING_STEPS);
	if (shared->diverged)
		return NULL;
	training_crew_command(crew, TRAINING_OPINE);
	return collect_references(crew);
}

/* Count the labels that the live model does not agree with: to train on, and held out. */
static void
count_corrections(const TrainingCrew *crew, int64 *train, int64 *held_out)
{
	*train = *held_out = 0;
	for (int rank = 0; rank < crew->shared->nprocesses; rank++)
	{
		const TrainingOpinion *opinions = training_crew_opinions(crew, rank);

		for (int64 i = 0; i < training_crew_nopinions(crew, rank); i++)
			if (opinions[i].live_label != opinions[i].label)
				++*(i < crew->shared->slots[rank].totals[TRAINING_SET_FEEDBACK] ? train : held_out);
	}
}

/* With the samples loaded: have the models read the drawings, and labels excluded. */
static void
screen_labels(int64 run_id, TrainingCrew *crew)
{
	References *live;
	References *fits[TRAINING_FOLDS];
	int64 train;
	int64 held_out;

	crew->shared->fold = -1;
	training_crew_command(crew, TRAINING_OPINE);
	live = collect_references(crew);
	count_corrections(crew, &train, &held_out);
	if (train + held_out == 0)
		return;
	for (int fold = 0; fold < TRAINING_FOLDS; fold++)
		if ((fits[fold] = fit_without(crew, fold, train)) == NULL)
			return;
	measure_opinions(crew, live, fits);
	weigh_opinions(run_id, crew);
}

void
training_screen(const TrainingOptions *options, const TrainingParent *parent, const TrainingHome *home,
				TrainingCrew **crew)
{
	int64 drawings = count_drawings(options->run_id);
	TrainingOptions screen;
	int64 totals[TRAINING_NSETS];
	Size bytes;

	if (drawings < SCREEN_MIN_DRAWINGS)
		return;
	record_phase(options->run_id, "screening feedback");
	screen = screen_options(options, parent, drawings);
	bytes = training_loop_bytes(&screen, &parent->net, &parent->net, training_crew_size(&screen, screen.batch_size));
	*crew = training_crew_create(&screen, parent, parent->net.nvalues, screen.batch_size, bytes, home);
	(*crew)->hook = look_for_run;
	(*crew)->hook_context = *crew;
	(*crew)->shared->loop_bytes =
		training_loop_bytes(&screen, &parent->net, &parent->net, (*crew)->shared->nprocesses);
	training_crew_load(*crew);
	training_crew_setup(*crew, &screen, false);
	training_crew_totals(*crew, totals);
	if (totals[TRAINING_SET_TRAIN] >= TRAINING_MIN_TRAIN &&
		totals[TRAINING_SET_FEEDBACK] + totals[TRAINING_SET_HELD_OUT] >= SCREEN_MIN_DRAWINGS)
		screen_labels(options->run_id, *crew);
	training_crew_end(*crew);
	training_crew_free(*crew);
	*crew = NULL;
}
