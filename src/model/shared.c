/*
 * shared.c: the models that all sessions share.
 *
 * If the library is preloaded, there is shared memory of a fixed size (mnist_hil.shared_memory).  It consists of the
 * struct CacheControl, the buckets of a hash table, and a DSA area created in place.  A size limit keeps the area
 * from growing: no DSM segment is ever made, since containers tend to have a small /dev/shm.  It contains no
 * pointers.
 *
 * An entry holds a model under the SHA-256 of its weights blob.  Equal weights are the same model, in whatever
 * database, and no entry can be stale.  Entries are found by a chained hash table.  A backend that has pinned an
 * entry before finds it by number and generation, without a lock.
 *
 * Pins
 *
 * A pinned entry is not evicted.  The state of an entry is one atomic word: its generation, and the number of
 * backends that have pinned it.  A backend pins the entry by compare-and-exchange, which fails if the generation has
 * changed, that is, if the entry was evicted.  Eviction increments the generation by compare-and-exchange, which
 * fails if there is a pin.  So the two exclude each other, and pinning a model again takes one atomic operation.
 *
 * Use
 *
 * "clock" orders the entries by their last use.  A backend that pins an entry other than the last one used advances
 * the clock and writes the new value to the entry's last_use.  So nobody writes as long as all use the same model.
 * Eviction takes the least recently used entry.
 *
 * Locking
 *
 * "lock" guards the buckets, the list of free entries, the sums, and the other fields of the entries that are in the
 * hash table.  It is held for a few instructions: in shared mode to look up an entry, in exclusive mode to link or
 * unlink one.  An entry that is neither free nor in the hash table belongs to the backend that took it.  Hash, memory
 * and size of a pinned entry may be read without the lock.  Eviction chooses an entry without the lock: "state" and
 * "last_use" are atomic.  It then takes the lock, and chooses again if that entry was used meanwhile.
 *
 * Plans are copied and memory is allocated without the lock (DSA has its own).  No lock is held across anything that
 * may throw or wait.  Nothing here throws or accepts interrupts, so every operation runs to its end.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "port/pg_bitutils.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/dsa.h"
#include "utils/memutils.h"

#include "model/shared.h"
#include "pg/settings.h"

#define AREA_ALIGN 4096				 /* DSA's page size */
#define MEMORY_PER_ENTRY (32 * 1024) /* about the size of the smallest models */

#define PIN_BITS 24 /* of an entry's state: enough for MAX_BACKENDS */
#define PIN_MASK ((UINT64CONST(1) << PIN_BITS) - 1)

#define NONE (-1) /* no entry */

typedef struct CacheEntry
{
	uint8 hash[MODEL_HASH_SIZE]; /* of the weights blob */
	dsa_pointer memory;			 /* holds the plan, at the first aligned address */
	Size size;					 /* of the plan */
	int next;					 /* entry of the same bucket, or free entry, or NONE */
	pg_atomic_uint64 state;		 /* generation and pins */
	pg_atomic_uint64 last_use;	 /* value of the clock; 0: not in the hash table */
} CacheEntry;

typedef struct CacheControl
{
	/* Set at server start, never changed; offsets are from the start of this struct. */
	int lock_tranche;
	int area_tranche;
	int nentries;
	uint32 nbuckets; /* a power of two */
	Size buckets_offset;
	Size area_offset;
	Size area_size;
	Size largest; /* bytes of the largest plan that fits into the empty area */

	/* Guarded by the lock. */
	LWLock lock;
	int free; /* first free entry */
	Size used;
	int models;
	int64 evictions;

	/* Atomic. */
	pg_atomic_uint64 clock;
	pg_atomic_uint64 fallbacks;
	pg_atomic_uint32 private;
	pg_atomic_uint32 logged[SHARE_FAILURES]; /* 1: this failure was logged */

	CacheEntry entries[FLEXIBLE_ARRAY_MEMBER];
} CacheControl;

static CacheControl *control; /* NULL if the library is not preloaded */
static dsa_area *area;		  /* NULL before model_shared_attach */

/* ---- at server start ---- */

static Size
shared_size(void)
{
	return mul_size(mnist_hil_shared_memory, 1024);
}

void
model_shared_request(void)
{
	RequestAddinShmemSpace(shared_size());
}

static char *
area_place(void)
{
	return (char *) control + control->area_offset;
}

static int *
buckets(void)
{
	return (int *) ((char *) control + control->buckets_offset);
}

/* Set the offsets and sizes, and make the cache empty. */
static void
lay_out(void)
{
	char *end;

	control->nentries = (int) (shared_size() / MEMORY_PER_ENTRY);
	control->nbuckets = pg_nextpower2_32((uint32) control->nentries);
	control->buckets_offset = offsetof(CacheControl, entries) + control->nentries * sizeof(CacheEntry);
	end = (char *) control + control->buckets_offset + control->nbuckets * sizeof(int);
	control->area_offset = (char *) TYPEALIGN(AREA_ALIGN, end) - (char *) control;
	control->area_size = shared_size() - control->area_offset;

	for (uint32 i = 0; i < control->nbuckets; i++)
		buckets()[i] = NONE;
	for (int i = 0; i < control->nentries; i++)
	{
		CacheEntry *entry = &control->entries[i];

		entry->memory = InvalidDsaPointer;
		entry->next = i + 1 < control->nentries ? i + 1 : NONE;
		pg_atomic_init_u64(&entry->state, 0);
		pg_atomic_init_u64(&entry->last_use, 0);
	}
	control->free = 0;
	control->used = 0;
	control->models = 0;
	control->evictions = 0;
}

/* Memory for a plan of size bytes, or InvalidDsaPointer. */
static dsa_pointer
allocate(dsa_area *from, Size size)
{
	return dsa_allocate_extended(from, size + NN_ALIGN, DSA_ALLOC_HUGE | DSA_ALLOC_NO_OOM);
}

/* The largest plan that fits into an empty area.  Found by trying, since DSA's overhead is not documented. */
static Size
largest_plan(dsa_area *empty, Size area_size)
{
	for (Size size = area_size - AREA_ALIGN; size > AREA_ALIGN; size -= AREA_ALIGN)
	{
		dsa_pointer memory = allocate(empty, size - NN_ALIGN);

		if (DsaPointerIsValid(memory))
		{
			dsa_free(empty, memory);
			return size - NN_ALIGN;
		}
	}
	return 0;
}

static void
create_shared(void)
{
	dsa_area *created;

	control->lock_tranche = LWLockNewTrancheId();
	control->area_tranche = LWLockNewTrancheId();
	LWLockInitialize(&control->lock, control->lock_tranche);
	pg_atomic_init_u64(&control->clock, 0);
	pg_atomic_init_u64(&control->fallbacks, 0);
	pg_atomic_init_u32(&control->private, 0);
	for (int i = 0; i < SHARE_FAILURES; i++)
		pg_atomic_init_u32(&control->logged[i], 0);
	lay_out();

	created = dsa_create_in_place(area_place(), control->area_size, control->area_tranche, NULL);
	dsa_pin(created);
	dsa_set_size_limit(created, control->area_size);
	control->largest = largest_plan(created, control->area_size);
	dsa_detach(created); /* each backend attaches for itself */
}

void
model_shared_init(void)
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

bool
model_shared_exists(void)
{
	return control != NULL;
}

void
model_shared_attach(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	area = dsa_attach_in_place(area_place(), NULL);
	dsa_pin_mapping(area);
	MemoryContextSwitchTo(old);
	on_shmem_exit(dsa_on_shmem_exit_release_in_place, PointerGetDatum(area_place()));
}

/* ---- the hash table; called with the lock held ---- */

static int *
bucket_of(const uint8 *hash)
{
	uint32 number;

	memcpy(&number, hash, sizeof(number));
	return &buckets()[number & (control->nbuckets - 1)];
}

static int
find_entry(const uint8 *hash)
{
	int i = *bucket_of(hash);

	while (i != NONE && memcmp(control->entries[i].hash, hash, MODEL_HASH_SIZE) != 0)
		i = control->entries[i].next;
	return i;
}

static void
link_entry(int i)
{
	CacheEntry *entry = &control->entries[i];
	int *first = bucket_of(entry->hash);

	entry->next = *first;
	*first = i;
	control->used += entry->size;
	control->models++;
}

static void
unlink_entry(int i)
{
	CacheEntry *entry = &control->entries[i];
	int *link = bucket_of(entry->hash);

	while (*link != i)
		link = &control->entries[*link].next;
	*link = entry->next;
	control->used -= entry->size;
	control->models--;
}

static void
push_free(int i)
{
	control->entries[i].next = control->free;
	control->free = i;
}

/* ---- pins ---- */

static uint64
generation_of(uint64 state)
{
	return state >> PIN_BITS;
}

static int
pins_of(uint64 state)
{
	return (int) (state & PIN_MASK);
}

/* Pin an entry unless its generation has changed. */
static bool
try_pin(CacheEntry *entry, uint64 generation)
{
	uint64 state = pg_atomic_read_u64(&entry->state);

	while (generation_of(state) == generation)
	{
		if (pg_atomic_compare_exchange_u64(&entry->state, &state, state + 1))
			return true;
	}
	return false;
}

/* Make a pinned entry the most recently used. */
static void
note_use(CacheEntry *entry)
{
	if (pg_atomic_read_u64(&entry->last_use) != pg_atomic_read_u64(&control->clock))
		pg_atomic_write_u64(&entry->last_use, pg_atomic_add_fetch_u64(&control->clock, 1));
}

/* The plan of a pinned entry. */
static NnPlan *
entry_plan(const CacheEntry *entry)
{
	return (NnPlan *) TYPEALIGN(NN_ALIGN, dsa_get_address(area, entry->memory));
}

/* The place and plan of an entry that the caller has pinned. */
static const NnPlan *
pinned(SharedPlace *place, int i)
{
	CacheEntry *entry = &control->entries[i];

	note_use(entry);
	place->entry = i;
	place->generation = generation_of(pg_atomic_read_u64(&entry->state));
	return entry_plan(entry);
}

const NnPlan *
model_shared_pin(SharedPlace *place, const uint8 hash[MODEL_HASH_SIZE])
{
	int i = place->entry;

	if (i != NONE && try_pin(&control->entries[i], place->generation))
		return pinned(place, i);

	LWLockAcquire(&control->lock, LW_SHARED);
	i = find_entry(hash);
	if (i != NONE)
		pg_atomic_fetch_add_u64(&control->entries[i].state, 1); /* evicting it would take the lock */
	LWLockRelease(&control->lock);
	return i == NONE ? NULL : pinned(place, i);
}

void
model_shared_unpin(const SharedPlace *place)
{
	pg_atomic_fetch_sub_u64(&control->entries[place->entry].state, 1);
}

/* ---- making room ---- */

/*
 * Would a plan fit if all unpinned models were evicted?  The answer may be outdated at once; it avoids evicting all
 * of them in vain.
 */
static bool
could_fit(Size size)
{
	Size taken = TYPEALIGN(AREA_ALIGN, size + NN_ALIGN);

	for (int i = 0; i < control->nentries; i++)
	{
		CacheEntry *entry = &control->entries[i];

		if (pins_of(pg_atomic_read_u64(&entry->state)) > 0)
			taken += TYPEALIGN(AREA_ALIGN, entry->size + NN_ALIGN);
	}
	return taken <= TYPEALIGN(AREA_ALIGN, control->largest + NN_ALIGN);
}

/* The least recently used of the unpinned entries, with its state and last_use as read; or NONE. */
static int
choose_victim(uint64 *state, uint64 *last_use)
{
	int victim = NONE;

	*state = 0;
	*last_use = 0;
	for (int i = 0; i < control->nentries; i++)
	{
		CacheEntry *entry = &control->entries[i];
		uint64 use = pg_atomic_read_u64(&entry->last_use);
		uint64 now = pg_atomic_read_u64(&entry->state);

		if (use == 0 || pins_of(now) > 0 || (victim != NONE && use >= *last_use))
			continue;
		victim = i;
		*state = now;
		*last_use = use;
	}
	return victim;
}

/* Free an entry and its memory unless it was used since it was chosen. */
static bool
evict_entry(int i, uint64 state, uint64 last_use)
{
	CacheEntry *entry = &control->entries[i];
	dsa_pointer memory = InvalidDsaPointer;

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	if (pg_atomic_read_u64(&entry->last_use) == last_use &&
		pg_atomic_compare_exchange_u64(&entry->state, &state, (generation_of(state) + 1) << PIN_BITS))
	{
		pg_atomic_write_u64(&entry->last_use, 0);
		unlink_entry(i);
		memory = entry->memory;
		push_free(i);
		control->evictions++;
	}
	LWLockRelease(&control->lock);
	if (!DsaPointerIsValid(memory))
		return false;
	dsa_free(area, memory);
	return true;
}

/* Evict one model; false if all are pinned. */
static bool
make_room(void)
{
	uint64 state;
	uint64 last_use;
	int victim;

	do
	{
		victim = choose_victim(&state, &last_use);
		if (victim == NONE)
			return false;
	} while (!evict_entry(victim, state, last_use));
	return true;
}

/* Take a free entry, evicting a model if there is none; NONE if all entries are pinned. */
static int
take_entry(void)
{
	int i;

	do
	{
		LWLockAcquire(&control->lock, LW_EXCLUSIVE);
		i = control->free;
		if (i != NONE)
			control->free = control->entries[i].next;
		LWLockRelease(&control->lock);
	} while (i == NONE && make_room());
	return i;
}

/* Memory for a plan, evicting models as needed; InvalidDsaPointer if the pinned ones leave too little. */
static dsa_pointer
take_memory(Size size)
{
	dsa_pointer memory = allocate(area, size);

	if (DsaPointerIsValid(memory) || !could_fit(size))
		return memory;
	do
		memory = allocate(area, size);
	while (!DsaPointerIsValid(memory) && make_room());
	return memory;
}

/*
 * Put the caller's filled entry into the hash table, pinned.  If the table has the model already, its entry is pinned
 * instead, and the caller's is freed.  Returns the pinned entry.
 */
static int
publish(int i)
{
	CacheEntry *entry = &control->entries[i];
	dsa_pointer unneeded = InvalidDsaPointer;
	int other;

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	other = find_entry(entry->hash);
	if (other != NONE)
	{
		pg_atomic_fetch_add_u64(&control->entries[other].state, 1);
		unneeded = entry->memory;
		push_free(i);
	}
	else
	{
		pg_atomic_fetch_add_u64(&entry->state, 1);
		pg_atomic_write_u64(&entry->last_use, pg_atomic_add_fetch_u64(&control->clock, 1));
		link_entry(i);
	}
	LWLockRelease(&control->lock);
	if (DsaPointerIsValid(unneeded))
		dsa_free(area, unneeded);
	return other != NONE ? other : i;
}

const NnPlan *
model_shared_add(SharedPlace *place, const uint8 hash[MODEL_HASH_SIZE], const NnPlan *plan, Size size,
				 ShareFailure *why)
{
	CacheEntry *entry;
	dsa_pointer memory;
	int i;

	*why = size > control->largest ? SHARE_TOO_LARGE : SHARE_FULL;
	if (*why == SHARE_TOO_LARGE)
		return NULL;
	memory = take_memory(size);
	if (!DsaPointerIsValid(memory))
		return NULL;
	i = take_entry();
	if (i == NONE)
	{
		dsa_free(area, memory);
		return NULL;
	}
	entry = &control->entries[i];
	memcpy(entry->hash, hash, MODEL_HASH_SIZE);
	entry->memory = memory;
	entry->size = size;
	memcpy(entry_plan(entry), plan, size);
	return pinned(place, publish(i));
}

/* ---- counting private copies, and the state ---- */

void
model_shared_begin_private(Size size, ShareFailure why)
{
	Size kilobytes = size / 1024;
	Size all = control->largest / 1024;

	pg_atomic_fetch_add_u32(&control->private, 1);
	pg_atomic_fetch_add_u64(&control->fallbacks, 1);
	if (pg_atomic_exchange_u32(&control->logged[why], 1) != 0)
		return;
	ereport(
		LOG,
		(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
		 errmsg("a session keeps a model in memory of its own, as there is no room for it in shared memory"),
		 why == SHARE_TOO_LARGE
			 ? errdetail("The model takes %zu kB; the largest one that fits takes %zu kB.", kilobytes, all)
			 : errdetail("The model takes %zu kB; running statements use most of the %zu kB.", kilobytes, all),
		 errhint("Consider increasing mnist_hil.shared_memory. mnist_status counts such copies; this message does "
				 "not come again before the server restarts.")));
}

void
model_shared_end_private(void)
{
	pg_atomic_fetch_sub_u32(&control->private, 1);
}

void
model_shared_state(SharedState *state)
{
	LWLockAcquire(&control->lock, LW_SHARED);
	state->used = control->used;
	state->models = control->models;
	state->evictions = control->evictions;
	LWLockRelease(&control->lock);

	state->pinned = 0;
	for (int i = 0; i < control->nentries; i++)
		state->pinned += pins_of(pg_atomic_read_u64(&control->entries[i].state)) > 0;
	state->size = control->area_size;
	state->private = (int) pg_atomic_read_u32(&control->private);
	state->fallbacks = (int64) pg_atomic_read_u64(&control->fallbacks);
}
