/*
 * trials.c: what a run writes into the tables of trials and reads from them.
 *
 * A study is recorded from its start: mnist_run.search says what it searches, and each trial has a row, with its
 * parameters, before it begins.  A trial ends as succeeded, pruned or failed, whatever becomes of the run.  A trial
 * that is under way when the run ends is closed as cancelled, by a trigger on mnist_run, and later runs do not use
 * it.  A run that takes over the trials of another copies the rows, so that each run's record is complete.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "pg/spi.h"
#include "train/trials.h"

/* Trials that have ended.  Cancelled ones are left out. */
#define ENDED "status IN ('succeeded', 'pruned', 'failed')"

static const char *const trial_status[] = {
	[TRAINING_TRIAL_SUCCEEDED] = "succeeded",
	[TRAINING_TRIAL_PRUNED] = "pruned",
	[TRAINING_TRIAL_FAILED] = "failed",
	[TRAINING_TRIAL_CANCELLED] = "cancelled",
};

/* Look up the data sets that a run was trained on.  It is an error if one has been dropped. */
static void
read_datasets(int64 run_id, TrainingOrders *orders)
{
	uint64 n = spi_execute_int8(
		"SELECT name, d.id FROM %s.mnist_run r, pg_catalog.unnest(r.datasets) WITH ORDINALITY u (name, place)"
		" LEFT JOIN %s.mnist_dataset d USING (name) WHERE r.id = $1 ORDER BY place",
		run_id);

	if (n > TRAINING_MAX_DATASETS)
		n = 0; /* more than a call can name: use all data sets */
	orders->ndatasets = (int) n;
	for (uint64 i = 0; i < n; i++)
	{
		char *id = spi_text_at(i, 2);

		if (id == NULL)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("the data set \"%s\" of run %lld has been dropped", spi_text_at(i, 1),
								   (long long) run_id),
							errdetail("The trials to be made would not compare with those that were.")));
		orders->dataset_ids[i] = atoi(id);
	}
}

/* Refuse a study that cannot be continued; its row is the last statement's result. */
static void
check_study(int64 run_id, uint64 found)
{
	if (found == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("there is no run %lld", (long long) run_id),
						errhint("The runs are listed in table mnist_run.")));
	if (strcmp(spi_text_at(0, 2), "0") == 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("run %lld has no trials to take over", (long long) run_id),
						errhint("Start a new search with mnist_retrain(search => true).")));
	if (strcmp(spi_text_at(0, 3), "t") != 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("run %lld fine-tuned a model that is not live any more", (long long) run_id),
						errdetail("The trials to be made would not compare with those that were."),
						errhint("Activate version %s, or start a new search.", spi_text_at(0, 4))));
}

void
trials_read_study(int64 run_id, Hyperparameters *hyper, TrainingOrders *orders, TrainingStudy *study)
{
	check_study(run_id,
				spi_execute_int8("SELECT r.strategy,"
								 " (SELECT count(*) FROM %s.mnist_trial t WHERE t.run_id = r.id AND t." ENDED "),"
								 " r.strategy <> 'fine_tune' OR r.parent_version = (SELECT version"
								 "  FROM %s.mnist_deployment ORDER BY id DESC LIMIT 1),"
								 " r.parent_version, r.seed, r.search->>'search', r.search->>'trials',"
								 " r.search->>'trial_epochs', r.search->>'trial_images',"
								 " r.search->>'fixed_learning_rate', r.search->>'fixed_batch_size',"
								 " coalesce(r.search->>'fixed_augmentation', 'false')"
								 " FROM %s.mnist_run r WHERE r.id = $1",
								 run_id));
	hyperparameters_init(hyper, training_strategy_parse(spi_text_at(0, 1)));
	training_study_init(study);
	hyper->seed = strtoll(spi_text_at(0, 5), NULL, 10);
	if (strcmp(spi_text_at(0, 6), "true") == 0)
	{
		study->trials = atoi(spi_text_at(0, 7));
		study->trial_epochs = atoi(spi_text_at(0, 8));
		study->trial_images = atoi(spi_text_at(0, 9));
	}
	study->fixed_learning_rate = strcmp(spi_text_at(0, 10), "true") == 0;
	study->fixed_batch_size = strcmp(spi_text_at(0, 11), "true") == 0;
	study->fixed_augmentation = strcmp(spi_text_at(0, 12), "true") == 0;
	study->resume_run = run_id;

	(void) spi_execute_int8(
		"SELECT o.key, o.value FROM %s.mnist_run r, pg_catalog.jsonb_each_text(r.search->'options') o"
		" WHERE r.id = $1",
		run_id);
	for (uint64 i = 0; i < SPI_processed; i++)
		(void) hyperparameters_set(hyper, spi_text_at(i, 1), spi_text_at(i, 2));
	(void) spi_execute_int8(
		"SELECT a.value FROM %s.mnist_run r,"
		" pg_catalog.jsonb_array_elements_text(r.search->'architectures') WITH ORDINALITY a (value, place)"
		" WHERE r.id = $1 ORDER BY a.place",
		run_id);
	for (uint64 i = 0; i < SPI_processed; i++)
		training_study_add(study, spi_text_at(i, 1));
	read_datasets(run_id, orders);
}

void
trials_take_over(int64 run_id, int64 from_run)
{
	SpiParameters parameters = {0};

	spi_add_int8(&parameters, run_id);
	spi_add_int8(&parameters, from_run);
	spi_execute(
		"INSERT INTO %s.mnist_trial (run_id, trial, status, architecture, parameters, value, validation_accuracy,"
		" validation_loss, feedback_accuracy, epochs, started_at, finished_at, error, sqlstate, taken_from)"
		" SELECT $1, trial, status, architecture, parameters, value, validation_accuracy, validation_loss,"
		" feedback_accuracy, epochs, started_at, finished_at, error, sqlstate, coalesce(taken_from, run_id)"
		" FROM %s.mnist_trial WHERE run_id = $2 AND " ENDED,
		&parameters);
	spi_execute(
		"INSERT INTO %s.mnist_metric (run_id, trial, epoch, images, train_loss, train_accuracy, validation_loss,"
		" validation_accuracy, value, learning_rate, images_per_second, recorded_at)"
		" SELECT $1, m.trial, m.epoch, m.images, m.train_loss, m.train_accuracy, m.validation_loss,"
		" m.validation_accuracy, m.value, m.learning_rate, m.images_per_second, m.recorded_at"
		" FROM %s.mnist_metric m JOIN %s.mnist_trial t USING (run_id, trial)"
		" WHERE m.run_id = $2 AND t." ENDED,
		&parameters);
}

/* One row of trials_read. */
static void
read_trial(uint64 row, int nnames, TrainingTrial *trial)
{
	TupleDesc desc = SPI_tuptable->tupdesc;
	HeapTuple tuple = SPI_tuptable->vals[row];
	const char *status = spi_text_at(row, 1);
	char *value = spi_text_at(row, 2);
	bool isnull;
	Datum *datums;
	bool *nulls;
	Datum array;

	trial->end = TRAINING_TRIAL_FAILED;
	for (int i = 0; i < (int) lengthof(trial_status); i++)
		if (strcmp(status, trial_status[i]) == 0)
			trial->end = (TrainingTrialEnd) i;
	trial->value = value != NULL ? (double) strtof(value, NULL) : 0;

	array = SPI_getbinval(tuple, desc, 3, &isnull);
	deconstruct_array(DatumGetArrayTypeP(array), FLOAT4OID, sizeof(float4), true, TYPALIGN_INT, &datums, &nulls,
					  &trial->nreports);
	trial->reports = palloc(sizeof(double) * Max(trial->nreports, 1));
	for (int i = 0; i < trial->nreports; i++)
		trial->reports[i] = nulls[i] ? 0 : (double) DatumGetFloat4(datums[i]);

	trial->parameters = palloc(sizeof(char *) * Max(nnames, 1));
	for (int i = 0; i < nnames; i++)
	{
		char *text = SPI_getvalue(tuple, desc, 4 + i);

		trial->parameters[i] = text != NULL ? pstrdup(text) : NULL;
	}
}

int
trials_read(int64 run_id, const char *const *names, int nnames, TrainingTrial **trials, MemoryContext context)
{
	SpiParameters parameters = {0};
	StringInfoData sql;
	int n;

	record_begin_run(run_id, "running", WORKER_LOCK_TIMEOUT);
	spi_add_int8(&parameters, run_id);
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT t.status, t.value, ARRAY(SELECT m.value FROM %s.mnist_metric m"
								 " WHERE m.run_id = t.run_id AND m.trial = t.trial ORDER BY m.epoch)");
	for (int i = 0; i < nnames; i++)
	{
		appendStringInfo(&sql, ", t.parameters->>$%d", i + 2);
		spi_add_text(&parameters, names[i]);
	}
	appendStringInfoString(&sql, " FROM %s.mnist_trial t WHERE t.run_id = $1 AND t." ENDED " ORDER BY t.trial");
	n = (int) Min(spi_execute(sql.data, &parameters), TRAINING_MAX_TRIALS);
	if (n > 0)
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(context);

		*trials = palloc(sizeof(TrainingTrial) * n);
		for (int i = 0; i < n; i++)
			read_trial(i, nnames, &(*trials)[i]);
		MemoryContextSwitchTo(oldcontext);
	}
	record_commit();
	return n;
}

void
trials_start(int64 run_id, int trial, const char *architecture, const char *trial_parameters)
{
	RecordStatements write = {
		.sql = {"INSERT INTO %s.mnist_trial (run_id, trial, status, architecture, parameters)"
				" VALUES ($1, $2, 'running', $3, $4::jsonb)",
				"UPDATE %s.mnist_run SET phase = 'searching', trial = $2, updated_at = clock_timestamp()"
				" WHERE id = $1"}};

	spi_add_int8(&write.parameters, run_id);
	spi_add_int4(&write.parameters, trial);
	spi_add_text(&write.parameters, architecture);
	spi_add_text(&write.parameters, trial_parameters);
	record_statements(run_id, &write);
}

void
trials_end(int64 run_id, TrainingTrialEnd end, const TrainingReport *report, double epochs, const char *error,
		   int sqlerrcode)
{
	RecordStatements write = {
		.sql = {"UPDATE %s.mnist_trial SET status = $2, value = $3, validation_accuracy = $4, validation_loss = $5,"
				" feedback_accuracy = $6, epochs = $7, error = $8, sqlstate = $9, finished_at = clock_timestamp()"
				" WHERE run_id = $1 AND status = 'running'"}};

	spi_add_int8(&write.parameters, run_id);
	spi_add_text(&write.parameters, trial_status[end]);
	spi_add_float(&write.parameters,
				  end == TRAINING_TRIAL_FAILED || end == TRAINING_TRIAL_CANCELLED ? NAN : report->value);
	spi_add_float(&write.parameters, training_accuracy(&report->validation));
	spi_add_float(&write.parameters, training_mean_loss(&report->validation));
	spi_add_float(&write.parameters, training_accuracy(&report->trial_feedback));
	spi_add_float(&write.parameters, epochs);
	spi_add_text(&write.parameters, error);
	spi_add_text(&write.parameters, error != NULL ? unpack_sql_state(sqlerrcode) : NULL);
	record_statements(run_id, &write);
}

void
trials_choose(int64 run_id, int trial, const Hyperparameters *hyper, bool kept)
{
	RecordStatements write = {
		.sql = {"UPDATE %s.mnist_run SET phase = 'training', trial = NULL, best_trial = $2, architecture = $3,"
				" parameters = $4::jsonb, updated_at = clock_timestamp() WHERE id = $1",
				"INSERT INTO %s.mnist_metric (run_id, trial, epoch, images, train_loss, train_accuracy,"
				" validation_loss, validation_accuracy, learning_rate, images_per_second, recorded_at)"
				" SELECT run_id, 0, epoch, images, train_loss, train_accuracy, validation_loss,"
				" validation_accuracy, learning_rate, images_per_second, recorded_at"
				" FROM %s.mnist_metric WHERE run_id = $1 AND trial = $2 AND $5"}};

	spi_add_int8(&write.parameters, run_id);
	spi_add_int4(&write.parameters, trial);
	spi_add_text(&write.parameters, hyper->architecture);
	spi_add_text(&write.parameters, hyperparameters_json(hyper));
	spi_add_bool(&write.parameters, kept);
	record_statements(run_id, &write);
}
