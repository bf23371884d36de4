/*
 * model_cache.c: models ready to use, once per server.
 *
 * A model's weights are needed by every session that reads a digit.  They are unpacked for the kernels
 * (nn_plan_build) once, into shared memory, where all sessions of all databases use the same copy.
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
 * model ends the challenge.  The challenger's weights are asked for by those who store readings only; where they
 * cannot be used the server log says so, and the live model reads alone.
 *
 * The rows are read as of now (a catalog snapshot), not as of the transaction's snapshot: a session in a REPEATABLE
 * READ transaction turns to a new model like any other, and parallel workers read the same row as their leader.
 *
 * Invalidations arrive when a session locks a relation, which reading a digit does not.  So they are accepted here,
 * at the start of each statement, and a statement then keeps to its model (ModelUse), even if a switch commits
 * while it runs.
 *
 * Where the models are
 *
 * The cache is keyed by the SHA-256 of the weights blob: whatever has the same weights, in whatever database, is
 * the same model, and no entry can ever be stale.  If the library is preloaded, the shared memory
 * (mnist_hil.shared_memory) consists of the struct below and a DSA area created in place, which is kept from
 * growing beyond it: no DSM segment is ever made, as containers tend to have a small /dev/shm.  The entries are an
 * array that is searched under one lock.  A hash table would gain nothing: there are at most a few hundred of them,
 * they are looked up only when a session turns to another model, and eviction must see them all.
 *
 * An entry that a backend uses is pinned by it, once, however often it uses it.  When the memory is full, entries
 * that nobody has pinned make room, the one longest unused first.  If that is not enough the backend keeps a copy
 * of its own, and so it does if the library is not preloaded.  A pin ends when the backend no longer uses the
 * model, and when it exits; a backend that dies without cleaning up takes the whole server through a restart, which
 * clears the memory.
 *
 * The lock is never held across I/O or anything that may throw: a model is read, checked and unpacked in local
 * memory first, and is then only copied under the lock.  If two backends do so at the same time, the second finds
 * the first one's entry and uses that.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/dsa.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "mnist_hil.h"

#define AREA_ALIGN 4096				 /* DSA's page size: keeps its pages on pages */
#define MEMORY_PER_ENTRY (32 * 1024) /* the smallest models take about as much */

typedef struct CacheEntry
{
	uint8 hash[MODEL_HASH_SIZE]; /* of the weights blob */
	dsa_pointer memory;			 /* holds the plan, at the first aligned address; invalid: the entry is free */
	Size size;					 /* of the plan */
	int pins;					 /* backends that use it */
	uint64 last_use;			 /* reading of the clock below */
} CacheEntry;

typedef struct CacheControl
{
	/* These never change once they are set at server start. */
	int lock_tranche;
	int area_tranche;
	int nentries;
	Size area_offset; /* of the DSA area, from the start of this struct */
	Size area_size;

	LWLock lock;  /* guards everything below, and the allocation of plans */
	uint64 clock; /* counts uses */
	CacheEntry entries[FLEXIBLE_ARRAY_MEMBER];
} CacheControl;

/* A model that this backend uses. */
typedef struct Model
{
	dlist_node node; /* in "models" */
	uint8 hash[MODEL_HASH_SIZE];
	const NnPlan *plan;
	int entry;			   /* index of the entry it has pinned, or -1 */
	MemoryContext private; /* the backend's own copy, if it has pinned none */
	int uses;			   /* references to this struct */
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

static CacheControl *control; /* NULL if the library is not preloaded */
static dsa_area *area;		  /* NULL before the first use in this process */

static dlist_head models = DLIST_STATIC_INIT(models);

static struct
{
	Model *model; /* NULL: not looked up yet */
	int version;
	Challenge challenge;
	Model *challenger; /* NULL until it is asked for */
	uint64 stamp;	   /* holds while this is schema_stamp() */
} live;

static Model *asked_for; /* by model_cache_version */

PG_FUNCTION_INFO_V1(mnist_hil_deployment_changed);
PG_FUNCTION_INFO_V1(mnist_hil_load);
PG_FUNCTION_INFO_V1(mnist_hil_cache);

/* ---- shared memory at server start ---- */

static Size
shared_size(void)
{
	return mul_size(mnist_hil_shared_memory, 1024);
}

void
model_cache_request_shared_memory(void)
{
	RequestAddinShmemSpace(shared_size());
}

static char *
area_place(void)
{
	return (char *) control + control->area_offset;
}

static void
create_shared(void)
{
	dsa_area *created;

	control->lock_tranche = LWLockNewTrancheId();
	control->area_tranche = LWLockNewTrancheId();
	control->nentries = shared_size() / MEMORY_PER_ENTRY;
	LWLockInitialize(&control->lock, control->lock_tranche);
	control->clock = 0;
	for (int i = 0; i < control->nentries; i++)
		control->entries[i].memory = InvalidDsaPointer;

	control->area_offset = offsetof(CacheControl, entries) + control->nentries * sizeof(CacheEntry);
	control->area_offset = (char *) TYPEALIGN(AREA_ALIGN, (char *) control + control->area_offset) - (char *) control;
	control->area_size = shared_size() - control->area_offset;
	created = dsa_create_in_place(area_place(), control->area_size, control->area_tranche, NULL);
	dsa_pin(created);
	dsa_set_size_limit(created, control->area_size);
	dsa_detach(created); /* each backend attaches for itself */
}

void
model_cache_init_shared_memory(void)
{
	bool found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	control = ShmemInitStruct("mnist_hil models", shared_size(), &found);
	if (!found)
		create_shared();
	LWLockRelease(AddinShmemInitLock);

	LWLockRegisterTranche(control->lock_tranche, "mnist_hil_models");
	LWLockRegisterTranche(control->area_tranche, "mnist_hil_memory");
}

/* ---- entries; all called with the lock held ---- */

static int
find_entry(const uint8 *hash)
{
	for (int i = 0; i < control->nentries; i++)
	{
		CacheEntry *entry = &control->entries[i];

		if (DsaPointerIsValid(entry->memory) && memcmp(entry->hash, hash, MODEL_HASH_SIZE) == 0)
			return i;
	}
	return -1;
}

/* Free the entry that has not been used for longest; its index, or -1 if all are in use. */
static int
evict_entry(void)
{
	int oldest = -1;

	for (int i = 0; i < control->nentries; i++)
	{
		CacheEntry *entry = &control->entries[i];

		if (DsaPointerIsValid(entry->memory) && entry->pins == 0 &&
			(oldest < 0 || entry->last_use < control->entries[oldest].last_use))
			oldest = i;
	}
	if (oldest >= 0)
	{
		dsa_free(area, control->entries[oldest].memory);
		control->entries[oldest].memory = InvalidDsaPointer;
	}
	return oldest;
}

/* An entry with memory for a plan of the given size, or -1 if there is no room. */
static int
claim_entry(Size size)
{
	dsa_pointer memory;
	int i = 0;

	/* Do not empty the cache for what will not fit in the end. */
	if (size + NN_ALIGN > control->area_size)
		return -1;

	while (i < control->nentries && DsaPointerIsValid(control->entries[i].memory))
		i++;
	if (i == control->nentries && (i = evict_entry()) < 0)
		return -1;
	for (;;)
	{
		memory = dsa_allocate_extended(area, size + NN_ALIGN, DSA_ALLOC_HUGE | DSA_ALLOC_NO_OOM);
		if (DsaPointerIsValid(memory))
			break;
		if (evict_entry() < 0)
			return -1;
	}
	control->entries[i].memory = memory;
	control->entries[i].size = size;
	control->entries[i].pins = 0;
	return i;
}

static void
pin_entry(int i)
{
	control->entries[i].pins++;
	control->entries[i].last_use = ++control->clock;
}

/* Where the plan lies; the lock is not needed for an entry that is pinned. */
static NnPlan *
entry_plan(int i)
{
	return (NnPlan *) TYPEALIGN(NN_ALIGN, dsa_get_address(area, control->entries[i].memory));
}

/* ---- the models that this backend uses ---- */

static void
unpin(Model *model)
{
	if (model->entry < 0)
		return;
	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	control->entries[model->entry].pins--;
	LWLockRelease(&control->lock);
	model->entry = -1;
}

static void
unpin_all(int code, Datum argument)
{
	dlist_iter iter;

	(void) code;
	(void) argument;
	dlist_foreach(iter, &models)
		unpin(dlist_container(Model, node, iter.cur));
}

/* Attach to the shared memory, if there is any, on the first use in this process. */
static void
attach(void)
{
	MemoryContext old;

	if (control == NULL || area != NULL)
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	area = dsa_attach_in_place(area_place(), NULL);
	dsa_pin_mapping(area);
	MemoryContextSwitchTo(old);
	on_shmem_exit(dsa_on_shmem_exit_release_in_place, PointerGetDatum(area_place()));
	before_shmem_exit(unpin_all, (Datum) 0);
}

static Model *
new_model(const uint8 *hash)
{
	Model *model = MemoryContextAllocZero(TopMemoryContext, sizeof(Model));

	memcpy(model->hash, hash, MODEL_HASH_SIZE);
	model->entry = -1;
	return model;
}

/* Drop a reference; the last one ends the backend's use of the model. */
static void
release(Model *model)
{
	if (--model->uses > 0)
		return;
	unpin(model);
	dlist_delete(&model->node);
	if (model->private)
		MemoryContextDelete(model->private);
	pfree(model);
}

/* Find a model among those in use here, then in shared memory; NULL if it is in neither. */
static Model *
find_model(const uint8 *hash)
{
	dlist_iter iter;
	Model *model;
	int i;

	dlist_foreach(iter, &models)
	{
		model = dlist_container(Model, node, iter.cur);
		if (memcmp(model->hash, hash, MODEL_HASH_SIZE) == 0)
		{
			model->uses++;
			return model;
		}
	}

	if (control == NULL)
		return NULL;
	model = new_model(hash);
	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	i = find_entry(hash);
	if (i >= 0)
		pin_entry(i);
	LWLockRelease(&control->lock);
	if (i < 0)
	{
		pfree(model);
		return NULL;
	}
	model->entry = i;
	model->plan = entry_plan(i);
	model->uses = 1;
	dlist_push_head(&models, &model->node);
	return model;
}

/* Put a plan into shared memory, or find it there by now; false if there is no room. */
static bool
share_plan(Model *model, const NnPlan *plan, Size size)
{
	int i;

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	i = find_entry(model->hash);
	if (i < 0 && (i = claim_entry(size)) >= 0)
	{
		memcpy(control->entries[i].hash, model->hash, MODEL_HASH_SIZE);
		memcpy(entry_plan(i), plan, size);
	}
	if (i >= 0)
		pin_entry(i);
	LWLockRelease(&control->lock);
	if (i < 0)
		return false;
	model->entry = i;
	model->plan = entry_plan(i);
	return true;
}

/*
 * Read a version's weights and make them ready, in shared memory if there is room.  If they cannot be used that is
 * reported as elevel says; NULL if that returns.
 */
static Model *
load_model(int version, int elevel)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "mnist_hil model load", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	uint8 hash[MODEL_HASH_SIZE];
	bytea *blob = model_store_blob(version, hash, elevel);
	Model *model = NULL;

	if (blob != NULL)
	{
		NnNet *net = palloc(sizeof(NnNet));
		float *values = model_store_unpack(blob, net);
		MemoryContext private = AllocSetContextCreate(context, "mnist_hil model", ALLOCSET_SMALL_SIZES);
		Size size = nn_plan_size(net);
		NnPlan *plan = nn_alloc(private, size);

		nn_plan_build(plan, net, values);
		model = new_model(hash);
		if (control == NULL || !share_plan(model, plan, size))
		{
			MemoryContextSetParent(private, TopMemoryContext);
			model->private = private;
			model->plan = plan;
		}
		model->uses = 1;
		dlist_push_head(&models, &model->node);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return model;
}

/* A new reference to a version's model; errors as above. */
static Model *
use_version(int version, int elevel)
{
	uint8 hash[MODEL_HASH_SIZE];
	Model *model;

	attach();
	if (!model_store_hash(version, hash, elevel))
		return NULL;
	model = find_model(hash);
	return model ? model : load_model(version, elevel);
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

	if (live.model != NULL && live.stamp == stamp)
		return;

	/* A change that arrives from here on leaves the result usable once, and no longer. */
	version = model_store_live_version(&deployment);
	model_store_challenge(deployment, &challenge);
	model = use_version(version, ERROR);
	if (live.model)
		release(live.model);
	if (live.challenger)
		release(live.challenger);
	live.model = model;
	live.version = version;
	live.challenge = challenge;
	live.challenger = NULL;
	live.stamp = stamp;
}

/* ---- what the other files call ---- */

const NnPlan *
model_cache_live(int *version)
{
	AcceptInvalidationMessages();
	look_up_live();
	if (version)
		*version = live.version;
	return live.model->plan;
}

const NnPlan *
model_cache_version(int version)
{
	Model *model = use_version(version, ERROR);

	if (asked_for)
		release(asked_for);
	asked_for = model;
	return model->plan;
}

static void
end_use(void *argument)
{
	ModelUse *use = argument;

	if (use->model)
		release(use->model);
	if (use->challenger)
		release(use->challenger);
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

const NnPlan *
model_use_plan(ModelUse *use, int *version)
{
	Snapshot snapshot = ActiveSnapshotSet() ? GetActiveSnapshot() : NULL;

	if (!same_statement(use, snapshot))
	{
		AcceptInvalidationMessages();
		look_up_live();
		live.model->uses++;
		if (use->model)
			release(use->model);
		if (use->challenger)
			release(use->challenger);
		use->model = live.model;
		use->version = live.version;
		use->challenge = live.challenge;
		use->challenger = NULL;
		if (snapshot != NULL)
		{
			use->xmax = snapshot->xmax;
			use->xcnt = snapshot->xcnt;
			use->subxcnt = snapshot->subxcnt;
			use->curcid = snapshot->curcid;
		}
	}
	*version = use->version;
	return use->model->plan;
}

/*
 * A reference to the challenger's model, which the backend keeps for the next call as well; NULL if it is of no
 * use.
 */
static Model *
use_challenger(const Challenge *challenge)
{
	if (live.challenge.id != challenge->id)
		return use_version(challenge->version, LOG); /* a change arrived while the statement ran */
	if (live.challenger == NULL)
		live.challenger = use_version(challenge->version, LOG);
	if (live.challenger == NULL)
		live.challenge.id = 0; /* not to be tried with each reading */
	else
		live.challenger->uses++;
	return live.challenger;
}

const NnPlan *
model_use_challenger(ModelUse *use, Challenge *challenge)
{
	if (use->challenge.id != 0 && use->challenger == NULL)
	{
		use->challenger = use_challenger(&use->challenge);
		if (use->challenger == NULL)
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
	release(use_version(PG_GETARG_INT32(0), ERROR));
	PG_RETURN_VOID();
}

/* mnist_hil_cache(): one row on the state of the cache. */
Datum
mnist_hil_cache(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	Datum values[5];
	bool nulls[5] = {false};
	Size used = 0;
	int count = 0;
	int pinned = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	if (control != NULL)
	{
		LWLockAcquire(&control->lock, LW_SHARED);
		for (int i = 0; i < control->nentries; i++)
		{
			if (!DsaPointerIsValid(control->entries[i].memory))
				continue;
			used += control->entries[i].size;
			count++;
			pinned += control->entries[i].pins > 0;
		}
		LWLockRelease(&control->lock);
	}
	else
	{
		dlist_iter iter;

		dlist_foreach(iter, &models)
		{
			used += MemoryContextMemAllocated(dlist_container(Model, node, iter.cur)->private, false);
			count++;
			pinned++;
		}
	}

	values[0] = CStringGetTextDatum(control ? "shared memory" : "backend");
	values[1] = Int64GetDatum(control ? (int64) control->area_size : 0);
	values[2] = Int64GetDatum((int64) used);
	values[3] = Int32GetDatum(count);
	values[4] = Int32GetDatum(pinned);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
