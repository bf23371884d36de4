/*
 * cache.c: models ready to use.
 *
 * A model's weights are needed by every session that predicts.  They are unpacked for the kernels
 * (nn_plan_build) once, into shared memory, where all sessions of all databases use the same copy (shared.c).
 *
 * Which model is live
 *
 * The live version is that of the newest row of mnist_deployment.  A backend looks it up once and keeps it until
 * that table's relcache entry is invalidated, which its trigger does on every change.  Invalidations are part of
 * PostgreSQL's own transactions: other sessions get them when the change commits, hot standbys when they replay the
 * commit, the changing session at the end of its command, and again if it rolls back, a savepoint included.  So
 * what is kept here never outlives the row it was read from, and there is nothing to notify or to reload.
 *
 * In the same way it looks up whether another model challenges the live one: what the newest row of mnist_challenger
 * says, if it was added while the newest row of mnist_deployment was that already.  So whatever switches the live
 * model ends the challenge.  The challenger's weights are asked for by those who store predictions only; where they
 * cannot be used the server log says so, and the live model predicts alone.
 *
 * The rows are read as of now (a catalog snapshot), not as of the transaction's snapshot: a session in a REPEATABLE
 * READ transaction turns to a new model like any other, and parallel workers read the same row as their leader.
 *
 * Invalidations arrive when a session locks a relation, which a prediction does not.  So they are accepted here,
 * at the start of each statement, and a statement then keeps to its model (ModelUse), even if a switch commits
 * while it runs.
 *
 * How long a model is pinned
 *
 * What a backend remembers of a model beyond a statement is its hash and where it was.  Memory is held as long as a
 * statement runs: a ModelUse pins its model in shared memory at its first call, and calls after that find it pinned,
 * at no cost.  The backend holds one pin for all uses of a model.  The pin ends
 *
 * - with the memory context of the last ModelUse: the executor's context of the statement, which also goes when the
 *   statement fails, is cancelled, or belongs to a subtransaction that aborts;
 * - at the end of the client's message, when MessageContext is reset.  That is for what outlives a statement: a
 *   cursor, and the expressions that PL/pgSQL keeps for a transaction;
 * - at the end of the transaction, for background workers, which have no MessageContext, and for procedures;
 * - when the process exits.  If it dies without cleaning up, the server restarts and clears the memory.
 *
 * A cursor that goes on after its model was unpinned pins it again, and loads it again if it was evicted; it keeps to
 * its model as any other statement.  No pin ends within a call of a function of ours: nothing of the above happens
 * there, but for the end of other statements' uses, which have their own share in the pin.
 *
 * Where sharing fails
 *
 * If what running statements have pinned leaves no room, or the model is larger than the shared memory, the backend
 * keeps a copy of its own.  It keeps that between statements, too, since loading it for each would be slow, but each
 * statement first tries again to share it.  Such copies are counted, and logged.  If the library is not preloaded
 * all copies are of this kind, and nothing is counted.
 *
 * A model is read, checked and unpacked in local memory first, and is then only copied.  If two backends do so at the
 * same time, the second finds the first one's copy and uses that.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "fmgr.h"

#include "model/cache.h"
#include "model/shared.h"
#include "model/store.h"
#include "pg/memory.h"
#include "pg/rows.h"
#include "pg/schema.h"

/* A model that this backend knows.  It is ready to use if it has a plan. */
typedef struct Model
{
	dlist_node node; /* in "models" */
	uint8 hash[MODEL_HASH_SIZE];
	const NnPlan *plan;	   /* NULL: neither pinned nor private */
	bool pinned;		   /* in shared memory */
	SharedPlace place;	   /* there */
	MemoryContext private; /* the backend's own copy, if there is one */
	bool counted;		   /* among the copies that shared.c counts */
	Size size;			   /* of the private copy's plan */
	ShareFailure why;	   /* it is not shared */
	int references;		   /* to this struct */
	int users;			   /* of them, those of statements: each ModelUse has at most one to a model */
} Model;

struct ModelUse
{
	Model *model; /* NULL before the first call */
	int version;
	Challenge challenge; /* under way at the time */
	Model *challenger;	 /* NULL until it is asked for */
	MemoryContextCallback on_end;

	/* The snapshot of the last call, told from others by what is visible to it. */
	TransactionId xmax;
	uint32 xcnt;
	int32 subxcnt;
	CommandId curcid;
};

static dlist_head models = DLIST_STATIC_INIT(models);

static struct
{
	Model *model; /* NULL: not looked up yet */
	int version;
	Challenge challenge;
	Model *challenger; /* NULL until it is asked for */
	uint64 stamp;	   /* holds while this is schema_stamp() */
	bool outdated;	   /* does not hold in any case */
} live;

/* The statement-end callback's place in MessageContext. */
static MemoryContextCallback message_end;
static bool message_end_awaited;

PG_FUNCTION_INFO_V1(mnist_hil_deployment_changed);
PG_FUNCTION_INFO_V1(mnist_hil_load);
PG_FUNCTION_INFO_V1(mnist_hil_cache);

/* ---- the end of statements ---- */

static void
unpin(Model *model)
{
	if (!model->pinned)
		return;
	model_shared_unpin(&model->place);
	model->pinned = false;
	model->plan = NULL;
}

static void
unpin_all(void)
{
	dlist_iter iter;

	dlist_foreach(iter, &models)
		unpin(dlist_container(Model, node, iter.cur));
}

static void
at_message_end(void *argument)
{
	(void) argument;
	message_end_awaited = false;
	unpin_all();
}

static void
at_transaction_end(XactEvent event, void *argument)
{
	(void) argument;
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:
			unpin_all();
			break;
		default: /* still within it */
			break;
	}
}

/* A private copy is not there any more, or will be gone with the process. */
static void
end_counting(Model *model)
{
	if (!model->counted)
		return;
	model_shared_end_private();
	model->counted = false;
}

static void
at_exit(int code, Datum argument)
{
	dlist_iter iter;

	(void) code;
	(void) argument;
	unpin_all();
	dlist_foreach(iter, &models)
		end_counting(dlist_container(Model, node, iter.cur));
}

/* Attach to the shared memory, if there is any, on the first use in this process. */
static void
attach(void)
{
	static bool attached;

	if (attached || !model_shared_exists())
		return;
	model_shared_attach();
	RegisterXactCallback(at_transaction_end, NULL);
	before_shmem_exit(at_exit, (Datum) 0);
	attached = true;
}

/* Have pins end with the client's message. */
static void
await_message_end(void)
{
	if (message_end_awaited || MessageContext == NULL)
		return;
	message_end.func = at_message_end;
	MemoryContextRegisterResetCallback(MessageContext, &message_end);
	message_end_awaited = true;
}

/* ---- the models that this backend knows ---- */

static void
delete_private(Model *model)
{
	MemoryContextDelete(model->private);
	model->private = NULL;
	model->plan = NULL;
	end_counting(model);
}

/* Drop a reference; the last one ends the model. */
static void
release(Model *model)
{
	if (--model->references > 0)
		return;
	unpin(model);
	if (model->private)
		delete_private(model);
	dlist_delete(&model->node);
	pfree(model);
}

/* Drop a statement's reference. */
static void
end_user(Model *model)
{
	if (--model->users == 0)
		unpin(model);
	release(model);
}

/* Let *place, which is a ModelUse's, refer to a model, or to none, instead of what it refers to. */
static void
turn_to(Model **place, Model *model)
{
	Model *old = *place;

	if (old == model)
		return;
	if (model)
	{
		model->references++;
		model->users++;
	}
	*place = model;
	if (old)
		end_user(old);
}

/* A new reference to a version's model; if its row cannot be used that is reported as elevel says, NULL then. */
static Model *
know_version(int version, int elevel)
{
	uint8 hash[MODEL_HASH_SIZE];
	dlist_iter iter;
	Model *model;

	if (!model_store_hash(version, hash, elevel))
		return NULL;
	dlist_foreach(iter, &models)
	{
		model = dlist_container(Model, node, iter.cur);
		if (memcmp(model->hash, hash, MODEL_HASH_SIZE) == 0)
		{
			model->references++;
			return model;
		}
	}
	model = MemoryContextAllocZero(TopMemoryContext, sizeof(Model));
	memcpy(model->hash, hash, MODEL_HASH_SIZE);
	model->place.entry = -1;
	model->references = 1;
	dlist_push_head(&models, &model->node);
	return model;
}

/* ---- making them ready ---- */

/* Use the plan in shared memory that was pinned, or none. */
static bool
use_pinned(Model *model, const NnPlan *plan)
{
	if (plan == NULL)
		return false;
	model->pinned = true;
	model->plan = plan;
	await_message_end();
	return true;
}

/*
 * Read a version's weights and make the model ready, in shared memory if there is room.  If they cannot be used that
 * is reported as elevel says; false if that returns.
 */
static bool
load(Model *model, int version, int elevel)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "mnist_hil model load", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	uint8 hash[MODEL_HASH_SIZE];
	bytea *blob = model_store_blob(version, hash, elevel);
	bool usable = blob != NULL;

	if (usable && memcmp(hash, model->hash, MODEL_HASH_SIZE) != 0)
	{
		usable = false;
		live.outdated = true; /* whoever changed the row went past what invalidates */
		ereport(elevel,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the weights of model version %d have changed", version),
				 errdetail("They are not those that this statement began with."), errhint("Repeat the statement.")));
	}
	if (usable)
	{
		NnNet *net = palloc(sizeof(NnNet));
		float *values = model_store_unpack(blob, net);
		MemoryContext private = AllocSetContextCreate(context, "mnist_hil model", ALLOCSET_SMALL_SIZES);
		Size size = nn_plan_size(net);
		NnPlan *plan = nn_alloc(private, size);

		nn_plan_build(plan, net, values);
		if (!model_shared_exists() ||
			!use_pinned(model, model_shared_add(&model->place, model->hash, plan, size, &model->why)))
		{
			MemoryContextSetParent(private, TopMemoryContext);
			model->private = private;
			model->plan = plan;
			model->size = size;
			if (model_shared_exists())
			{
				model_shared_begin_private(size, model->why);
				model->counted = true;
			}
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return usable;
}

/* Make sure that a model that a ModelUse refers to has a plan; errors as above. */
static bool
make_ready(Model *model, int version, int elevel)
{
	if (model->plan != NULL)
		return true;
	attach();
	if (model_shared_exists() && use_pinned(model, model_shared_pin(&model->place, model->hash)))
		return true;
	return load(model, version, elevel);
}

/*
 * At the start of a statement: share a model of which this backend has a copy of its own, if there is room by now.
 * Not while another statement, which may be in the middle of a call, uses the copy.
 */
static void
share_again(Model *model)
{
	const NnPlan *shared;

	if (model->private == NULL || !model_shared_exists() || model->users > 1 || model->why == SHARE_TOO_LARGE)
		return;
	shared = model_shared_pin(&model->place, model->hash);
	if (shared == NULL)
		shared = model_shared_add(&model->place, model->hash, model->plan, model->size, &model->why);
	if (shared == NULL)
		return;
	delete_private(model);
	use_pinned(model, shared);
}

/* Make sure that "live" holds. */
static void
look_up_live(void)
{
	uint64 stamp = schema_stamp();
	int64 deployment;
	int version;
	Challenge challenge;
	Model *model;

	if (live.model != NULL && live.stamp == stamp && !live.outdated)
		return;

	/* A change that arrives from here on leaves the result usable once, and no longer. */
	version = model_store_live_version(&deployment);
	model_store_challenge(deployment, &challenge);
	model = know_version(version, ERROR);
	if (live.model)
		release(live.model);
	if (live.challenger)
		release(live.challenger);
	live.model = model;
	live.version = version;
	live.challenge = challenge;
	live.challenger = NULL;
	live.stamp = stamp;
	live.outdated = false;
}

/* ---- what the other files call ---- */

static void
end_use(void *argument)
{
	ModelUse *use = argument;

	turn_to(&use->model, NULL);
	turn_to(&use->challenger, NULL);
}

ModelUse *
model_use_create(MemoryContext context)
{
	ModelUse *use = MemoryContextAllocZero(context, sizeof(ModelUse));

	use->on_end.func = end_use;
	use->on_end.arg = use;
	MemoryContextRegisterResetCallback(context, &use->on_end);
	return use;
}

ModelUse *
model_use_of(FmgrInfo *flinfo)
{
	if (flinfo->fn_extra == NULL)
		flinfo->fn_extra = model_use_create(flinfo->fn_mcxt);
	return flinfo->fn_extra;
}

/*
 * Is this the statement of the last call?  PL/pgSQL keeps a simple expression's state, and with it the ModelUse,
 * for a whole transaction; but it takes a new snapshot for each evaluation, and one that shows a switch differs
 * from one that does not.
 */
static bool
same_statement(const ModelUse *use, const SnapshotData *snapshot)
{
	return use->model != NULL && snapshot != NULL && use->xmax == snapshot->xmax && use->xcnt == snapshot->xcnt &&
		   use->subxcnt == snapshot->subxcnt && use->curcid == snapshot->curcid;
}

/* A new statement turns to a model. */
static void
begin_statement(ModelUse *use, const SnapshotData *snapshot, Model *model, int version, const Challenge *challenge)
{
	turn_to(&use->model, model);
	turn_to(&use->challenger, NULL);
	use->version = version;
	use->challenge = *challenge;
	if (snapshot != NULL)
	{
		use->xmax = snapshot->xmax;
		use->xcnt = snapshot->xcnt;
		use->subxcnt = snapshot->subxcnt;
		use->curcid = snapshot->curcid;
	}
	share_again(model);
}

const NnPlan *
model_use_plan(ModelUse *use, int *version)
{
	Snapshot snapshot = ActiveSnapshotSet() ? GetActiveSnapshot() : NULL;

	if (!same_statement(use, snapshot))
	{
		AcceptInvalidationMessages();
		look_up_live();
		begin_statement(use, snapshot, live.model, live.version, &live.challenge);
	}
	make_ready(use->model, use->version, ERROR);
	*version = use->version;
	return use->model->plan;
}

const NnPlan *
model_use_version(ModelUse *use, int version)
{
	static const Challenge none;
	Snapshot snapshot = ActiveSnapshotSet() ? GetActiveSnapshot() : NULL;

	if (!same_statement(use, snapshot) || use->version != version)
	{
		Model *model = know_version(version, ERROR);

		begin_statement(use, snapshot, model, version, &none);
		release(model); /* the use has a reference of its own */
	}
	make_ready(use->model, version, ERROR);
	return use->model->plan;
}

/* Let a use refer to the model of its challenge, and make that ready; false if it is of no use. */
static bool
turn_to_challenger(ModelUse *use)
{
	int version = use->challenge.version;

	if (live.challenge.id != use->challenge.id)
	{
		/* A change arrived while the statement ran. */
		Model *model = know_version(version, LOG);

		turn_to(&use->challenger, model);
		if (model)
			release(model);
		return model != NULL && make_ready(model, version, LOG);
	}
	/* The backend keeps it in mind for the next call as well. */
	if (live.challenger == NULL)
		live.challenger = know_version(version, LOG);
	turn_to(&use->challenger, live.challenger);
	if (use->challenger != NULL && make_ready(use->challenger, version, LOG))
		return true;
	live.challenge.id = 0; /* not to be tried with each prediction */
	return false;
}

const NnPlan *
model_use_challenger(ModelUse *use, Challenge *challenge)
{
	if (use->challenge.id != 0 && (use->challenger == NULL || use->challenger->plan == NULL) &&
		!turn_to_challenger(use))
	{
		turn_to(&use->challenger, NULL);
		use->challenge.id = 0;
	}
	*challenge = use->challenge;
	return use->challenger ? use->challenger->plan : NULL;
}

/* ---- what SQL calls ---- */

/*
 * Trigger on mnist_deployment and mnist_challenger: make every session look up the live model and its challenger anew
 * once the transaction commits.
 */
Datum
mnist_hil_deployment_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function \"%s\" was not called by a trigger", "mnist_hil_deployment_changed")));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}

/*
 * mnist_hil_load(version): bring a version into the cache before it goes live; throws if its weights cannot be
 * used.
 */
Datum
mnist_hil_load(PG_FUNCTION_ARGS)
{
	model_use_version(model_use_of(fcinfo->flinfo), PG_GETARG_INT32(0));
	PG_RETURN_VOID();
}

/* What this backend keeps for itself: the whole cache, where the library is not preloaded. */
static void
backend_state(SharedState *state)
{
	dlist_iter iter;

	memset(state, 0, sizeof(*state));
	dlist_foreach(iter, &models)
	{
		Model *model = dlist_container(Model, node, iter.cur);

		if (model->private == NULL)
			continue;
		state->used += MemoryContextMemAllocated(model->private, false);
		state->models++;
	}
	state->pinned = state->models;
	state->private = state->models;
}

/*
 * mnist_hil_cache(OUT place text, OUT memory_size bigint, OUT memory_used bigint, OUT models int, OUT pinned int,
 *				   OUT private int, OUT fallbacks bigint, OUT evictions bigint)
 *
 * The state of the cache.  The declaration of 0.1.0 has the first five.
 */
Datum
mnist_hil_cache(PG_FUNCTION_ARGS)
{
	TupleDesc desc = row_type(fcinfo, 8);
	SharedState state;
	Datum values[8];
	bool nulls[8] = {false};

	if (model_shared_exists())
		model_shared_state(&state);
	else
		backend_state(&state);

	values[0] = CStringGetTextDatum(model_shared_exists() ? "shared memory" : "backend");
	values[1] = Int64GetDatum((int64) state.size);
	values[2] = Int64GetDatum((int64) state.used);
	values[3] = Int32GetDatum(state.models);
	values[4] = Int32GetDatum(state.pinned);
	values[5] = Int32GetDatum(state.private);
	values[6] = Int64GetDatum(state.fallbacks);
	values[7] = Int64GetDatum(state.evictions);
	PG_RETURN_DATUM(make_row(desc, values, nulls));
}
