/*
 * retrain.c: mnist_retrain(), the caller's side of a retraining run.
 *
 * The caller checks the arguments, writes them into a small segment of dynamic shared memory (RetrainRequest), and
 * starts the trainer with the segment's handle.  It then sleeps on its latch until the trainer has announced the run
 * (wait => false) or its end.  During the run it holds nothing but its own transaction, and the trainer alone writes.
 *
 * Whatever ends the call early (an error, a cancel, statement_timeout, termination) detaches the segment, in the
 * abort of the transaction or at exit, and a callback of the segment terminates the trainer.  With wait => false that
 * callback is cancelled once the run is announced, and the trainer's own mapping keeps the segment for as long as it
 * lives.
 *
 * While the caller waits, its statement keeps its snapshot and so its backend_xmin, which holds VACUUM back.  This
 * function cannot release that snapshot: the portal that runs the statement has pushed it, the executor's state
 * refers to it, and both use it after the function returns.  A long run is better started with wait => false.
 *
 * The function is SECURITY DEFINER: the checks read the extension's tables as its owner.
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "pg/arguments.h"
#include "pg/rows.h"
#include "pg/schema.h"
#include "pg/settings.h"
#include "pg/spi.h"
#include "train/record.h"
#include "train/request.h"
#include "train/retrain.h"
#include "train/trials.h"

#define BATCH_SIZE_MIN 16
#define BATCH_SIZE_MAX 4096
#define TRIAL_IMAGES_MIN 256
#define AUGMENTATION_MAX 2.0f
#define TIME_BUDGET_MIN 1.0					   /* s */
#define TIME_BUDGET_MAX (366.0 * SECS_PER_DAY) /* s */
#define MAX_STRATEGY 1024					   /* bytes of its name */
#define MAX_ELEMENT BLCKSZ	 /* bytes of an architecture's or a data set's name; index entries are not longer */
#define STRATEGY_AUTO "auto" /* from scratch if architectures are named, else fine-tuning */

/* The arguments' positions, as in sql/training.sql. */
enum
{
	ARG_STRATEGY,
	ARG_ARCHITECTURES,
	ARG_EPOCHS,
	ARG_SEED,
	ARG_WAIT,
	ARG_DATASETS,
	ARG_LEARNING_RATE,
	ARG_BATCH_SIZE,
	ARG_PROMOTE,
	ARG_TRIALS,
	ARG_SEARCH,
	ARG_RESUME_RUN,
	ARG_TRIAL_EPOCHS,
	ARG_TRIAL_IMAGES,
	ARG_AUGMENTATION,
	ARG_TIME_BUDGET,
	NARGUMENTS
};

PG_FUNCTION_INFO_V1(mnist_retrain);
PG_FUNCTION_INFO_V1(mnist_hil_retrain_by_check);
PG_FUNCTION_INFO_V1(mnist_hil_check_recipe);

static void
null_argument(const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("argument \"%s\" must not be null", name)));
}

/* The elements of a text[] argument.  It is an error if there are none, more than most, or a null one. */
static int
text_elements(Datum array, int most, const char *name, char ***elements)
{
	ArrayType *values;
	Datum *datums;
	bool *nulls;
	int n;

	check_argument_size(array, (Size) most * MAX_ELEMENT, name);
	values = DatumGetArrayTypeP(array);
	n = ArrayGetNItems(ARR_NDIM(values), ARR_DIMS(values));
	if (n > most)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("argument \"%s\" has %d elements", name, n),
						errhint("It can have up to %d.", most)));
	deconstruct_array(values, TEXTOID, -1, false, TYPALIGN_INT, &datums, &nulls, &n);
	if (n == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("argument \"%s\" is an empty array", name),
						errhint("Leave it out, or pass NULL, for the default.")));
	*elements = palloc(sizeof(char *) * n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("argument \"%s\" has a null element", name)));
		(*elements)[i] = text_argument(datums[i], MAX_ELEMENT, name);
	}
	return n;
}

/* Set the networks to train from scratch, the default one if none is named. */
static void
set_architectures(const Hyperparameters *hyper, TrainingStudy *study, const Datum *architectures)
{
	char *unnamed[] = {"default"};
	char **names = unnamed;
	int n = 1;

	if (architectures != NULL)
	{
		n = text_elements(*architectures, TRAINING_MAX_ARCHITECTURES, "architectures", &names);
		if (hyper->strategy == TRAINING_FINE_TUNE)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("fine-tuning keeps the live model's architecture"),
							errhint("Use strategy => 'from_scratch' to train another one.")));
	}
	if (hyper->strategy == TRAINING_FINE_TUNE)
		return; /* the trainer reads it from the live model */
	for (int i = 0; i < n; i++)
		training_study_add(study, names[i]);
}

/*
 * Set what the record of a from-scratch run says until the best architecture is known: the names of all that are
 * tried, and the network of the first.
 */
static void
set_network(Hyperparameters *hyper, const TrainingStudy *study)
{
	StringInfoData list;

	if (study->narchitectures == 0)
		return;
	initStringInfo(&list);
	for (int i = 0; i < study->narchitectures; i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "",
						 nn_preset(study->architectures[i].name) != NULL ? study->architectures[i].name : "custom");
	strlcpy(hyper->architecture, list.data, sizeof(hyper->architecture));
	strlcpy(hyper->network, study->architectures[0].network, sizeof(hyper->network));
}

static int
compare_ids(const void *a, const void *b)
{
	int x = *(const int *) a;
	int y = *(const int *) b;

	return (x > y) - (x < y);
}

/* Look the named data sets up; each counts once, and their order makes no difference. */
static void
set_datasets(TrainingOrders *orders, Datum datasets)
{
	char **names;
	int n = text_elements(datasets, TRAINING_MAX_DATASETS, "datasets", &names);

	for (int i = 0; i < n; i++)
	{
		SpiParameters parameters = {0};

		spi_add_text(&parameters, names[i]);
		if (spi_execute("SELECT id FROM %s.mnist_dataset WHERE name = $1", &parameters) == 0)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("there is no data set \"%s\"", names[i]),
							errhint("The data sets are listed in table mnist_dataset.")));
		orders->dataset_ids[i] = DatumGetInt32(spi_result(1));
	}
	qsort(orders->dataset_ids, n, sizeof(int), compare_ids);
	orders->ndatasets = 0;
	for (int i = 0; i < n; i++)
		if (i == 0 || orders->dataset_ids[i] != orders->dataset_ids[orders->ndatasets - 1])
			orders->dataset_ids[orders->ndatasets++] = orders->dataset_ids[i];
}

/* A whole-number argument within bounds, or its default. */
static int
int_argument(const NullableDatum *arguments, int arg, const char *name, int low, int high, int defaultval)
{
	int value;

	if (arguments[arg].isnull)
		return defaultval;
	value = DatumGetInt32(arguments[arg].value);
	if (value < low || value > high)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("argument \"%s\" is %d", name, value),
						errhint("It must be from %d to %d.", low, high)));
	return value;
}

static bool
bool_argument(const NullableDatum *arguments, int arg, const char *name)
{
	if (arguments[arg].isnull)
		null_argument(name);
	return DatumGetBool(arguments[arg].value);
}

/* Set the number of trials and their size. */
static void
read_search(const NullableDatum *arguments, TrainingStudy *study)
{
	bool search = !arguments[ARG_SEARCH].isnull && DatumGetBool(arguments[ARG_SEARCH].value);
	bool resumes = study->resume_run != 0;
	int trials = int_argument(arguments, ARG_TRIALS, "trials", 0, TRAINING_MAX_TRIALS,
							  resumes  ? study->trials
							  : search ? mnist_hil_trials
									   : 0);

	if (resumes && trials != study->trials && (trials == 0 || study->trials == 0))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						study->trials == 0 ? errmsg("run %lld is no search", (long long) study->resume_run)
										   : errmsg("run %lld is a search", (long long) study->resume_run),
						errhint("Leave \"trials\" out.")));
	if (search && trials == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a search needs trials"),
						errhint("Leave \"trials\" out for mnist_hil.trials, or give a number above 0.")));
	if (trials > 0 && trials < study->narchitectures)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%d trials are too few for %d architectures", trials, study->narchitectures),
						errhint("Each is tried at least once.")));
	study->trials = trials;
	study->trial_epochs =
		int_argument(arguments, ARG_TRIAL_EPOCHS, "trial_epochs", 1, TRAINING_MAX_TRIAL_EPOCHS, study->trial_epochs);
	study->trial_images =
		int_argument(arguments, ARG_TRIAL_IMAGES, "trial_images", TRIAL_IMAGES_MIN, INT_MAX, study->trial_images);
	if (!search && trials == 0 && !(arguments[ARG_TRIAL_EPOCHS].isnull && arguments[ARG_TRIAL_IMAGES].isnull))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"trial_epochs\" and \"trial_images\" are for a search"), errhint("Use search => true.")));
}

/* The learning rate, or its default. */
static float
learning_rate_argument(const NullableDatum *arguments, float defaultval)
{
	float rate;

	if (arguments[ARG_LEARNING_RATE].isnull)
		return defaultval;
	rate = DatumGetFloat4(arguments[ARG_LEARNING_RATE].value);
	if (!(rate > 0.0f && rate <= 1.0f))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("argument \"learning_rate\" is %g", rate),
						errhint("It must be above 0 and at most 1.")));
	return rate;
}

/* The factor of the augmentation, or its default. */
static float
augmentation_argument(const NullableDatum *arguments, float defaultval)
{
	float strength;

	if (arguments[ARG_AUGMENTATION].isnull)
		return defaultval;
	strength = DatumGetFloat4(arguments[ARG_AUGMENTATION].value);
	if (!(strength >= 0.0f && strength <= AUGMENTATION_MAX))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("argument \"augmentation\" is %g", strength),
				 errhint("It must be from 0 (none) to %g; 1 is the default of the strategy.", AUGMENTATION_MAX)));
	return strength;
}

/* The time budget in seconds; 0 if there is none. */
static double
time_budget_argument(const NullableDatum *arguments)
{
	const Interval *budget;
	double seconds;

	if (arguments[ARG_TIME_BUDGET].isnull)
		return 0;
	budget = DatumGetIntervalP(arguments[ARG_TIME_BUDGET].value);
	seconds = (double) budget->time / USECS_PER_SEC +
			  ((double) budget->day + (double) DAYS_PER_MONTH * budget->month) * SECS_PER_DAY;
	if (!(seconds >= TIME_BUDGET_MIN && seconds <= TIME_BUDGET_MAX))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"time_budget\" is %s",
							   DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(budget)))),
						errhint("It must be from 1 second to 366 days.")));
	return seconds;
}

/* Is the strategy "auto"? */
static bool
is_auto(const NullableDatum *arguments)
{
	return arguments[ARG_STRATEGY].isnull ||
		   strcmp(text_argument(arguments[ARG_STRATEGY].value, MAX_STRATEGY, "strategy"), STRATEGY_AUTO) == 0;
}

/* The arguments that must not be given with resume_run, because the record has their values. */
static const struct
{
	int arg;
	const char *name;
} recorded_arguments[] = {
	{ARG_ARCHITECTURES, "architectures"}, {ARG_SEED, "seed"},
	{ARG_DATASETS, "datasets"},			  {ARG_LEARNING_RATE, "learning_rate"},
	{ARG_BATCH_SIZE, "batch_size"},		  {ARG_TRIAL_EPOCHS, "trial_epochs"},
	{ARG_TRIAL_IMAGES, "trial_images"},	  {ARG_AUGMENTATION, "augmentation"},
};

/* Take hyperparameters, data sets and study from the record of the run that is resumed. */
static void
resume(const NullableDatum *arguments, Hyperparameters *hyper, TrainingOrders *orders, TrainingStudy *study)
{
	const char *named = is_auto(arguments) ? NULL : "strategy";

	for (int i = 0; i < (int) lengthof(recorded_arguments); i++)
		if (!arguments[recorded_arguments[i].arg].isnull)
			named = recorded_arguments[i].name;
	if (named != NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"%s\" does not go with \"resume_run\"", named),
			 errdetail("Trials are gone on with as they were begun, strategy and seed included."),
			 errhint("Only \"epochs\", \"trials\", \"time_budget\", \"wait\" and \"promote\" may be given anew.")));
	trials_read_study(DatumGetInt64(arguments[ARG_RESUME_RUN].value), hyper, orders, study);
}

/* The strategy.  "auto" stands for from scratch if architectures are named, else for fine-tuning. */
static TrainingStrategy
strategy_argument(const NullableDatum *arguments)
{
	if (!is_auto(arguments))
		return training_strategy_parse(text_argument(arguments[ARG_STRATEGY].value, MAX_STRATEGY, "strategy"));
	return arguments[ARG_ARCHITECTURES].isnull ? TRAINING_FINE_TUNE : TRAINING_FROM_SCRATCH;
}

/* Set up a run that resumes no other: the defaults of the strategy, the architectures, the seed. */
static void
start_anew(const NullableDatum *arguments, Hyperparameters *hyper, TrainingStudy *study)
{
	hyperparameters_init(hyper, strategy_argument(arguments));
	training_study_init(study);
	set_architectures(hyper, study, arguments[ARG_ARCHITECTURES].isnull ? NULL : &arguments[ARG_ARCHITECTURES].value);
	study->fixed_learning_rate = !arguments[ARG_LEARNING_RATE].isnull;
	study->fixed_batch_size = !arguments[ARG_BATCH_SIZE].isnull;
	study->fixed_augmentation = !arguments[ARG_AUGMENTATION].isnull;
	hyperparameters_augment(hyper, augmentation_argument(arguments, 1.0f));
	if (mnist_hil_epochs > 0)
		hyper->epochs = mnist_hil_epochs;
	if (!arguments[ARG_SEED].isnull)
		hyper->seed = DatumGetInt64(arguments[ARG_SEED].value);
	else if (!pg_strong_random(&hyper->seed, sizeof(hyper->seed)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random seed")));
}

/* Check all arguments, and make hyperparameters, orders and study of them; SPI is connected. */
static void
read_arguments(const NullableDatum *arguments, Hyperparameters *hyper, TrainingOrders *orders, TrainingStudy *study)
{
	(void) bool_argument(arguments, ARG_WAIT, "wait");
	if (!arguments[ARG_RESUME_RUN].isnull)
		resume(arguments, hyper, orders, study);
	else
		start_anew(arguments, hyper, study);
	hyper->promote = bool_argument(arguments, ARG_PROMOTE, "promote");
	hyper->epochs = int_argument(arguments, ARG_EPOCHS, "epochs", 1, MAX_EPOCHS, hyper->epochs);
	hyper->batch_size =
		int_argument(arguments, ARG_BATCH_SIZE, "batch_size", BATCH_SIZE_MIN, BATCH_SIZE_MAX, hyper->batch_size);
	hyper->learning_rate = learning_rate_argument(arguments, hyper->learning_rate);
	read_search(arguments, study);
	set_network(hyper, study);
	orders->processes = Min(mnist_hil_training_workers, TRAINING_MAX_PROCESSES);
	orders->memory_kb = mnist_hil_training_memory;
	orders->sets = TRAINING_ALL_SETS;
	orders->annotator_share = mnist_hil_annotator_share;
	orders->annotator_labels = mnist_hil_annotator_labels;
	orders->require_approval = orders->require_approval || mnist_hil_require_approval;
	orders->time_budget = time_budget_argument(arguments);
	if (!arguments[ARG_DATASETS].isnull)
		set_datasets(orders, arguments[ARG_DATASETS].value);
}

/*
 * The recipe (sql/recipe.sql).  A call that names none of these arguments follows the recipe: whatever it does not
 * name has the recipe's value.  A call that names one of them takes nothing from the recipe.
 */
static const int arguments_without_recipe[] = {ARG_STRATEGY, ARG_ARCHITECTURES, ARG_SEARCH, ARG_TRIALS,
											   ARG_RESUME_RUN};

/* The columns of the recipe that are arguments, and their types' properties; in the order of the query below. */
static const struct
{
	int arg;
	bool by_value;
	int length;
} recipe_arguments[] = {
	{ARG_STRATEGY, false, -1},
	{ARG_ARCHITECTURES, false, -1},
	{ARG_SEARCH, true, 1},
	{ARG_TRIALS, true, sizeof(int32)},
	{ARG_EPOCHS, true, sizeof(int32)},
	{ARG_AUGMENTATION, true, sizeof(float4)},
	{ARG_DATASETS, false, -1},
	{ARG_TIME_BUDGET, false, sizeof(Interval)},
};

static bool
follows_recipe(const NullableDatum *arguments)
{
	for (int i = 0; i < (int) lengthof(arguments_without_recipe); i++)
		if (!arguments[arguments_without_recipe[i]].isnull)
			return false;
	return true;
}

/* Does the call name no argument but wait? */
static bool
names_nothing(const NullableDatum *arguments)
{
	for (int i = 0; i < NARGUMENTS; i++)
		if (i != ARG_WAIT && i != ARG_PROMOTE && !arguments[i].isnull)
			return false;
	return !arguments[ARG_PROMOTE].isnull && DatumGetBool(arguments[ARG_PROMOTE].value);
}

/*
 * Set the arguments that are null to the recipe's values, and what the recipe says besides in the orders; SPI is
 * connected.  A run for which the caller names nothing, like those of mnist_check, also has what comes after it.
 */
static void
apply_recipe(NullableDatum *arguments, TrainingOrders *orders)
{
	bool automatic = names_nothing(arguments);
	TupleDesc desc;
	HeapTuple row;

	if (spi_execute(
			"SELECT r.strategy, r.architectures, r.search, r.trials, r.epochs, r.augmentation, r.datasets,"
			" r.time_budget, r.recipe_id, coalesce(r.require_approval, false), r.prune, s.keep_models, r.report"
			" FROM %s.mnist_recipe r, mnist_internal.settings() s",
			NULL) != 1)
		elog(ERROR, "there is no recipe");
	desc = SPI_tuptable->tupdesc;
	row = SPI_tuptable->vals[0];
	for (int i = 0; i < (int) lengthof(recipe_arguments); i++)
	{
		NullableDatum *argument = &arguments[recipe_arguments[i].arg];

		if (!argument->isnull)
			continue;
		argument->value = SPI_getbinval(row, desc, i + 1, &argument->isnull);
		if (!argument->isnull)
			argument->value = datumCopy(argument->value, recipe_arguments[i].by_value, recipe_arguments[i].length);
	}
	orders->recipe_id = DatumGetInt64(spi_result(9));
	orders->require_approval = DatumGetBool(spi_result(10)); /* if the setting does not require it anyway */
	orders->prune = automatic && DatumGetBool(spi_result(11));
	orders->keep_models = DatumGetInt32(spi_result(12));
	orders->report = automatic && DatumGetBool(spi_result(13));
}

/* The role that calls the function.  Its body runs as the owner. */
static void
read_invoker(NameData *invoker)
{
	if (spi_execute("SELECT mnist_internal.invoker()", NULL) != 1)
		elog(ERROR, "mnist_internal.invoker returned no row");
	namestrcpy(invoker, NameStr(*DatumGetName(spi_result(1))));
}

/*
 * The trainer writes these tables.  If this transaction holds a lock on one of them and waits for the trainer, the
 * trainer waits for the lock: a deadlock that the server cannot detect, because this side does not wait for a lock.
 * mode: the weakest lock that conflicts.
 */
static const struct
{
	const char *relname;
	LOCKMODE mode;
} written_tables[] = {
	{"mnist_run", RowExclusiveLock}, /* a run added here, or changed */
	{"mnist_deployment", RowExclusiveLock},
	{"mnist_model", ShareLock},
	{"mnist_trial", ShareLock},
	{"mnist_metric", ShareLock},
	{"mnist_event", ShareLock},
	{"mnist_label", ShareLock},
};

static void
check_no_lock_in_the_way(const char *relname, LOCKMODE mode)
{
	Relation relation = table_open(schema_relation(relname), AccessShareLock);
	bool locked = CheckRelationLockedByMe(relation, mode, true);

	table_close(relation, NoLock);
	if (locked)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("mnist_retrain cannot wait in a transaction that has changed %s", relname),
						errdetail("The training process would wait for this transaction's locks."),
						errhint("Commit first, or use wait => false.")));
}

/* Check what the trainer would refuse, before any process starts. */
static void
check_ready(const TrainingOrders *orders, bool wait)
{
	int64 running = record_running();

	if (running != 0)
		record_refuse(running);
	record_check_data(orders);
	for (int i = 0; wait && i < (int) lengthof(written_tables); i++)
		check_no_lock_in_the_way(written_tables[i].relname, written_tables[i].mode);
	if (wait && orders->report)
		check_no_lock_in_the_way("mnist_report_log", RowExclusiveLock);
}

/* Throw an error: the trainer has exited in this state, without reporting a result. */
static void
process_ended(WorkerState state)
{
	if (state == WORKER_STARTING)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("the training process could not begin"),
				 errhint("The server log says why. The extension's owner, role \"%s\", must be allowed to connect"
						 " to this database.",
						 GetUserNameFromId(schema_owner(), false))));
	ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("the training process ended unexpectedly"),
					errhint("The server log may say why.")));
}

static void
put_float(Datum *values, bool *nulls, int column, float value)
{
	nulls[column] = isnan(value);
	values[column] = Float4GetDatum(value);
}

/* The result row of a finished run, or of one that was only started. */
static Datum
result_row(FunctionCallInfo fcinfo, const RetrainRequest *request, bool finished)
{
	TupleDesc desc = row_type(fcinfo, 10);
	Datum values[10] = {0};
	bool nulls[10];
	const TrainingOutcome *outcome = &request->outcome;

	memset(nulls, true, sizeof(nulls));
	values[0] = Int64GetDatum(request->run_id);
	nulls[0] = false;
	if (finished)
	{
		values[1] = Int32GetDatum(outcome->model_version);
		values[2] = BoolGetDatum(outcome->decision == TRAINING_PROMOTED || outcome->decision == TRAINING_APPROVED);
		values[3] = CStringGetTextDatum(outcome->verdict);
		nulls[1] = nulls[2] = nulls[3] = false;
		put_float(values, nulls, 4, training_accuracy(&outcome->candidate.sets[TRAINING_SET_TEST]));
		put_float(values, nulls, 5, training_accuracy(&outcome->candidate.sets[TRAINING_SET_VALIDATION]));
		put_float(values, nulls, 6, training_accuracy(&outcome->live.sets[TRAINING_SET_VALIDATION]));
		put_float(values, nulls, 7, training_accuracy(&outcome->candidate.sets[TRAINING_SET_HELD_OUT]));
		put_float(values, nulls, 8, training_accuracy(&outcome->live.sets[TRAINING_SET_HELD_OUT]));
		put_float(values, nulls, 9, outcome->seconds);
	}
	return make_row(desc, values, nulls);
}

/*
 * Have a trainer make a run.  With wait, returns a copy of the request when the run is done, else as soon as the run
 * is on record.  Throws an error if the run cannot start, and the run's own errors.  cause: NULL if a person started
 * it.
 */
static RetrainRequest *
run_trainer(const Hyperparameters *hyper, const TrainingOrders *orders, const TrainingStudy *study,
			const TrainingCause *cause, bool wait)
{
	RetrainRequest *request = palloc0(sizeof(RetrainRequest));
	WorkerCall call;
	WorkerState state;

	request->home = (WorkerHome){.database = MyDatabaseId, .owner = schema_owner()};
	SPI_connect();
	check_ready(orders, wait);
	worker_check_owner(&request->home);
	read_invoker(&request->requested_by);
	SPI_finish();
	if (cause != NULL)
		request->cause = *cause;
	request->hyper = *hyper;
	request->orders = *orders;
	request->study = *study;

	if (!worker_call_start(&call, "mnist_hil trainer", "mnist_hil_trainer_main", &request->worker,
						   sizeof(RetrainRequest)))
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("no background worker slot is free for the training process"),
						errhint("Increase max_worker_processes.")));
	if (!worker_call_wait(&call, wait ? WORKER_DONE : WORKER_BEGUN, &state))
		process_ended(state);
	if (state >= WORKER_DONE)
		WaitForBackgroundWorkerShutdown(call.handle); /* so that its slot is free for the next call */
	memcpy(request, call.request, sizeof(RetrainRequest));
	if (state == WORKER_FAILED)
		worker_error_throw(&request->worker.error);
	worker_call_end(&call);
	return request;
}

Datum
retrain_request(FunctionCallInfo fcinfo, const Hyperparameters *hyper, const TrainingOrders *orders,
				const TrainingStudy *study, bool wait)
{
	return result_row(fcinfo, run_trainer(hyper, orders, study, NULL, wait), wait);
}

/*
 * mnist_retrain(strategy text, architectures text[], epochs int, seed bigint, wait boolean, datasets text[],
 *				 learning_rate real, batch_size int, promote boolean, trials int, search boolean, resume_run bigint,
 *				 trial_epochs int, trial_images int, augmentation real, time_budget interval)
 *
 * Train a model on base data and feedback, and let it go live if it passes the gate.  Returns one row: the run and,
 * unless wait is false, its result.  Without arguments it does what the recipe says.  The errors are those of the
 * checks above, or the run's own.
 */
Datum
mnist_retrain(PG_FUNCTION_ARGS)
{
	NullableDatum arguments[NARGUMENTS];
	Hyperparameters hyper = {0};
	TrainingOrders *orders = palloc0(sizeof(TrainingOrders));
	TrainingStudy *study = palloc0(sizeof(TrainingStudy));

	PreventCommandIfReadOnly("mnist_retrain()");
	PreventCommandDuringRecovery("mnist_retrain()");
	schema_check_version();
	memcpy(arguments, fcinfo->args, sizeof(arguments));
	SPI_connect();
	if (follows_recipe(arguments))
		apply_recipe(arguments, orders);
	read_arguments(arguments, &hyper, orders, study);
	SPI_finish();
	PG_RETURN_DATUM(retrain_request(fcinfo, &hyper, orders, study, PG_GETARG_BOOL(ARG_WAIT)));
}

/* The arguments of a call that names none. */
static void
default_arguments(NullableDatum *arguments)
{
	for (int i = 0; i < NARGUMENTS; i++)
		arguments[i] = (NullableDatum){.isnull = true};
	arguments[ARG_WAIT] = (NullableDatum){BoolGetDatum(false), false};
	arguments[ARG_PROMOTE] = (NullableDatum){BoolGetDatum(true), false};
}

/*
 * mnist_hil_retrain_by_check(reasons text, attempt int, retry_of bigint) RETURNS bigint
 *
 * Do the same as mnist_retrain(wait => false), and record that mnist_check decided it and why.  Returns the run's id.
 * retry_of: the run that failed before, or 0.
 */
Datum
mnist_hil_retrain_by_check(PG_FUNCTION_ARGS)
{
	NullableDatum arguments[NARGUMENTS];
	TrainingCause cause = {.by_check = true, .attempt = PG_GETARG_INT32(1), .retry_of = PG_GETARG_INT64(2)};
	Hyperparameters hyper = {0};
	TrainingOrders *orders = palloc0(sizeof(TrainingOrders));
	TrainingStudy *study = palloc0(sizeof(TrainingStudy));

	strlcpy(cause.reasons, text_argument(PG_GETARG_DATUM(0), sizeof(cause.reasons) - 1, "reasons"),
			sizeof(cause.reasons));
	default_arguments(arguments);
	SPI_connect();
	apply_recipe(arguments, orders);
	read_arguments(arguments, &hyper, orders, study);
	SPI_finish();
	PG_RETURN_INT64(run_trainer(&hyper, orders, study, &cause, false)->run_id);
}

/*
 * mnist_hil_check_recipe(strategy text, architectures text[], search boolean, trials int, epochs int,
 *						  augmentation real, datasets text[], time_budget interval) RETURNS void
 *
 * Throw the error that a run with these arguments would have; null: not named.
 */
Datum
mnist_hil_check_recipe(PG_FUNCTION_ARGS)
{
	NullableDatum arguments[NARGUMENTS];
	Hyperparameters hyper = {0};
	TrainingOrders *orders = palloc0(sizeof(TrainingOrders));
	TrainingStudy *study = palloc0(sizeof(TrainingStudy));

	default_arguments(arguments);
	for (int i = 0; i < (int) lengthof(recipe_arguments); i++)
		arguments[recipe_arguments[i].arg] = fcinfo->args[i];
	SPI_connect();
	read_arguments(arguments, &hyper, orders, study);
	SPI_finish();
	PG_RETURN_VOID();
}
