/*
 * cache.c: models ready to use.
 *
 * Every session that predicts needs a model's weights.  They are unpacked for the kernels (nn_plan_build) once, into
 * shared memory, where all sessions of all databases use the same copy (shared.c).
 *
 * Which model is live
 *
 * The newest row of mnist_deployment names the live version.  A backend looks it up once and keeps it until that
 * table's relcache entry is invalidated.  The table's trigger invalidates it on every change.  Invalidations are
 * transactional: other sessions get them when the change commits, and hot standbys when they replay the commit.  The
 * changing session gets them at the end of its command, and again if the transaction or a savepoint is rolled back.
 * So the version kept here never outlives the row that it was read from.  Nothing needs to be notified or reloaded.
 *
 * The challenger is looked up in the same way.  The newest row of mnist_challenger is valid only if it names the
 * newest row of mnist_deployment.  So a switch of the live model always ends the challenge.  The challenger's weights
 * are loaded only by functions that store predictions.  If they cannot be used, a message goes to the server log and
 * the live model predicts alone.
 *
 * The rows are read with a catalog snapshot, not with the transaction's snapshot.  So a session in a REPEATABLE READ
 * transaction sees a new model like any other session, and parallel workers read the same row as their leader.
 *
 * A session receives invalidations when it locks a relation, but a prediction locks none.  So they are accepted here,
 * at the start of each statement.  The statement then keeps its model (ModelUse), even if a switch commits while it
 * runs.
 *
 * How long a model is pinned
 *
 * Between statements a backend remembers only a model's hash and its place.  A ModelUse pins its model in shared
 * memory at its first call; further calls find it pinned, at no cost.  The backend holds one pin for all uses of a
 * model.  The pin ends
 *
 * - with the memory context of the last ModelUse.  This is the statement's executor context, which is also deleted
 *   when the statement fails, is cancelled, or belongs to a subtransaction that aborts;
 * - at the end of the client's message, when MessageContext is reset.  This covers uses that outlive a statement:
 *   cursors, and the expressions that PL/pgSQL keeps for a transaction;
 * - at the end of the transaction.  This covers procedures, and background workers, which have no MessageContext;
 * - when the process exits.  If it crashes, the server restarts and clears the memory.
 *
 * A cursor that continues after its model was unpinned pins the same model again, and loads it again if it was
 * evicted.  No pin ends during a call of one of our functions: of the events above, only the end of other uses can
 * happen then, and these are counted separately.
 *
 * Where sharing fails
 *
 * If pinned models leave no room, or the model is larger than the shared memory, the backend keeps a private copy.
 * It keeps the copy between statements, since loading it for each would be slow, but each statement first tries
 * again to share it.  Such copies are counted, and the first one for each reason is logged.  If the library is not
 * preloaded, all copies are private, and nothing is counted.
 *
 * A model is read, checked and unpacked in local memory first, and then copied.  If two backends do so at the same
 * time, the second one finds and uses the copy of the first.
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
	ShareFailure why;	   /* reason for the private copy */
	int references;		   /* to this struct */
	int users;			   /* references held by statements: at most one for each ModelUse */
} Model;

struct ModelUse
{
	Model *model; /* NULL before the first call */
	int version;
	Challenge challenge; /* under way at the first call */
	Model *challenger;	 /* NULL until it is requested */
	MemoryContextCallback on_end;

	/* Identify the snapshot of the last call. */
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
	Model *challenger; /* NULL until it is requested */
	uint64 stamp;	   /* valid while equal to schema_stamp() */
	bool outdated;	   /* invalid, whatever the stamp */
} live;

/* The callback for the reset of MessageContext, and whether it is registered. */
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

/* Stop counting a private copy: it was deleted, or the process exits. */
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

/* Make pins end with the client's message. */
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

/* Make *place, a field of a ModelUse, refer to a model (NULL: to none), and drop its old reference. */
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

/* A new reference to a version's model.  If its row cannot be used, reports this with elevel and returns NULL. */
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

/* Use a plan that was pinned in shared memory; false if it is NULL. */
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
 * Read a version's weights and make the model ready, in shared memory if there is room.  If the weights cannot be
 * used, reports this with elevel and returns false.
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
		live.outdated = true; /* the row was changed without an invalidation */
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

/* Make sure that a ModelUse's model has a plan.  Errors as above. */
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
 * At the start of a statement: replace this backend's private copy by a shared one, if there is room by now.  Does
 * nothing while another statement uses the copy, since that one may be in the middle of a call.
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

/* Make sure that "live" is valid. */
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

	/* The stamp was read first: if a change arrives from here on, the next statement looks up again. */
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

/* ---- the functions of cache.h ---- */

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
 * Is this the statement of the last call?  PL/pgSQL keeps a simple expression's state, and the ModelUse with it, for
 * a whole transaction.  But it takes a new snapshot for each evaluation, and a switch changes the fields compared
 * here.
 */
static bool
same_statement(const ModelUse *use, const SnapshotData *snapshot)
{
	return use->model != NULL && snapshot != NULL && use->xmax == snapshot->xmax && use->xcnt == snapshot->xcnt &&
		   use->subxcnt == snapshot->subxcnt && use->curcid == snapshot->curcid;
}

/* Bind a use to a new statement and its model. */
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

/* Make a use refer to the challenger's model, and make that model ready; false if it cannot be used. */
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
	/* Keep it for the backend's later statements, too. */
	if (live.challenger == NULL)
		live.challenger = know_version(version, LOG);
	turn_to(&use->challenger, live.challenger);
	if (use->challenger != NULL && make_ready(use->challenger, version, LOG))
		return true;
	live.challenge.id = 0; /* do not try again with each prediction */
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

/* ---- SQL functions ---- */

/*
 * Trigger on mnist_deployment and mnist_challenger: once the transaction commits, every session looks up the live
 * model and its challenger again.
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
 * mnist_hil_load(version): load a version into the cache before it goes live; throws if its weights cannot be used.
 */
Datum
mnist_hil_load(PG_FUNCTION_ARGS)
{
	model_use_version(model_use_of(fcinfo->flinfo), PG_GETARG_INT32(0));
	PG_RETURN_VOID();
}

/* This backend's private copies: the whole cache if the library is not preloaded. */
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
 * The state of the cache.  The function's declaration in version 0.1.0 has only the first five columns.
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
