/*
 * training_screen.c: labels that deserve a second opinion.
 *
 * Feedback corrects errors, so that the live model contradicts a label says little: it may be a style that the
 * model has yet to learn.  A wrong label is one that neither the live model nor what the rest of the feedback
 * teaches agrees with.  So, before a run trains, the drawings are split in two; from the live model a copy is tuned
 * quickly on one half, beside base data, and reads the other, and the other way round.  What a consistent style
 * teaches carries over from one half to the other; a mistake does not (cross-fitting, as in confident learning:
 * Northcutt, Jiang and Chuang 2021).  Which labels are then doubted is decided in SQL: mnist_hil_doubt.
 *
 * The quick fits have processes of their own, which see a part of the base data only.  Their seed is fixed: what
 * is doubted follows from the data, the live model and the number of processes.
 */
#include "training_sql.h"

#include "utils/array.h"
#include "utils/memutils.h"

#define SCREEN_MIN_DRAWINGS 20 /* fewer teach too little for a judgement */
#define SCREEN_BASE_IMAGES 10000
#define SCREEN_MIN_STEPS 20
#define SCREEN_MAX_STEPS 60
#define SCREEN_LOOK_STEPS 10	  /* between two looks whether the run is still on record */
#define SCREEN_FEEDBACK_SHARE 0.3 /* of each batch, at most */
#define SCREEN_REPEATS 12		  /* how often a fit shows a drawing, at most */
#define SCREEN_FOLDS 2			  /* as in training_loop_fold */

/* The drawings that the run's feedback to train on comes to, at most. */
static int64
count_drawings(int64 run_id)
{
	Parameters parameters = {0};
	int64 drawings;

	record_begin_run(run_id, "running");
	add_int8(&parameters, run_id);
	execute("SELECT count(*) FROM %s.mnist_run_feedback WHERE run_id = $1 AND split = 'train' AND weight > 0",
			&parameters);
	drawings = DatumGetInt64(result(1));
	record_commit();
	return drawings;
}

/* Have the opinions on the run's feedback weighed, and the labels that are doubted set aside. */
static void
weigh_opinions(int64 run_id, const TrainingCrew *crew)
{
	Parameters parameters = {0};
	int64 n = 0;
	int64 at = 0;
	Datum *columns[5];

	for (int rank = 0; rank < crew->shared->nprocesses; rank++)
		n += crew->shared->slots[rank].totals[TRAINING_SET_FEEDBACK];
	record_begin_run(run_id, "running");
	for (int i = 0; i < (int) lengthof(columns); i++)
		columns[i] = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Datum) * (n + 1));
	for (int rank = 0; rank < crew->shared->nprocesses; rank++)
	{
		const TrainingOpinion *opinion = training_crew_opinions(crew, rank);

		for (int64 i = 0; i < crew->shared->slots[rank].totals[TRAINING_SET_FEEDBACK]; i++, at++, opinion++)
		{
			columns[0][at] = Int64GetDatum(opinion->feedback_id);
			columns[1][at] = Int32GetDatum(opinion->live_label);
			columns[2][at] = Int32GetDatum(opinion->fit_label);
			columns[3][at] = Float4GetDatum(opinion->fit_probability);
			columns[4][at] = Float4GetDatum(opinion->fit_own);
		}
	}
	add_int8(&parameters, run_id);
	add(&parameters, INT8ARRAYOID,
		PointerGetDatum(construct_array(columns[0], (int) n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)));
	for (int i = 1; i < 3; i++)
		add(&parameters, INT4ARRAYOID,
			PointerGetDatum(construct_array(columns[i], (int) n, INT4OID, 4, true, TYPALIGN_INT)));
	for (int i = 3; i < 5; i++)
		add(&parameters, FLOAT4ARRAYOID,
			PointerGetDatum(construct_array(columns[i], (int) n, FLOAT4OID, 4, true, TYPALIGN_INT)));
	execute("SELECT mnist_internal.doubt($1, $2, $3, $4, $5, $6)", &parameters);
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
	screen.sets = TRAINING_SET_BIT(TRAINING_SET_TRAIN) | TRAINING_SET_BIT(TRAINING_SET_FEEDBACK);
	screen.base_limit = SCREEN_BASE_IMAGES;
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
 * Tune a copy of the live model on the drawings outside a fold, and have it read those in the fold; false if that
 * came to nothing.
 */
static bool
fit_without(TrainingCrew *crew, int fold, int64 drawings)
{
	TrainingShared *shared = crew->shared;
	Size bytes = crew->net.nvalues * sizeof(float);
	double batch = shared->options.batch_size;
	double repeats = SCREEN_REPEATS * (double) drawings / SCREEN_FOLDS; /* of all drawings together */
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
		return false;
	training_crew_command(crew, TRAINING_OPINE);
	return true;
}

/* How many labels the live model does not agree with. */
static int64
contradicted(const TrainingCrew *crew)
{
	int64 n = 0;

	for (int rank = 0; rank < crew->shared->nprocesses; rank++)
	{
		const TrainingOpinion *opinions = training_crew_opinions(crew, rank);

		for (int64 i = 0; i < crew->shared->slots[rank].totals[TRAINING_SET_FEEDBACK]; i++)
			n += opinions[i].live_label != opinions[i].label;
	}
	return n;
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
	if (totals[TRAINING_SET_TRAIN] >= TRAINING_MIN_TRAIN && totals[TRAINING_SET_FEEDBACK] >= SCREEN_MIN_DRAWINGS)
	{
		(*crew)->shared->fold = -1;
		training_crew_command(*crew, TRAINING_OPINE);
		if (contradicted(*crew) > 0 && fit_without(*crew, 0, drawings) && fit_without(*crew, 1, drawings))
			weigh_opinions(options->run_id, *crew);
	}
	training_crew_end(*crew);
	training_crew_free(*crew);
	*crew = NULL;
}
