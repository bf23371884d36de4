/*
 * filter.c: the label-noise filter, which excludes feedback labels that are probably wrong.
 *
 * Feedback corrects errors.  So a label is not suspect just because the live model contradicts it: the image may be
 * in a style that the model has yet to learn.  A label is probably wrong if neither the live model nor the rest of
 * the feedback supports it.  Before a run trains, the feedback images are therefore split into two folds.  For each
 * fold a copy of the live model is tuned quickly, on base data and on the corrections in the other fold.  It then
 * predicts the images of the fold.  A consistent style that a copy learns in one fold helps in the other.  A mistake
 * does not (cross-fitting, as in confident learning: Northcutt, Jiang and Chuang 2021).
 *
 * The support for a label is measured against base images of the validation split, which no annotator can influence.
 * Suppose that an image is labelled 9, and that the copy finds 4 the most probable of the other digits.  If the image
 * does show a 4, the copy gives it about as high a probability of being a 9 as it gives other images of a 4.  So the
 * copy also predicts base images that show a 4.  The p-value of the hypothesis that the image shows a 4 is the
 * fraction of these that get at least the same probability of being a 9 (conformal prediction: Vovk, Gammerman and
 * Shafer 2005).  The live model gives a second p-value.  Mistakes that an annotator repeats do teach the copies
 * something.  But they raise the probabilities of base images as much as those of feedback images, so the p-value
 * stays the same.
 *
 * Confirmations of easy images have no effect here.  A copy is tuned on at most as many confirmations as corrections,
 * those that the live model is least sure of, and only corrections can be excluded.  SQL decides which labels are
 * excluded: mnist_internal.filter_labels.
 *
 * The quick fits have processes of their own, which load a part of the base data only.  Their seed is fixed, so the
 * data, the live model and the number of processes determine which labels are excluded.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/memutils.h"

#include "pg/rows.h"
#include "pg/spi.h"
#include "train/commands.h"
#include "train/filter.h"
#include "train/record.h"
#include "train/steps.h"

#define FILTER_MIN_IMAGES 20	 /* of feedback: with fewer the filter does nothing */
#define FILTER_BASE_IMAGES 10000 /* about as many base images to train on, and references, at most */
#define FILTER_MIN_STEPS 20
#define FILTER_MAX_STEPS 60
#define FILTER_CHECK_STEPS 10	  /* between two checks that the run is still on record */
#define FILTER_FEEDBACK_SHARE 0.3 /* of each batch, at most */
#define FILTER_REPEATS 12		  /* how often a fit shows an image, at most */

/*
 * The probabilities that a model gives base images: given[i][j] lists those of digit j for the n[i] images that show
 * digit i, in ascending order.
 */
typedef struct References
{
	int n[NN_CLASSES];
	float *given[NN_CLASSES][NN_CLASSES];
} References;

/* Count the run's feedback images. */
static int64
count_images(int64 run_id)
{
	int64 images;

	record_begin_run(run_id, "running", WORKER_LOCK_TIMEOUT);
	spi_execute_int8("SELECT count(*) FROM mnist_internal.run_images($1)", run_id);
	images = DatumGetInt64(spi_result(1));
	record_commit();
	return images;
}

static int
compare_floats(const void *a, const void *b)
{
	float left = *(const float *) a;
	float right = *(const float *) b;

	return left < right ? -1 : left > right;
}

/* Collect the predictions of the last TRAINING_WEIGH for the references, from all processes. */
static References *
collect_references(const Workers *workers)
{
	References *references = MemoryContextAllocZero(workers->context, sizeof(References));

	for (int rank = 0; rank < workers->shared->nprocesses; rank++)
		for (int i = 0; i < workers->shared->slots[rank].references; i++)
			references->n[workers_references(workers, rank)[i].label]++;
	for (int c = 0; c < NN_CLASSES; c++)
	{
		for (int given = 0; given < NN_CLASSES; given++)
			references->given[c][given] =
				MemoryContextAlloc(workers->context, sizeof(float) * (references->n[c] + 1));
		references->n[c] = 0;
	}
	for (int rank = 0; rank < workers->shared->nprocesses; rank++)
		for (int i = 0; i < workers->shared->slots[rank].references; i++)
		{
			const TrainingReference *reference = &workers_references(workers, rank)[i];

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
 * The fraction of the base images showing one digit that get at least a given probability of another digit.  The
 * image with the highest probability is not counted: it may be mislabelled itself, and with few images that would
 * matter.
 */
static float
reference_fraction(const References *references, int shown, int given, float probability)
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

/* Compute the support for each label from the predictions of the live model and the two fits for the references. */
static void
measure_support(const Workers *workers, const References *live, References *const fits[TRAINING_FOLDS])
{
	for (int rank = 0; rank < workers->shared->nprocesses; rank++)
	{
		LabelEvidence *evidence = workers_evidence(workers, rank);

		for (int64 i = 0; i < workers_nevidence(workers, rank); i++)
		{
			LabelEvidence *e = &evidence[i];

			e->live_share = reference_fraction(live, e->other_label, e->label, e->live_own);
			e->fit_share = reference_fraction(fits[e->fold], e->other_label, e->label, e->fit_own);
		}
	}
}

/* Pass the evidence to SQL, which excludes labels. */
static void
exclude_labels(int64 run_id, const Workers *workers)
{
	static const Oid types[] = {INT8ARRAYOID,	INT4ARRAYOID,	INT4ARRAYOID,  FLOAT4ARRAYOID,
								FLOAT4ARRAYOID, FLOAT4ARRAYOID, FLOAT4ARRAYOID};
	SpiParameters parameters = {0};
	int64 n = 0;
	int64 at = 0;
	Datum *columns[lengthof(types)];

	for (int rank = 0; rank < workers->shared->nprocesses; rank++)
		n += workers_nevidence(workers, rank);
	record_begin_run(run_id, "running", WORKER_LOCK_TIMEOUT);
	for (int i = 0; i < (int) lengthof(columns); i++)
		columns[i] = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Datum) * (n + 1));
	for (int rank = 0; rank < workers->shared->nprocesses; rank++)
	{
		const LabelEvidence *evidence = workers_evidence(workers, rank);

		for (int64 i = 0; i < workers_nevidence(workers, rank); i++, at++, evidence++)
		{
			columns[0][at] = Int64GetDatum(evidence->feedback_id);
			columns[1][at] = Int32GetDatum(evidence->live_label);
			columns[2][at] = Int32GetDatum(evidence->other_label);
			columns[3][at] = Float4GetDatum(evidence->fit_other);
			columns[4][at] = Float4GetDatum(evidence->fit_own);
			columns[5][at] = Float4GetDatum(evidence->fit_share);
			columns[6][at] = Float4GetDatum(evidence->live_share);
		}
	}
	spi_add_int8(&parameters, run_id);
	for (int i = 0; i < (int) lengthof(columns); i++)
		spi_add(&parameters, types[i], make_array(columns[i], (int) n, types[i]));
	spi_execute("SELECT mnist_internal.filter_labels($1, $2, $3, $4, $5, $6, $7, $8)", &parameters);
	record_commit();
}

/* The orders for the processes of the quick fits. */
static TrainingOrders
filter_orders(const TrainingOrders *orders, int64 images)
{
	TrainingOrders filter = {
		.run_id = orders->run_id,
		.processes = orders->processes,
		.memory_kb = orders->memory_kb,
		.sets = TRAINING_ALL_SETS & ~TRAINING_SET_BIT(TRAINING_SET_TEST),
		.base_limit = FILTER_BASE_IMAGES,
		.evidence = images,
		.references = FILTER_BASE_IMAGES,
		.ndatasets = orders->ndatasets,
	};

	memcpy(filter.dataset_ids, orders->dataset_ids, sizeof(filter.dataset_ids));
	return filter;
}

/* Step hook of the quick fits: throw if the run is no longer on record.  They report no progress. */
static void
check_run(void *context, int64 step, const TrainingScore *score)
{
	const Workers *workers = context;

	(void) score;
	if (step % FILTER_CHECK_STEPS == 0)
		record_present(workers->shared->orders.run_id);
}

/*
 * Tune a copy of the live model on the corrections outside a fold, and predict the images in the fold.  Returns NULL
 * if training diverged.  corrections: their number in all folds.
 */
static References *
fit_without(Workers *workers, int fold, int64 corrections)
{
	TrainingShared *shared = workers->shared;
	double batch = shared->hyper.batch_size;
	/* how many images to draw from the deck: it has up to as many confirmations as corrections, see steps_fold */
	double repeats = FILTER_REPEATS * 2.0 * (double) corrections / TRAINING_FOLDS;
	int64 steps = (int64) Min(Max(repeats / (FILTER_FEEDBACK_SHARE * batch), FILTER_MIN_STEPS), FILTER_MAX_STEPS);

	memcpy(workers_vector(workers, TRAINING_VALUES), workers_vector(workers, TRAINING_LIVE),
		   workers->net.nvalues * sizeof(float));
	steps_begin(workers);
	shared->fold = fold;
	workers_command(workers, TRAINING_FOLD);
	shared->feedback_share = Min(FILTER_FEEDBACK_SHARE, repeats / ((double) steps * batch));
	shared->first_step = 0;
	shared->nsteps = shared->all_steps = steps;
	workers_command(workers, TRAINING_STEPS);
	if (shared->diverged)
		return NULL;
	workers_command(workers, TRAINING_WEIGH);
	return collect_references(workers);
}

/* Count the labels that contradict the live model, in the feedback to train on and in the held-out feedback. */
static void
count_corrections(const Workers *workers, int64 *train, int64 *held_out)
{
	*train = *held_out = 0;
	for (int rank = 0; rank < workers->shared->nprocesses; rank++)
	{
		const LabelEvidence *evidence = workers_evidence(workers, rank);

		for (int64 i = 0; i < workers_nevidence(workers, rank); i++)
			if (evidence[i].live_label != evidence[i].label)
				++*(i < workers->shared->slots[rank].totals[TRAINING_SET_FEEDBACK] ? train : held_out);
	}
}

/* Once the samples are loaded: collect the evidence and exclude labels. */
static void
filter_loaded(int64 run_id, Workers *workers)
{
	References *live;
	References *fits[TRAINING_FOLDS];
	int64 train;
	int64 held_out;

	workers->shared->fold = -1;
	workers_command(workers, TRAINING_WEIGH);
	live = collect_references(workers);
	count_corrections(workers, &train, &held_out);
	if (train + held_out == 0)
		return;
	for (int fold = 0; fold < TRAINING_FOLDS; fold++)
		if ((fits[fold] = fit_without(workers, fold, train)) == NULL)
			return;
	measure_support(workers, live, fits);
	exclude_labels(run_id, workers);
}

void
filter_labels(const TrainingOrders *orders, const TrainingParent *parent, const WorkerHome *home, Workers **workers)
{
	int64 images = count_images(orders->run_id);
	TrainingOrders filter = filter_orders(orders, images);
	Hyperparameters hyper;
	int64 totals[TRAINING_NSETS];
	Size bytes;

	if (images < FILTER_MIN_IMAGES)
		return;
	record_phase(orders->run_id, "filtering feedback");
	hyperparameters_init(&hyper, TRAINING_FINE_TUNE);
	nn_net_format(&parent->net, hyper.network, sizeof(hyper.network));
	bytes = steps_bytes(&hyper, &parent->net, &parent->net, workers_count(&filter, hyper.batch_size));
	*workers =
		workers_create(&filter, parent, parent->net.nvalues, hyper.batch_size, bytes, home, COMMANDS_HELPER_MAIN);
	(*workers)->hook = check_run;
	(*workers)->hook_context = *workers;
	(*workers)->shared->loop_bytes = steps_bytes(&hyper, &parent->net, &parent->net, (*workers)->shared->nprocesses);
	workers_load(*workers, NULL, NULL);
	workers_setup(*workers, &hyper, false);
	workers_totals(*workers, totals);
	if (totals[TRAINING_SET_TRAIN] >= TRAINING_MIN_TRAIN &&
		totals[TRAINING_SET_FEEDBACK] + totals[TRAINING_SET_HELD_OUT] >= FILTER_MIN_IMAGES)
		filter_loaded(orders->run_id, *workers);
	workers_end(*workers);
	workers_free(*workers);
	*workers = NULL;
}
