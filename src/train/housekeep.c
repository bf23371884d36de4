/*
 * housekeep.c: what mnist_check and mnist_housekeep need that SQL cannot express.
 *
 * Checks take a lock so that one session at a time makes them.  It is an object lock on the extension, under a sub-id
 * that nothing else uses, so it conflicts neither with an application's advisory locks nor with DROP EXTENSION.  The
 * end of the transaction releases it, so it does not outlive an error or stay with a session of a pooler.  Retention
 * has a lock of its own, so that a session that only deletes never keeps another from starting a run.
 *
 * mnist_housekeep is a procedure because only a procedure can commit between the batches that it deletes.  It is in C
 * because a procedure in SQL that commits can neither run as its owner nor have a search_path of its own.  This one
 * runs as the caller, and switches to the owner for each statement only, never while it commits.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lock.h"
#include "utils/timestamp.h"

#include "pg/schema.h"
#include "pg/settings.h"
#include "pg/spi.h"

#define LOOP_LOCK_SUBID 1
#define RETENTION_LOCK_SUBID 2

PG_FUNCTION_INFO_V1(mnist_hil_try_lock);
PG_FUNCTION_INFO_V1(mnist_hil_try_retention_lock);
PG_FUNCTION_INFO_V1(mnist_housekeep);

/* Take a lock on the extension until the transaction ends; false if another transaction has it. */
static bool
try_lock(uint16 subid)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, get_extension_oid("mnist_hil", false), subid);
	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/* mnist_hil_try_lock() RETURNS boolean: false if another transaction has the lock, true if this one has it now. */
Datum
mnist_hil_try_lock(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PG_RETURN_BOOL(try_lock(LOOP_LOCK_SUBID));
}

/* mnist_hil_try_retention_lock() RETURNS boolean: the same for the lock of retention. */
Datum
mnist_hil_try_retention_lock(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PG_RETURN_BOOL(try_lock(RETENTION_LOCK_SUBID));
}

/* Run a statement as the extension's owner; SPI is connected.  True if the first column of its row is true. */
static bool
execute_as_owner(const char *statement)
{
	Oid user;
	int security;
	int code;
	bool isnull = true;
	bool result = false;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(schema_owner(), security | SECURITY_LOCAL_USERID_CHANGE);
	code = SPI_execute(statement, false, 1);
	SetUserIdAndSecContext(user, security);
	if (code < 0)
		elog(ERROR, "could not execute \"%s\": %s", statement, SPI_result_code_string(code));
	if (code == SPI_OK_SELECT && SPI_processed == 1)
		result = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return !isnull && result;
}

/*
 * Delete a batch of rows that are too old, in the transaction just begun.  Returns whether there may be more.  The
 * transaction is READ COMMITTED whatever the default is: another one could not see feedback that commits while it
 * deletes.
 */
static bool
retain_some(void)
{
	/* not SET TRANSACTION, which through SPI would come after the snapshot was taken */
	spi_set_local("transaction_isolation", "read committed");
	return execute_as_owner("SELECT mnist_internal.retain(s.retention) FROM mnist_internal.settings() AS s"
							" WHERE s.retention IS NOT NULL");
}

/*
 * CALL mnist_housekeep(): run mnist_check, then delete what is older than mnist_hil.retention, in batches with a
 * commit after each, until nothing is left or mnist_hil.retention_budget is used up.  In a transaction block, where
 * it cannot commit, and in a read-only transaction it only runs mnist_check.
 */
Datum
mnist_housekeep(PG_FUNCTION_ARGS)
{
	TimestampTz start = GetCurrentTimestamp();
	bool atomic = fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
				  castNode(CallContext, fcinfo->context)->atomic;
	bool more;

	SPI_connect_ext(atomic ? 0 : SPI_OPT_NONATOMIC);
	execute_as_owner(psprintf("SELECT false FROM %s.mnist_check()", schema_name()));
	more = !atomic && !XactReadOnly && mnist_hil_retention_budget > 0;
	while (more)
	{
		SPI_commit();
		CHECK_FOR_INTERRUPTS();
		more = !XactReadOnly && retain_some() &&
			   !TimestampDifferenceExceeds(start, GetCurrentTimestamp(), mnist_hil_retention_budget);
	}
	SPI_finish();
	PG_RETURN_VOID();
}
