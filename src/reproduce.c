/*
 * reproduce.c: mnist_reproduce(), a run done again from its record.
 *
 * The options come from the run's row, the feedback from its snapshot, the data sets are found by
 * their hashes.  Then the same trainer does the same work, with as many processes, and says whether the weights are
 * the same.  What is missing is told before anything starts; what only the trainer can know (which kernels and which
 * matrix product it has, how many processes it gets) by the trainer.
 */
#include "training.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(mnist_reproduce);

/* A column of the last statement's first row; not null. */
static Datum
column(int number)
{
	bool isnull;
	Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number, &isnull);

	if (isnull)
		elog(ERROR, "unexpected null in column %d", number);
	return value;
}

/* Run a query whose only parameter, $1, is a run. */
static uint64
query(const char *sql, int64 run_id)
{
	Oid types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(run_id)};

	SPI_execute_with_args(sql, 1, types, values, NULL, true, 0);
	return SPI_processed;
}

/* Check that there is such a run, that it made a model, and that nothing of what it used is missing. */
static void
check_run(int64 run_id)
{
	const char *schema = schema_name();
	char *status;

	if (query(
			psprintf("SELECT status, model_version IS NOT NULL AND data IS NOT NULL FROM %s.mnist_run WHERE id = $1",
					 schema),
			run_id) == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("run %lld does not exist", (long long) run_id),
						errhint("mnist_run lists those there are.")));
	status = TextDatumGetCString(column(1));
	if (strcmp(status, "succeeded") != 0 || !DatumGetBool(column(2)))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("run %lld made no model that could be reproduced", (long long) run_id),
						errdetail("It is %s.", status)));
	query("SELECT pg_catalog.array_to_string(mnist_internal.reproduce_missing($1, NULL), ' ')", run_id);
	training_check_nothing_missing(run_id, TextDatumGetCString(column(1)));
}

void
training_check_nothing_missing(int64 run_id, const char *missing)
{
	if (missing[0] != '\0')
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("run %lld cannot be reproduced", (long long) run_id), errdetail("%s", missing)));
}

/* The options that the run went by. */
static void
read_options(int64 run_id, TrainingOptions *options)
{
	query(
		psprintf("SELECT r.strategy, r.architecture, r.seed, r.processes, CASE WHEN m.weights IS NULL THEN 0"
				 " ELSE m.version END FROM %s.mnist_run r LEFT JOIN %s.mnist_model m ON m.version = r.parent_version"
				 " WHERE r.id = $1",
				 schema_name(), schema_name()),
		run_id);
	training_options_init(options, training_strategy_parse(TextDatumGetCString(column(1))));
	strlcpy(options->architecture, TextDatumGetCString(column(2)), sizeof(options->architecture));
	options->seed = DatumGetInt64(column(3));
	options->processes = DatumGetInt32(column(4));
	options->parent_version = DatumGetInt32(column(5));

	query(psprintf("SELECT p.key, p.value FROM %s.mnist_run r, pg_catalog.jsonb_each_text(r.parameters) p"
				   " WHERE r.id = $1",
				   schema_name()),
		  run_id);
	for (uint64 i = 0; i < SPI_processed; i++)
		(void) training_options_set(options, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1),
									SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2));

	options->ndatasets = (int) query(psprintf("SELECT d.dataset_id FROM %s.mnist_run r,"
											  " mnist_internal.recorded_datasets(r.data) d WHERE r.id = $1"
											  " ORDER BY d.place",
											  schema_name()),
									 run_id);
	if (options->ndatasets > TRAINING_MAX_DATASETS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("a run of more than %d data sets cannot be reproduced", TRAINING_MAX_DATASETS)));
	for (int i = 0; i < options->ndatasets; i++)
	{
		bool isnull;

		options->dataset_ids[i] =
			DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	}
	options->sets = TRAINING_ALL_SETS;
	options->memory_kb = mnist_hil_training_memory;
	options->promote = false;
	options->reproduces = run_id;
}

/*
 * mnist_reproduce(run_id bigint)
 *
 * Train again from the record of a run.  Returns one row, as mnist_retrain; the verdict says whether the weights are
 * the same, bit for bit.  The model is kept, and does not go live.  ERRCODE_UNDEFINED_OBJECT if there is no such run,
 * ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE if it made no model or something is missing, which the detail tells.
 */
Datum
mnist_reproduce(PG_FUNCTION_ARGS)
{
	TrainingOptions *options = palloc0(sizeof(TrainingOptions));
	TrainingStudy *study = palloc0(sizeof(TrainingStudy)); /* what its trials found is in the options */
	int64 run_id;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("run_id must not be null")));
	run_id = PG_GETARG_INT64(0);
	PreventCommandIfReadOnly("mnist_reproduce()");
	PreventCommandDuringRecovery("mnist_reproduce()");
	schema_check_version();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	check_run(run_id);
	read_options(run_id, options);
	SPI_finish();
	PG_RETURN_DATUM(retrain_request(fcinfo, options, study, true));
}
