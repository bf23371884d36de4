/*
 * loop.c: what mnist_check needs that SQL has no word for.
 *
 * The lock of who acts on the loop's behalf is a lock on the extension, as an object, under a sub-id that nobody else
 * uses: it does not collide with an application's advisory locks, nor with DROP EXTENSION.  It belongs to the
 * transaction, so that it goes with it, whatever happens and whichever session of a pooler comes next.
 */
#include "postgres.h"

#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "storage/lock.h"

#include "mnist_hil.h"

#define LOOP_LOCK_SUBID 1

PG_FUNCTION_INFO_V1(mnist_hil_try_lock);

/* mnist_hil_try_lock() RETURNS boolean: false if another transaction has the lock; true again to who has it. */
Datum
mnist_hil_try_lock(PG_FUNCTION_ARGS)
{
	LOCKTAG tag;

	(void) fcinfo;
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, get_extension_oid("mnist_hil", false),
					   LOOP_LOCK_SUBID);
	PG_RETURN_BOOL(LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL);
}
