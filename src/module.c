/*
 * module.c: what happens when the library is loaded.  It stands above the rooms because it uses several of them.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"

#include "model/shared.h"
#include "pg/settings.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static shmem_startup_hook_type previous_shmem_startup_hook;

static void
startup_shared_memory(void)
{
	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();
	model_shared_init();
}

static shmem_request_hook_type previous_shmem_request_hook;

static void
request_shared_memory(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	model_shared_request();
}

void
_PG_init(void)
{
	settings_define();

	/* If the library is not preloaded, it has no shared memory: see model/cache.c. */
	if (!process_shared_preload_libraries_in_progress)
		return;

	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shared_memory;
}
