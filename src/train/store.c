/*
 * store.c: storing the result of a run, and switching to its model.
 *
 * Storing does not wait for locks that users' transactions commonly hold: it adds rows, and a sequence gives the
 * model's version.  A switch needs a lock on mnist_deployment.  If the lock is free, everything is one transaction.
 * If it is not free, or the switch fails, the model is stored as 'promotion pending'.  The trainer then waits a while
 * for the lock, and after that mnist_check makes the switch (sql/gate.sql).
 */
#include "postgres.h"

#include "access/xact.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "model/store.h"
#include "pg/schema.h"
#include "pg/spi.h"
#include "train/store.h"

/* How long a switch that was postponed waits for the lock. */
#define SWITCH_LOCK_TIMEOUT "5s"

/* Take decision and verdict from the last statement's row. */
static void
read_decision(TrainingOutcome *outcome)
{
	outcome->decision = training_decision_parse(TextDatumGetCString(spi_result(1)));
	strlcpy(outcome->verdict, TextDatumGetCString(spi_result(2)), sizeof(outcome->verdict));
}

/* Make the new version live, unless another one went live since the run began.  mnist_deployment is locked. */
static void
promote(int64 run_id, const TrainingParent *parent, const char *requested_by, TrainingOutcome *outcome)
{
	SpiParameters parameters = {0};

	spi_add_int4(&parameters, outcome->model_version);
	spi_add_int4(&parameters, parent->version);
	spi_add_int8(&parameters, run_id);
	spi_add_text(&parameters, outcome->verdict);
	spi_add_text(&parameters, requested_by);
	spi_execute("SELECT decision, verdict FROM mnist_internal.promote($1, $2, $3, $4, $5::pg_catalog.name)",
				&parameters);
	read_decision(outcome);
}

/*
 * Promote in a subtransaction.  Returns false and changes nothing if that fails: the trained model must be stored
 * nevertheless.  A cancel is passed on.
 */
static bool
try_promote(const TrainingResult *stored, TrainingOutcome *outcome)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	TrainingOutcome promoted = *outcome;
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		promote(stored->orders->run_id, stored->parent, stored->requested_by, &promoted);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (edata->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ReThrowError(edata);
		FreeErrorData(edata);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (done)
		*outcome = promoted;
	return done;
}

/* Postpone the switch: change the decision, also at the beginning of the verdict. */
static void
put_off(TrainingOutcome *outcome)
{
	const char *figures = outcome->verdict + strlen(training_decision_name(TRAINING_PROMOTED));
	char verdict[WORKER_MAX_MESSAGE];

	outcome->decision = TRAINING_PROMOTION_PENDING;
	snprintf(verdict, sizeof(verdict), "%s%s", training_decision_name(outcome->decision), figures);
	strlcpy(outcome->verdict, verdict, sizeof(outcome->verdict));
}

/* Compare the weights with those of the run that is repeated, and write the verdict. */
static void
compare_weights(const TrainingOrders *orders, TrainingOutcome *outcome)
{
	SpiParameters parameters = {0};
	bool same;

	spi_add_int8(&parameters, orders->reproduces);
	spi_add_int4(&parameters, outcome->model_version);
	spi_execute("SELECT o.version, o.weights_sha256 = m.weights_sha256 FROM %s.mnist_run r"
				" JOIN %s.mnist_model o ON o.version = r.model_version, %s.mnist_model m"
				" WHERE r.id = $1 AND m.version = $2",
				&parameters);
	same = DatumGetBool(spi_result(2));
	snprintf(outcome->verdict, sizeof(outcome->verdict),
			 same ? "reproduced run %lld: the same weights as version %d, bit for bit"
				  : "run %lld was not reproduced: the weights differ from those of version %d",
			 (long long) orders->reproduces, DatumGetInt32(spi_result(1)));
}

static void
finish_run(int64 run_id, const TrainingOutcome *outcome, const char *gate)
{
	SpiParameters parameters = {0};

	spi_add_int8(&parameters, run_id);
	spi_add_int4(&parameters, outcome->model_version);
	spi_add_bool(&parameters, outcome->decision == TRAINING_PROMOTED);
	spi_add_text(&parameters, outcome->verdict);
	spi_add_float(&parameters, training_accuracy(&outcome->candidate.sets[TRAINING_SET_VALIDATION]));
	spi_add_float(&parameters, training_accuracy(&outcome->live.sets[TRAINING_SET_VALIDATION]));
	spi_add_float(&parameters, training_accuracy(&outcome->candidate.sets[TRAINING_SET_HELD_OUT]));
	spi_add_float(&parameters, training_accuracy(&outcome->live.sets[TRAINING_SET_HELD_OUT]));
	spi_add_float(&parameters, training_accuracy(&outcome->candidate.sets[TRAINING_SET_TEST]));
	spi_add_float(&parameters, training_accuracy(&outcome->live.sets[TRAINING_SET_TEST]));
	spi_add_text(&parameters, training_decision_name(outcome->decision));
	spi_add_text(&parameters, gate);
	spi_execute("UPDATE %s.mnist_run SET status = 'succeeded', phase = 'finished', progress = 1,"
				" model_version = $2, promoted = $3, verdict = $4, validation_accuracy = $5,"
				" live_validation_accuracy = $6, feedback_accuracy = $7, live_feedback_accuracy = $8,"
				" test_accuracy = $9, live_test_accuracy = $10, decision = $11, gate = $12::jsonb,"
				" updated_at = clock_timestamp(), finished_at = clock_timestamp() WHERE id = $1",
				&parameters);
}

/*
 * Store a TrainingResult: the model, the switch if the model passed and the lock is free, the run's row, and which
 * feedback is no longer new.  The outcome is set at the end.
 */
static void
store(void *argument)
{
	const TrainingResult *stored = argument;
	const TrainingOrders *orders = stored->orders;
	TrainingOutcome outcome = *stored->outcome;
	bool locked = outcome.decision == TRAINING_PROMOTED &&
				  ConditionalLockRelationOid(schema_relation("mnist_deployment"), ShareRowExclusiveLock);

	/* each statement from here on has a snapshot of its own, taken under the lock */
	outcome.model_version =
		model_store_add(stored->net, stored->values, stored->hyper->architecture, stored->parent->version,
						orders->run_id, training_accuracy(&outcome.candidate.sets[TRAINING_SET_VALIDATION]),
						training_accuracy(&outcome.candidate.sets[TRAINING_SET_TEST]));
	if (outcome.decision == TRAINING_PROMOTED && !(locked && try_promote(stored, &outcome)))
		put_off(&outcome);
	if (orders->reproduces != 0)
		compare_weights(orders, &outcome);
	finish_run(orders->run_id, &outcome, stored->gate);
	/* the run's feedback is no longer new; this comes last because it counts the runs that have succeeded */
	spi_execute("SELECT mnist_internal.note_all_used()", NULL);
	*stored->outcome = outcome;
}

/* A run whose switch was postponed. */
typedef struct Postponed
{
	int64 run_id;
	TrainingOutcome *outcome;
} Postponed;

/* Make the switch of a Postponed in a transaction, if the lock becomes free within SWITCH_LOCK_TIMEOUT. */
static void
settle(void *argument)
{
	const Postponed *postponed = argument;

	record_begin_run(postponed->run_id, "succeeded", SWITCH_LOCK_TIMEOUT);
	LockRelationOid(schema_relation("mnist_deployment"), ShareRowExclusiveLock);
	spi_execute_int8("SELECT decision, verdict FROM mnist_internal.settle_promotion($1)", postponed->run_id);
	read_decision(postponed->outcome);
	record_commit();
}

/* Make the postponed switch.  The run has succeeded in any case: after an error mnist_check makes the switch. */
static void
switch_late(int64 run_id, TrainingOutcome *outcome)
{
	Postponed postponed = {run_id, outcome};
	char *message = record_try(settle, &postponed);

	if (message != NULL)
		ereport(LOG, (errmsg("the model of retraining run %lld is kept, and not live yet: %s", (long long) run_id,
							 message),
					  errhint("The next mnist_check makes it live.")));
}

void
store_result(TrainingResult *stored)
{
	record_write(stored->orders->run_id, store, stored);
	if (stored->outcome->decision == TRAINING_PROMOTION_PENDING)
		switch_late(stored->orders->run_id, stored->outcome);
}
