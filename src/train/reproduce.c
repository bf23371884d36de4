/*
 * reproduce.c: mnist_reproduce(), which repeats a run from its record.
 *
 * The hyperparameters come from the run's row and the feedback from its snapshot.  The data sets are found by their
 * hashes.  The same trainer then does the same work, with as many processes, and says whether the weights are the
 * same.  If something is missing, this side says so before a process starts.  The trainer checks what only it knows:
 * the kernels, the library for matrix products, and the number of processes.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "pg/schema.h"
#include "pg/settings.h"
#include "pg/spi.h"
#include "train/record.h"
#include "train/retrain.h"

PG_FUNCTION_INFO_V1(mnist_reproduce);

/* Check that there is such a run, that it made a model, and that nothing of what it used is missing. */
static void
check_run(int64 run_id)
{
	char *status;

	if (spi_execute_int8(
			"SELECT status, model_version IS NOT NULL AND data IS NOT NULL FROM %s.mnist_run WHERE id = $1",
			run_id) == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("run %lld does not exist", (long long) run_id),
						errhint("mnist_run lists those there are.")));
	status = TextDatumGetCString(spi_result(1));
	if (strcmp(status, "succeeded") != 0 || !DatumGetBool(spi_result(2)))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("run %lld made no model that could be reproduced", (long long) run_id),
						errdetail("It is %s.", status)));
	spi_execute_int8("SELECT pg_catalog.array_to_string(mnist_internal.reproduce_missing($1, NULL), ' ')", run_id);
	record_check_nothing_missing(run_id, TextDatumGetCString(spi_result(1)));
}

/* Read the run's hyperparameters and orders from its record. */
static void
read_run(int64 run_id, Hyperparameters *hyper, TrainingOrders *orders)
{
	spi_execute_int8(
		"SELECT r.strategy, r.architecture, r.seed, r.processes, CASE WHEN m.weights IS NULL THEN 0"
		" ELSE m.version END FROM %s.mnist_run r LEFT JOIN %s.mnist_model m ON m.version = r.parent_version"
		" WHERE r.id = $1",
		run_id);
	hyperparameters_init(hyper, training_strategy_parse(TextDatumGetCString(spi_result(1))));
	strlcpy(hyper->architecture, TextDatumGetCString(spi_result(2)), sizeof(hyper->architecture));
	hyper->seed = DatumGetInt64(spi_result(3));
	orders->processes = DatumGetInt32(spi_result(4));
	orders->parent_version = DatumGetInt32(spi_result(5));

	spi_execute_int8(
		"SELECT p.key, p.value FROM %s.mnist_run r, pg_catalog.jsonb_each_text(r.parameters) p WHERE r.id = $1",
		run_id);
	for (uint64 i = 0; i < SPI_processed; i++)
		(void) hyperparameters_set(hyper, spi_text_at(i, 1), spi_text_at(i, 2));
	hyper->promote = false;

	orders->ndatasets =
		(int) spi_execute_int8("SELECT d.dataset_id FROM %s.mnist_run r,"
							   " mnist_internal.recorded_datasets(r.data) d WHERE r.id = $1 ORDER BY d.place",
							   run_id);
	if (orders->ndatasets > TRAINING_MAX_DATASETS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("a run of more than %d data sets cannot be reproduced", TRAINING_MAX_DATASETS)));
	for (int i = 0; i < orders->ndatasets; i++)
		orders->dataset_ids[i] = DatumGetInt32(spi_result_at(i, 1));
	orders->sets = TRAINING_ALL_SETS;
	orders->memory_kb = mnist_hil_training_memory;
	orders->reproduces = run_id;
}

/*
 * mnist_reproduce(run_id bigint)
 *
 * Train again from the record of a run.  Returns one row, as mnist_retrain does; the verdict says whether the weights
 * are the same, bit for bit.  The model is kept, but does not go live.  ERRCODE_UNDEFINED_OBJECT if there is no such
 * run, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE if it made no model or something is missing; the detail says what.
 */
Datum
mnist_reproduce(PG_FUNCTION_ARGS)
{
	Hyperparameters hyper;
	TrainingOrders *orders = palloc0(sizeof(TrainingOrders));
	TrainingStudy *study =
		palloc0(sizeof(TrainingStudy)); /* no trials: the record has the hyperparameters that they chose */
	int64 run_id;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("run_id must not be null")));
	run_id = PG_GETARG_INT64(0);
	PreventCommandIfReadOnly("mnist_reproduce()");
	PreventCommandDuringRecovery("mnist_reproduce()");
	schema_check_version();
	SPI_connect();
	check_run(run_id);
	read_run(run_id, &hyper, orders);
	SPI_finish();
	PG_RETURN_DATUM(retrain_request(fcinfo, &hyper, orders, study, true));
}
