/*
 * settings.c: the GUCs mnist_hil.*
 *
 * Settings that govern the server's resources or the records are PGC_SUSET, since an application must not decide
 * them: a superuser sets them with ALTER ROLE ... SET or ALTER DATABASE ... SET, or grants this with GRANT SET ON
 * PARAMETER.  Settings that only affect the caller's own work are PGC_USERSET.
 */
#include "postgres.h"

#include <limits.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "nn/nn.h"
#include "pg/rows.h"
#include "pg/settings.h"

/* Ten models of the default architecture, which take 2.2 MB each when they are unpacked. */
#define SHARED_MEMORY_DEFAULT (24 * 1024) /* kB */
#define SHARED_MEMORY_MIN 1024
#define SHARED_MEMORY_MAX (4 * 1024 * 1024)

/* Decoding takes up to two bytes a pixel, for ink and transparency: 34 MB for the default. */
#define MAX_IMAGE_PIXELS_DEFAULT (16 * 1024 * 1024)
#define MAX_IMAGE_PIXELS_MIN NN_PIXELS
#define MAX_IMAGE_PIXELS_MAX MAX_MAX_IMAGE_PIXELS

#define MAX_IMAGE_BYTES_DEFAULT (1024 * 1024)
#define MAX_IMAGE_BYTES_MIN NN_PIXELS			 /* an image of raw pixels is always allowed */
#define MAX_IMAGE_BYTES_MAX (1024 * 1024 * 1024) /* PostgreSQL's limit for any value */

#define LOG_PREDICTIONS_DEFAULT true

#define FAIL_THRESHOLD_DEFAULT 20 /* wrong predictions of one digit */
#define FAIL_THRESHOLD_MIN 0
#define FAIL_THRESHOLD_MAX 1000000

#define MIN_NEW_LABELS_DEFAULT 50 /* labelled predictions */
#define MIN_NEW_LABELS_MIN 1
#define MIN_NEW_LABELS_MAX 1000000

#define ACCURACY_FLOOR_DEFAULT 0.0 /* off */
#define ACCURACY_FLOOR_MIN 0.0
#define ACCURACY_FLOOR_MAX 1.0

#define DRIFT_THRESHOLD_DEFAULT 0.3 /* fraction of the features */
#define DRIFT_THRESHOLD_MIN 0.0
#define DRIFT_THRESHOLD_MAX 1.0

#define RETRY_DELAY_DEFAULT 300 /* s */
#define RETRY_DELAY_MIN 1
#define RETRY_DELAY_MAX (7 * 24 * 60 * 60)

#define RETRIES 3 /* of a run that fails */

#define KEEP_MODELS_DEFAULT 3
#define KEEP_MODELS_MIN 0
#define KEEP_MODELS_MAX 10000

#define RETENTION_DEFAULT 0 /* min; off */
#define RETENTION_MIN 0
#define RETENTION_MAX (100 * 366 * 24 * 60)

#define RETENTION_BUDGET_DEFAULT (10 * 1000) /* ms */
#define RETENTION_BUDGET_MIN 0
#define RETENTION_BUDGET_MAX (60 * 60 * 1000)

#define NOTIFY_DEFAULT true

#define TRAINING_WORKERS_DEFAULT 2
#define TRAINING_WORKERS_MIN 1
#define TRAINING_WORKERS_MAX 64

#define TRAINING_MEMORY_DEFAULT (512 * 1024) /* kB */
#define TRAINING_MEMORY_MIN (32 * 1024)
#define TRAINING_MEMORY_MAX MAX_KILOBYTES

#define EPOCHS_DEFAULT 0 /* the strategy's own */
#define EPOCHS_MIN 0
#define EPOCHS_MAX MAX_EPOCHS

#define TRIALS_DEFAULT 20 /* as in the stack that this extension replaces */
#define TRIALS_MIN 1
#define TRIALS_MAX 1000

#define ANNOTATOR_SHARE_DEFAULT 0.5
#define ANNOTATOR_SHARE_MIN 0.0
#define ANNOTATOR_SHARE_MAX 1.0

#define ANNOTATOR_LABELS_DEFAULT 500
#define ANNOTATOR_LABELS_MIN 0
#define ANNOTATOR_LABELS_MAX INT_MAX

#define REQUIRE_APPROVAL_DEFAULT false
#define PROBATION_DEFAULT 500
#define PROBATION_MIN 0 /* off */
#define PROBATION_MAX 10000

#define PROBATION_PREDICTIONS_DEFAULT 5000
#define PROBATION_PREDICTIONS_MIN 100
#define PROBATION_PREDICTIONS_MAX 1000000

#define DRIFT_WINDOW_DEFAULT 2000
#define DRIFT_WINDOW_MIN 10
#define DRIFT_WINDOW_MAX 100000

#define DRIFT_WINDOW_AGE_DEFAULT 0 /* any */
#define DRIFT_WINDOW_AGE_MIN 0
#define DRIFT_WINDOW_AGE_MAX (10 * 366 * SECS_PER_DAY)

#define DRIFT_MIN_WINDOW_DEFAULT 100
#define DRIFT_MIN_WINDOW_MIN 10
#define DRIFT_MIN_WINDOW_MAX 100000

#define DRIFT_EFFECT_DEFAULT 0.1 /* population stability index; by convention, less means little change */
#define DRIFT_EFFECT_MIN 0.0
#define DRIFT_EFFECT_MAX 10.0

#define DRIFT_SIGNIFICANCE_DEFAULT 0.005
#define DRIFT_SIGNIFICANCE_MIN 1e-12
#define DRIFT_SIGNIFICANCE_MAX 0.5

#define DRIFT_BREACHES_DEFAULT 3
#define DRIFT_BREACHES_MIN 1
#define DRIFT_BREACHES_MAX 1000

#define DRIFT_COOLDOWN_DEFAULT (60 * 60) /* s */
#define DRIFT_COOLDOWN_MIN 0
#define DRIFT_COOLDOWN_MAX (366 * SECS_PER_DAY)

int mnist_hil_shared_memory = SHARED_MEMORY_DEFAULT;
int mnist_hil_max_image_pixels = MAX_IMAGE_PIXELS_DEFAULT;
int mnist_hil_max_image_bytes = MAX_IMAGE_BYTES_DEFAULT;
bool mnist_hil_log_predictions = LOG_PREDICTIONS_DEFAULT;
int mnist_hil_training_workers = TRAINING_WORKERS_DEFAULT;
int mnist_hil_training_memory = TRAINING_MEMORY_DEFAULT;
int mnist_hil_epochs = EPOCHS_DEFAULT;
int mnist_hil_trials = TRIALS_DEFAULT;
double mnist_hil_annotator_share = ANNOTATOR_SHARE_DEFAULT;
int mnist_hil_annotator_labels = ANNOTATOR_LABELS_DEFAULT;
bool mnist_hil_require_approval = REQUIRE_APPROVAL_DEFAULT;
int mnist_hil_retention_budget = RETENTION_BUDGET_DEFAULT;
int mnist_hil_probation = PROBATION_DEFAULT;
int mnist_hil_probation_predictions = PROBATION_PREDICTIONS_DEFAULT;

/* Settings of the loop: SQL reads them through mnist_hil_settings(). */
static int mnist_hil_fail_threshold = FAIL_THRESHOLD_DEFAULT;
static int mnist_hil_min_new_labels = MIN_NEW_LABELS_DEFAULT;
static double mnist_hil_accuracy_floor = ACCURACY_FLOOR_DEFAULT;
static double mnist_hil_drift_threshold = DRIFT_THRESHOLD_DEFAULT;
static int mnist_hil_retry_delay = RETRY_DELAY_DEFAULT;
static int mnist_hil_keep_models = KEEP_MODELS_DEFAULT;
static int mnist_hil_retention = RETENTION_DEFAULT;
static bool mnist_hil_notify = NOTIFY_DEFAULT;

PG_FUNCTION_INFO_V1(mnist_hil_settings);
int mnist_hil_drift_window = DRIFT_WINDOW_DEFAULT;
int mnist_hil_drift_window_age = DRIFT_WINDOW_AGE_DEFAULT;
int mnist_hil_drift_min_window = DRIFT_MIN_WINDOW_DEFAULT;
double mnist_hil_drift_effect = DRIFT_EFFECT_DEFAULT;
double mnist_hil_drift_significance = DRIFT_SIGNIFICANCE_DEFAULT;
int mnist_hil_drift_breaches = DRIFT_BREACHES_DEFAULT;
int mnist_hil_drift_cooldown = DRIFT_COOLDOWN_DEFAULT;

static void
define_serving(void)
{
	/*
	 * A PGC_POSTMASTER setting can be defined at server start only.  If the library is not preloaded, the setting has
	 * no effect.  It is then defined as PGC_SIGHUP, only so that a line in postgresql.conf does not look like a
	 * mistake.
	 */
	DefineCustomIntVariable(
		"mnist_hil.shared_memory", "Shared memory for models.",
		"All sessions of all databases share one copy of a model. If there is no room, the model that was not used "
		"for "
		"longest is removed, or else each session keeps its own copy. The setting has no effect unless mnist_hil is "
		"in shared_preload_libraries.",
		&mnist_hil_shared_memory, SHARED_MEMORY_DEFAULT, SHARED_MEMORY_MIN, SHARED_MEMORY_MAX,
		process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);

	DefineCustomIntVariable(
		"mnist_hil.max_image_pixels", "Largest image that is accepted, in pixels (width times height).",
		"A larger image is refused before it is decoded. Decoding takes up to two bytes of memory per pixel.",
		&mnist_hil_max_image_pixels, MAX_IMAGE_PIXELS_DEFAULT, MAX_IMAGE_PIXELS_MIN, MAX_IMAGE_PIXELS_MAX, PGC_SUSET,
		0, NULL, NULL, NULL);

	DefineCustomIntVariable("mnist_hil.max_image_bytes", "Largest image that is accepted, in bytes of its file.",
							"A larger image is refused before any of it is read.", &mnist_hil_max_image_bytes,
							MAX_IMAGE_BYTES_DEFAULT, MAX_IMAGE_BYTES_MIN, MAX_IMAGE_BYTES_MAX, PGC_SUSET,
							GUC_UNIT_BYTE, NULL, NULL, NULL);

	DefineCustomBoolVariable(
		"mnist_hil.log_predictions", "Store the predictions of mnist_predict and mnist_predict_batch.",
		"When off, they store nothing and return a null id. Such predictions cannot be corrected.",
		&mnist_hil_log_predictions, LOG_PREDICTIONS_DEFAULT, PGC_SUSET, 0, NULL, NULL, NULL);
}

static void
define_training(void)
{
	DefineCustomIntVariable(
		"mnist_hil.training_workers", "Number of processes of a training run, including the trainer.",
		"They are background workers. A run uses fewer if max_worker_processes does not leave enough free.",
		&mnist_hil_training_workers, TRAINING_WORKERS_DEFAULT, TRAINING_WORKERS_MIN, TRAINING_WORKERS_MAX, PGC_SUSET,
		0, NULL, NULL, NULL);

	DefineCustomIntVariable(
		"mnist_hil.training_memory", "Memory that all processes of a training run may use together.",
		"A run that would need more is refused before it begins.", &mnist_hil_training_memory,
		TRAINING_MEMORY_DEFAULT, TRAINING_MEMORY_MIN, TRAINING_MEMORY_MAX, PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);

	DefineCustomIntVariable("mnist_hil.epochs", "Number of passes of a training run over the training images.",
							"Zero stands for the default of the strategy.", &mnist_hil_epochs, EPOCHS_DEFAULT,
							EPOCHS_MIN, EPOCHS_MAX, PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("mnist_hil.trials", "Number of trials of a hyperparameter search.",
							"It is the default of argument \"trials\" of mnist_retrain(search => true).",
							&mnist_hil_trials, TRIALS_DEFAULT, TRIALS_MIN, TRIALS_MAX, PGC_USERSET, 0, NULL, NULL,
							NULL);
}

static void
define_decision(void)
{
	DefineCustomIntVariable("mnist_hil.fail_threshold",
							"Number of wrong predictions of one digit that call for retraining.",
							"Only labelled predictions count that no completed run has used. There must also be"
							" mnist_hil.min_new_labels new labels. With zero these are enough.",
							&mnist_hil_fail_threshold, FAIL_THRESHOLD_DEFAULT, FAIL_THRESHOLD_MIN, FAIL_THRESHOLD_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("mnist_hil.min_new_labels", "Number of new labels that retraining waits for.",
							"A label is new until a completed run has used it. The accuracy is compared with"
							" mnist_hil.accuracy_floor only if it rests on that many new labels.",
							&mnist_hil_min_new_labels, MIN_NEW_LABELS_DEFAULT, MIN_NEW_LABELS_MIN, MIN_NEW_LABELS_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomRealVariable(
		"mnist_hil.accuracy_floor", "Accuracy on recent labelled predictions below which retraining is called for.",
		"It is between 0 and 1. Zero switches this off.", &mnist_hil_accuracy_floor, ACCURACY_FLOOR_DEFAULT,
		ACCURACY_FLOOR_MIN, ACCURACY_FLOOR_MAX, PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomRealVariable(
		"mnist_hil.drift_threshold", "Fraction of drifted features above which retraining is called for.",
		"It is between 0 and 1. One switches this off.", &mnist_hil_drift_threshold, DRIFT_THRESHOLD_DEFAULT,
		DRIFT_THRESHOLD_MIN, DRIFT_THRESHOLD_MAX, PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("mnist_hil.retry_delay", "Time before mnist_check repeats a run that failed.",
							"Each further repetition waits four times as long.", &mnist_hil_retry_delay,
							RETRY_DELAY_DEFAULT, RETRY_DELAY_MIN, RETRY_DELAY_MAX, PGC_SUSET, GUC_UNIT_S, NULL, NULL,
							NULL);
}

static void
define_keeping(void)
{
	DefineCustomIntVariable(
		"mnist_hil.keep_models", "Number of newest model versions whose weights mnist_prune keeps.",
		"It also keeps the live version, the one before, and others that are in use.", &mnist_hil_keep_models,
		KEEP_MODELS_DEFAULT, KEEP_MODELS_MIN, KEEP_MODELS_MAX, PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("mnist_hil.retention",
							"Time for which unlabelled predictions, events and the trials of runs are kept.",
							"mnist_check deletes older ones in small batches. Zero keeps everything. Feedback and"
							" labelled predictions always stay.",
							&mnist_hil_retention, RETENTION_DEFAULT, RETENTION_MIN, RETENTION_MAX, PGC_SUSET,
							GUC_UNIT_MIN, NULL, NULL, NULL);

	DefineCustomIntVariable("mnist_hil.retention_budget",
							"Time after which mnist_housekeep begins no further batch of deletions.",
							"It commits after each batch. With zero it deletes one batch, as mnist_check does.",
							&mnist_hil_retention_budget, RETENTION_BUDGET_DEFAULT, RETENTION_BUDGET_MIN,
							RETENTION_BUDGET_MAX, PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomBoolVariable("mnist_hil.notify", "Send a notification on channel mnist_hil with each event.",
							 "Every event is a row of mnist_event in any case. A transaction that has sent a"
							 " notification cannot be prepared for two-phase commit.",
							 &mnist_hil_notify, NOTIFY_DEFAULT, PGC_USERSET, 0, NULL, NULL, NULL);
}

static void
define_gate(void)
{
	DefineCustomRealVariable("mnist_hil.annotator_share",
							 "Fraction of a training run's feedback that one annotator alone may have labelled.",
							 "With few annotators each may have labelled an equal fraction. Labels on which several "
							 "annotators agree are not"
							 " limited.",
							 &mnist_hil_annotator_share, ANNOTATOR_SHARE_DEFAULT, ANNOTATOR_SHARE_MIN,
							 ANNOTATOR_SHARE_MAX, PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable(
		"mnist_hil.annotator_labels",
		"Number of images that each annotator may have labelled alone, whatever mnist_hil.annotator_share is.",
		"Without it, the labels of the busiest annotator would be cut down to the number of the newest one.",
		&mnist_hil_annotator_labels, ANNOTATOR_LABELS_DEFAULT, ANNOTATOR_LABELS_MIN, ANNOTATOR_LABELS_MAX, PGC_SUSET,
		0, NULL, NULL, NULL);

	DefineCustomBoolVariable("mnist_hil.require_approval", "A new model needs approval before it goes live.",
							 "When on, a model that passes the gate goes live when mnist_approve is called. When "
							 "off, it goes live at the end"
							 " of its run.",
							 &mnist_hil_require_approval, REQUIRE_APPROVAL_DEFAULT, PGC_SUSET, 0, NULL, NULL, NULL);
}

static void
define_probation(void)
{
	DefineCustomIntVariable(
		"mnist_hil.probation", "Number of labelled predictions for which a new live model is on probation.",
		"If it is worse than the model before it, mnist_check rolls back. Zero switches this off.",
		&mnist_hil_probation, PROBATION_DEFAULT, PROBATION_MIN, PROBATION_MAX, PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("mnist_hil.probation_predictions",
							"Number of predictions after which a probation ends, however few are labelled.",
							"The model before it predicts a sample of up to 5,000 of them, too.",
							&mnist_hil_probation_predictions, PROBATION_PREDICTIONS_DEFAULT,
							PROBATION_PREDICTIONS_MIN, PROBATION_PREDICTIONS_MAX, PGC_SUSET, 0, NULL, NULL, NULL);
}

/*
 * mnist_hil_settings(OUT fail_threshold int, OUT min_new_labels int, OUT accuracy_floor float8,
 *					  OUT drift_threshold float8, OUT retry_delay interval, OUT retries int, OUT keep_models int,
 *					  OUT retention interval)
 *
 * The current settings of the loop, for SQL.  Calling a C function loads the library, without which the settings do
 * not exist.  retention is null if it is off.
 */
Datum
mnist_hil_settings(PG_FUNCTION_ARGS)
{
	TupleDesc desc = row_type(fcinfo, 8);
	Datum values[8];
	bool nulls[8] = {false};
	Interval *retry_delay = palloc0(sizeof(Interval));
	Interval *retention = palloc0(sizeof(Interval));

	retry_delay->time = mnist_hil_retry_delay * USECS_PER_SEC;
	retention->time = mnist_hil_retention * USECS_PER_MINUTE;
	values[0] = Int32GetDatum(mnist_hil_fail_threshold);
	values[1] = Int32GetDatum(mnist_hil_min_new_labels);
	values[2] = Float8GetDatum(mnist_hil_accuracy_floor);
	values[3] = Float8GetDatum(mnist_hil_drift_threshold);
	values[4] = IntervalPGetDatum(retry_delay);
	values[5] = Int32GetDatum(RETRIES);
	values[6] = Int32GetDatum(mnist_hil_keep_models);
	values[7] = IntervalPGetDatum(retention);
	nulls[7] = mnist_hil_retention == 0;
	PG_RETURN_DATUM(make_row(desc, values, nulls));
}

static void
define_drift(void)
{
	DefineCustomIntVariable("mnist_hil.drift_window",
							"Number of the newest predictions that are compared with the reference.",
							"Only predictions by the live model count.", &mnist_hil_drift_window,
							DRIFT_WINDOW_DEFAULT, DRIFT_WINDOW_MIN, DRIFT_WINDOW_MAX, PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("mnist_hil.drift_window_age",
							"Age up to which predictions are compared with the reference.", "Zero means any age.",
							&mnist_hil_drift_window_age, DRIFT_WINDOW_AGE_DEFAULT, DRIFT_WINDOW_AGE_MIN,
							DRIFT_WINDOW_AGE_MAX, PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomIntVariable("mnist_hil.drift_min_window", "Number of predictions that drift is tested with at least.",
							"With fewer it is unknown whether a feature has drifted.", &mnist_hil_drift_min_window,
							DRIFT_MIN_WINDOW_DEFAULT, DRIFT_MIN_WINDOW_MIN, DRIFT_MIN_WINDOW_MAX, PGC_SUSET, 0, NULL,
							NULL, NULL);

	DefineCustomRealVariable("mnist_hil.drift_effect",
							 "Population stability index from which a feature counts as drifted.",
							 "By convention a value under 0.1 is a small change, and one over 0.25 a large one. The "
							 "difference must also be"
							 " significant (mnist_hil.drift_significance).",
							 &mnist_hil_drift_effect, DRIFT_EFFECT_DEFAULT, DRIFT_EFFECT_MIN, DRIFT_EFFECT_MAX,
							 PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomRealVariable("mnist_hil.drift_significance",
							 "Probability that predictions from the reference's distribution count as drifted.",
							 "It is divided by the number of features (Bonferroni).", &mnist_hil_drift_significance,
							 DRIFT_SIGNIFICANCE_DEFAULT, DRIFT_SIGNIFICANCE_MIN, DRIFT_SIGNIFICANCE_MAX, PGC_SUSET, 0,
							 NULL, NULL, NULL);

	DefineCustomIntVariable("mnist_hil.drift_breaches",
							"Number of consecutive checks that must find mnist_hil.drift_threshold exceeded.",
							"Only then is drift a reason to train. A check counts if there are new predictions.",
							&mnist_hil_drift_breaches, DRIFT_BREACHES_DEFAULT, DRIFT_BREACHES_MIN, DRIFT_BREACHES_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable(
		"mnist_hil.drift_cooldown", "Time after the start of a training run in which drift is no reason for another.",
		"Runs that failed or were cancelled do not count.", &mnist_hil_drift_cooldown, DRIFT_COOLDOWN_DEFAULT,
		DRIFT_COOLDOWN_MIN, DRIFT_COOLDOWN_MAX, PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
}

void
settings_define(void)
{
	define_serving();
	define_training();
	define_gate();
	define_probation();
	define_decision();
	define_keeping();
	define_drift();
	MarkGUCPrefixReserved("mnist_hil");
}
