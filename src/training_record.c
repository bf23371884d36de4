/*
 * training_record.c: what a retraining run reads from and writes into the tables.
 *
 * Each write is a transaction of its own, between record_begin and record_commit, so that training itself runs
 * with none open.  Progress is written without waiting for the disk; nothing is lost with it that matters.
 *
 * record_begin checks that the extension is still there, and every change of the run's row that the row is:
 * both may go while a run is under way, by DROP EXTENSION or by hand.  Either is reported as
 * ERRCODE_UNDEFINED_OBJECT, on which the trainer leaves without a word, because there is nowhere left to leave
 * one.
 *
 * A run is 'running' while its row says so and the process named there lives: same pid, same start time.  A
 * row whose process has gone was left by a crash, and is closed by the next run.
 */
#include "training_sql.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "mb/pg_wchar.h"
#include "storage/fd.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(mnist_hil_process_alive);

/* Change the run's row, which must be there. */
static void
update_run(const char *statement, Parameters *parameters)
{
	if (execute(statement, parameters) == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the run's record has gone")));
}

/* Start a transaction to read or write tables in. */
void
record_begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	pgstat_report_activity(STATE_RUNNING, "recording a retraining run");
	if (!OidIsValid(schema_relation("mnist_run")))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the extension mnist_hil has been dropped")));
}

/* Commit it, and say what the process does from here. */
void
record_commit(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_RUNNING, "training");
}

/* Does a process with this pid that started at this time exist?  Works without any rights, in every session. */
static bool
process_alive(int pid, TimestampTz started)
{
	pgstat_clear_snapshot();
	for (int i = 1; i <= pgstat_fetch_stat_numbackends(); i++)
	{
		LocalPgBackendStatus *local = pgstat_fetch_stat_local_beentry(i);

		if (local != NULL && local->backendStatus.st_procpid == pid)
			return local->backendStatus.st_proc_start_timestamp == started;
	}
	return false;
}

/* mnist_hil_process_alive(pid int, started timestamptz) RETURNS boolean: for mnist_training_progress. */
Datum
mnist_hil_process_alive(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(process_alive(PG_GETARG_INT32(0), PG_GETARG_TIMESTAMPTZ(1)));
}

/* The id of the run that is under way, or 0; *orphan: of one whose process is gone.  SPI is connected. */
static int64
find_running(int64 *orphan)
{
	int64 id;

	*orphan = 0;
	if (execute("SELECT id, pid, process_started_at FROM %s.mnist_run WHERE status = 'running'", NULL) == 0)
		return 0;
	id = DatumGetInt64(result(1));
	if (process_alive(DatumGetInt32(result(2)), DatumGetTimestampTz(result(3))))
		return id;
	*orphan = id;
	return 0;
}

/* The id of the run that is under way, or 0.  SPI is connected. */
int64
record_running(void)
{
	int64 orphan;

	return find_running(&orphan);
}

void
record_refuse(int64 run_id)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE), errmsg("a retraining run is already under way"),
					errdetail("It is run %lld.", (long long) run_id),
					errhint("See mnist_training_progress; pg_terminate_backend with its pid ends it.")));
}

/* Is there enough base data to train on?  SPI is connected. */
void
record_check_data(const TrainingOptions *options)
{
	Parameters parameters = {0};
	bool isnull;
	Datum datasets = training_options_datasets(options, &isnull);
	int64 train;
	int64 validation;

	add(&parameters, INT4ARRAYOID, datasets);
	if (isnull)
		parameters.nulls[0] = 'n';
	/* counting no further than needed keeps this cheap */
	add_int4(&parameters, TRAINING_MIN_TRAIN);
	add_int4(&parameters, TRAINING_MIN_VALIDATION);
	execute("SELECT (SELECT count(*) FROM (SELECT FROM %s.mnist_sample WHERE split = 'train'"
			"          AND ($1 IS NULL OR dataset_id = ANY ($1)) LIMIT $2) t),"
			"       (SELECT count(*) FROM (SELECT FROM %s.mnist_sample WHERE split = 'validation'"
			"          AND ($1 IS NULL OR dataset_id = ANY ($1)) LIMIT $3) v)",
			&parameters);
	train = DatumGetInt64(result(1));
	validation = DatumGetInt64(result(2));
	if (train == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("there is no base data to train on"),
				 errdetail("A model trained on feedback alone would forget everything else."),
				 errhint("Import MNIST with mnist_import_idx, your own images with mnist_import_images, or synthetic"
						 " digits with mnist_import_synthetic, and commit.")));
	if (train < TRAINING_MIN_TRAIN || validation < TRAINING_MIN_VALIDATION)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("there is too little base data to train on"),
			 errdetail("There are %lld images to train on and %lld to validate with; at least %d and %d are needed.",
					   (long long) train, (long long) validation, TRAINING_MIN_TRAIN, TRAINING_MIN_VALIDATION),
			 errhint("Import more with mnist_import_idx, mnist_import_images or mnist_import_synthetic.")));
}

/* Read a version, or for 0 the live one, its values into a memory context.  SPI is connected. */
void
record_read_parent(TrainingParent *parent, int version, MemoryContext context)
{
	Parameters parameters = {0};
	float *values;

	add_int4(&parameters, version);
	if (execute("SELECT m.version, m.architecture FROM %s.mnist_deployment d JOIN %s.mnist_model m"
				" ON m.version = CASE WHEN $1 = 0 THEN d.version ELSE $1 END ORDER BY d.id DESC LIMIT 1",
				&parameters) == 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("no model is live"),
						errhint("Activate one with mnist_activate.")));
	parent->version = DatumGetInt32(result(1));
	strlcpy(parent->architecture, TextDatumGetCString(result(2)), sizeof(parent->architecture));
	values = model_store_read(parent->version, &parent->net);
	parent->values = MemoryContextAlloc(context, parent->net.nvalues * sizeof(float));
	memcpy(parent->values, values, parent->net.nvalues * sizeof(float));
}

/* What did the work: extension, server, matrix products, kernels. */
static char *
software(void)
{
	execute("SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'mnist_hil'", NULL);
	return psprintf("mnist_hil %s, PostgreSQL %s, %s, %s kernels", TextDatumGetCString(result(1)), PG_VERSION,
					nn_blas_name(), nn_isa_name(nn_isa()));
}

/* A run that is repeated needs the software that it was made by.  SPI is connected. */
void
record_check_software(const TrainingOptions *options)
{
	Parameters parameters = {0};

	add_int8(&parameters, options->reproduces);
	add_text(&parameters, software());
	execute("SELECT pg_catalog.array_to_string(mnist_internal.reproduce_missing($1, $2), ' ')", &parameters);
	training_check_nothing_missing(options->reproduces, TextDatumGetCString(result(1)));
}

/* What the weights' exact bits depend on besides: the machine's processor, as the kernel names it. */
static char *
cpu_model(void)
{
	FILE *file = AllocateFile("/proc/cpuinfo", "r");
	char line[256];
	char *cpu = NULL;

	while (file != NULL && cpu == NULL && fgets(line, sizeof(line), file) != NULL)
	{
		char *colon = strchr(line, ':');

		if (colon == NULL || (strncmp(line, "model name", 10) != 0 && strncmp(line, "cpu\t", 4) != 0))
			continue;
		colon += strspn(colon, ": ");
		colon[strcspn(colon, "\n")] = '\0';
		cpu = pg_any_to_server(colon, (int) strlen(colon), PG_SQL_ASCII);
		cpu = pstrdup(cpu);
	}
	if (file != NULL)
		FreeFile(file);
	return cpu;
}

/* Close the row of a run whose process went without a word. */
static void
close_orphan(int64 run_id)
{
	Parameters parameters = {0};

	add_int8(&parameters, run_id);
	execute("SELECT mnist_internal.close_orphan($1)", &parameters);
}

/*
 * Add the run's row, once the row of a run that crashed is closed.  The unique index on running runs decides between
 * two that start at once: the second waits for the first and is refused then.  SPI is connected.
 */
int64
record_start(const TrainingOptions *options, const TrainingStudy *study, const TrainingParent *parent,
			 const char *requested_by, const TrainingCause *cause)
{
	Parameters parameters = {0};
	int64 orphan;
	int64 running = find_running(&orphan);

	if (running != 0)
		record_refuse(running);
	if (orphan != 0)
		close_orphan(orphan);

	add_text(&parameters, training_strategy_name(options->strategy));
	add_text(&parameters, options->architecture);
	add_int8(&parameters, options->seed);
	add_text(&parameters, training_options_json(options));
	add_int4(&parameters, parent->version);
	add_int4(&parameters, options->epochs);
	add_text(&parameters, requested_by);
	add_int4(&parameters, MyProcPid);
	add(&parameters, TIMESTAMPTZOID, TimestampTzGetDatum(MyStartTimestamp));
	add_text(&parameters, software());
	add_text(&parameters, cause->by_check ? "check" : "by hand");
	add_text(&parameters, cause->reasons);
	add_int4(&parameters, cause->by_check ? cause->attempt : 1);
	add_int8(&parameters, cause->retry_of);
	add_int8(&parameters, options->reproduces);
	add_text_or_null(&parameters, cpu_model());
	add_text_or_null(&parameters, record_study_json(options, study));
	add_int8(&parameters, study->resume_run);
	if (execute(
			"INSERT INTO %s.mnist_run (status, strategy, architecture, seed, parameters, parent_version, epochs,"
			" requested_by, pid, process_started_at, software, trigger, reasons, attempt, retry_of, reproduces, cpu,"
			" search, resumes, phase, epoch, progress, updated_at)"
			" VALUES ('running', $1, $2, $3, $4::jsonb, $5, $6, $7, $8, $9, $10, $11, nullif($12, '')::text[], $13,"
			" nullif($14, 0), nullif($15, 0), $16, $17::jsonb, nullif($18, 0), 'loading', 0, 0, clock_timestamp())"
			" ON CONFLICT DO NOTHING RETURNING id",
			&parameters) == 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE), errmsg("a retraining run is already under way"),
						errhint("See mnist_training_progress.")));
	return DatumGetInt64(result(1));
}

/* A transaction whose loss in a crash does no harm. */
static void
begin_progress(void)
{
	record_begin();
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
							 false);
}

/* Write down what the run trains on: totals over all processes, after duplicates were taken out. */
void
record_data(int64 run_id, const TrainingOptions *options, const int64 totals[TRAINING_NSETS], int nprocesses,
			const char *data)
{
	Parameters parameters = {0};
	bool isnull;
	Datum datasets = training_options_datasets(options, &isnull);

	begin_progress();
	add_int8(&parameters, run_id);
	add(&parameters, INT4ARRAYOID, datasets);
	if (isnull)
		parameters.nulls[1] = 'n';
	for (int i = 0; i < TRAINING_NSETS; i++)
		add_int8(&parameters, totals[i]);
	add_int4(&parameters, nprocesses);
	add_text(&parameters, data);
	update_run(
		"UPDATE %s.mnist_run SET phase = 'training', updated_at = clock_timestamp(),"
		" datasets = (SELECT array_agg(name ORDER BY id) FROM %s.mnist_dataset WHERE $2 IS NULL OR id = ANY ($2)),"
		" train_images = $3, feedback_train_images = $4, validation_images = $5, feedback_held_out_images = $6,"
		" test_images = $7, processes = $8, data = $9::jsonb, data_sha256 = mnist_internal.data_sha256($9::jsonb)"
		" WHERE id = $1",
		&parameters);
	record_commit();
}

void
record_phase(int64 run_id, const char *phase)
{
	Parameters parameters = {0};

	begin_progress();
	add_int8(&parameters, run_id);
	add_text(&parameters, phase);
	update_run("UPDATE %s.mnist_run SET phase = $2, updated_at = clock_timestamp() WHERE id = $1", &parameters);
	record_commit();
}

void
record_progress(int64 run_id, int epoch, double progress, double loss, double images_per_second)
{
	Parameters parameters = {0};

	begin_progress();
	add_int8(&parameters, run_id);
	add_int4(&parameters, epoch);
	add_float(&parameters, progress);
	add_float(&parameters, loss);
	add_float(&parameters, images_per_second);
	update_run("UPDATE %s.mnist_run SET epoch = $2, progress = $3, loss = $4, images_per_second = $5,"
			   " updated_at = clock_timestamp() WHERE id = $1",
			   &parameters);
	record_commit();
}

/* Add a report's row to mnist_metric. */
void
record_report(int64 run_id, const TrainingReport *report)
{
	Parameters parameters = {0};

	begin_progress();
	add_int8(&parameters, run_id);
	add_int4(&parameters, report->trial);
	add_int4(&parameters, report->number);
	add_int8(&parameters, report->images);
	add_float(&parameters, mean_loss(&report->train));
	add_float(&parameters, training_accuracy(&report->train));
	add_float(&parameters, mean_loss(&report->validation));
	add_float(&parameters, training_accuracy(&report->validation));
	add_float(&parameters, report->value);
	add_float(&parameters, report->learning_rate);
	add_float(&parameters, report->images_per_second);
	execute("INSERT INTO %s.mnist_metric (run_id, trial, epoch, images, train_loss, train_accuracy, validation_loss,"
			" validation_accuracy, value, learning_rate, images_per_second)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
			&parameters);
	record_commit();
}

/*
 * Write down which feedback the run uses and how each word of it counts: all there is now, or what the run that is
 * repeated used.
 */
void
record_open_snapshot(const TrainingOptions *options)
{
	Parameters parameters = {0};

	record_begin();
	add_int8(&parameters, options->run_id);
	if (options->reproduces != 0)
	{
		add_int8(&parameters, options->reproduces);
		execute("SELECT mnist_internal.copy_snapshot($1, $2)", &parameters);
	}
	else
	{
		add(&parameters, FLOAT8OID, Float8GetDatum(options->annotator_share));
		add_int4(&parameters, options->annotator_labels);
		execute("SELECT mnist_internal.open_snapshot($1, $2, $3)", &parameters);
	}
	record_commit();
}

/* The run's data by number and hash, as JSON in a memory context, by the snapshot at hand.  SPI is connected. */
char *
record_read_data(const TrainingOptions *options, MemoryContext context)
{
	Parameters parameters = {0};
	bool isnull;
	Datum datasets = training_options_datasets(options, &isnull);

	add_int8(&parameters, options->run_id);
	add(&parameters, INT4ARRAYOID, datasets);
	if (isnull)
		parameters.nulls[1] = 'n';
	execute("SELECT mnist_internal.data($1, $2)::pg_catalog.text", &parameters);
	return MemoryContextStrdup(context, TextDatumGetCString(result(1)));
}

/* Make the new version live; false if another one went live since the run began.  mnist_deployment is locked. */
static bool
promote(int64 run_id, const TrainingParent *parent, const char *requested_by, const TrainingOutcome *outcome)
{
	Parameters parameters = {0};
	Parameters version = {0};

	add_int4(&parameters, outcome->model_version);
	add_int8(&parameters, run_id);
	add_text(&parameters, outcome->verdict);
	add_text(&parameters, requested_by);
	add_int4(&parameters, parent->version);
	if (execute("INSERT INTO %s.mnist_deployment (version, action, rollback_to, run_id, reason, deployed_by)"
				" SELECT $1, 'promote', d.id, $2, $3, $4"
				" FROM (SELECT id, version FROM %s.mnist_deployment ORDER BY id DESC LIMIT 1) d"
				" WHERE d.version = $5",
				&parameters) == 0)
		return false;
	add_int4(&version, outcome->model_version);
	execute("SELECT mnist_internal.drift_bind($1)", &version);
	return true;
}

/* Has the run made the weights of the one that it repeats?  Writes the verdict. */
static void
compare_weights(const TrainingOptions *options, TrainingOutcome *outcome)
{
	Parameters parameters = {0};
	bool same;

	add_int8(&parameters, options->reproduces);
	add_int4(&parameters, outcome->model_version);
	execute("SELECT o.version, o.weights_sha256 = m.weights_sha256 FROM %s.mnist_run r"
			" JOIN %s.mnist_model o ON o.version = r.model_version, %s.mnist_model m"
			" WHERE r.id = $1 AND m.version = $2",
			&parameters);
	same = DatumGetBool(result(2));
	snprintf(outcome->verdict, sizeof(outcome->verdict),
			 same ? "reproduced run %lld: the same weights as version %d, bit for bit"
				  : "run %lld was not reproduced: the weights differ from those of version %d",
			 (long long) options->reproduces, DatumGetInt32(result(1)));
}

/* The feedback that the run had before it is no longer new; the run's row says by now that it has succeeded. */
static void
note_feedback_used(int64 run_id)
{
	Parameters parameters = {0};

	add_int8(&parameters, run_id);
	execute("SELECT mnist_internal.note_used(pg_catalog.array_agg(DISTINCT f.prediction_id))"
			" FROM %s.mnist_run_feedback u JOIN %s.mnist_feedback f ON f.id = u.feedback_id WHERE u.run_id = $1",
			&parameters);
}

static void
finish_run(int64 run_id, const TrainingOutcome *outcome, const char *gate)
{
	Parameters parameters = {0};

	add_int8(&parameters, run_id);
	add_int4(&parameters, outcome->model_version);
	add(&parameters, BOOLOID, BoolGetDatum(outcome->decision == TRAINING_PROMOTED));
	add_text(&parameters, outcome->verdict);
	add_float(&parameters, training_accuracy(&outcome->candidate.sets[TRAINING_SET_VALIDATION]));
	add_float(&parameters, training_accuracy(&outcome->live.sets[TRAINING_SET_VALIDATION]));
	add_float(&parameters, training_accuracy(&outcome->candidate.sets[TRAINING_SET_HELD_OUT]));
	add_float(&parameters, training_accuracy(&outcome->live.sets[TRAINING_SET_HELD_OUT]));
	add_float(&parameters, training_accuracy(&outcome->candidate.sets[TRAINING_SET_TEST]));
	add_float(&parameters, training_accuracy(&outcome->live.sets[TRAINING_SET_TEST]));
	add_text(&parameters, training_decision_name(outcome->decision));
	add_text(&parameters, gate);
	update_run("UPDATE %s.mnist_run SET status = 'succeeded', phase = 'finished', progress = 1,"
			   " model_version = $2, promoted = $3, verdict = $4, validation_accuracy = $5,"
			   " live_validation_accuracy = $6, feedback_accuracy = $7, live_feedback_accuracy = $8,"
			   " test_accuracy = $9, live_test_accuracy = $10, decision = $11, gate = $12::jsonb, updated_at = "
			   "clock_timestamp(),"
			   " finished_at = clock_timestamp() WHERE id = $1",
			   &parameters);
}

/*
 * All that a run comes to, in one transaction: the model, the switch if it passed, the feedback that had a
 * part, the run's row.  Fills in outcome's version, and changes decision and verdict if another model went live
 * meanwhile; of a run that repeats another the verdict is whether the weights are the same.
 */
void
record_success(int64 run_id, const TrainingOptions *options, const TrainingParent *parent, const NnNet *net,
			   const float *values, const char *gate, const char *requested_by, TrainingOutcome *outcome)
{
	record_begin();
	LockRelationOid(schema_relation("mnist_deployment"), ShareRowExclusiveLock);
	LockRelationOid(schema_relation("mnist_model"), ShareRowExclusiveLock);
	/* each statement from here on has a snapshot of its own, taken under the locks */
	outcome->model_version = model_store_add(net, values, options->architecture, parent->version, run_id,
											 training_accuracy(&outcome->candidate.sets[TRAINING_SET_VALIDATION]),
											 training_accuracy(&outcome->candidate.sets[TRAINING_SET_TEST]));
	if (outcome->decision == TRAINING_PROMOTED && !promote(run_id, parent, requested_by, outcome))
	{
		outcome->decision = TRAINING_REJECTED;
		snprintf(outcome->verdict, sizeof(outcome->verdict),
				 "rejected: another model went live during the run, which compared with version %d", parent->version);
	}
	if (options->reproduces != 0)
		compare_weights(options, outcome);
	finish_run(run_id, outcome, gate);
	note_feedback_used(run_id);
	record_commit();
}

/* Is the extension still in this database?  Opens a transaction of its own. */
bool
record_possible(void)
{
	bool possible;

	StartTransactionCommand();
	possible = OidIsValid(get_extension_oid("mnist_hil", true));
	CommitTransactionCommand();
	return possible;
}

/* Close the run's row after an error, if it is still there. */
void
record_failure(int64 run_id, const ErrorData *edata)
{
	Parameters parameters = {0};

	record_begin();
	add_int8(&parameters, run_id);
	add_text(&parameters, edata->sqlerrcode == ERRCODE_QUERY_CANCELED ? "cancelled" : "failed");
	add_text(&parameters, edata->message);
	add_text(&parameters, unpack_sql_state(edata->sqlerrcode));
	execute("UPDATE %s.mnist_run SET status = $2, error = $3, sqlstate = $4, finished_at = clock_timestamp(),"
			" updated_at = clock_timestamp() WHERE id = $1 AND status = 'running'",
			&parameters);
	record_commit();
}
