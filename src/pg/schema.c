/*
 * schema.c: where the extension lives in this database.
 *
 * Results of catalog look-ups are cached until they may be outdated.  The stamp counts changes of the extension's
 * catalog entries and of the contents of mnist_deployment and mnist_challenger, whose triggers invalidate these
 * tables' relcache entries on every change.  So data derived from these is valid as long as the stamp is the same.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "pg/schema.h"

#define EXTENSION_NAME "mnist_hil"

PG_FUNCTION_INFO_V1(mnist_hil_library_version);

static uint64 stamp = 1;

static struct
{
	uint64 stamp; /* valid while equal to the stamp above */
	Oid namespace;
	Oid owner;
	Oid deployment; /* the relations whose invalidations count */
	Oid challenger;
	char name[2 * NAMEDATALEN + 3]; /* quoted */
} cached;

static void
on_relation_change(Datum argument, Oid relation)
{
	(void) argument;
	if (relation == InvalidOid || relation == cached.deployment || relation == cached.challenger)
		stamp++;
}

static void
on_namespace_change(Datum argument, int cache_id, uint32 hash_value)
{
	(void) argument;
	(void) cache_id;
	(void) hash_value;
	stamp++;
}

/* Find the extension's row in pg_extension; its version is palloc'd.  False if there is none. */
static bool
find_extension(Oid *namespace, Oid *owner, char **version)
{
	Relation rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	Datum value;
	bool isnull;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum(EXTENSION_NAME));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_extension extension = (Form_pg_extension) GETSTRUCT(tuple);

		*namespace = extension->extnamespace;
		*owner = extension->extowner;
		value = heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(rel), &isnull);
		*version = isnull ? NULL : TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return HeapTupleIsValid(tuple);
}

/* Make sure that "cached" is valid. */
static void
look_up(void)
{
	static bool listening = false;
	uint64 before;
	Oid namespace = InvalidOid;
	Oid owner = InvalidOid;
	char *version;
	char *name = NULL;

	if (cached.stamp == stamp)
		return;

	if (!listening)
	{
		CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, on_namespace_change, (Datum) 0);
		listening = true;
	}

	/* The stamp is read first: if a change arrives while the catalogs are read, the next call looks up again. */
	before = stamp;
	if (find_extension(&namespace, &owner, &version))
		name = get_namespace_name(namespace);
	if (name == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("extension \"%s\" is not installed in this database", EXTENSION_NAME),
						errhint("Run CREATE EXTENSION %s.", EXTENSION_NAME)));
	strlcpy(cached.name, quote_identifier(name), sizeof(cached.name));
	cached.namespace = namespace;
	cached.owner = owner;
	cached.deployment = get_relname_relid("mnist_deployment", namespace);
	cached.challenger = get_relname_relid("mnist_challenger", namespace);
	cached.stamp = before;
}

uint64
schema_stamp(void)
{
	return stamp;
}

const char *
schema_name(void)
{
	look_up();
	return cached.name;
}

Oid
schema_relation(const char *relname)
{
	look_up();
	if (strcmp(relname, "mnist_deployment") == 0)
		return cached.deployment;
	if (strcmp(relname, "mnist_challenger") == 0)
		return cached.challenger;
	return get_relname_relid(relname, cached.namespace);
}

Oid
schema_owner(void)
{
	look_up();
	return cached.owner;
}

char *
schema_version(void)
{
	Oid namespace;
	Oid owner;
	char *version;

	return find_extension(&namespace, &owner, &version) ? version : NULL;
}

void
schema_check_version(void)
{
	char *version = schema_version();

	if (version == NULL || strcmp(version, MNIST_HIL_VERSION) == 0)
		return;
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("extension \"%s\" is of version %s, but its library is of version %s", EXTENSION_NAME,
						   version, MNIST_HIL_VERSION),
					errhint("Run ALTER EXTENSION %s UPDATE.", EXTENSION_NAME)));
}

/* mnist_hil_library_version(): the version of the loaded library, which may differ from the extension's. */
Datum
mnist_hil_library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(MNIST_HIL_VERSION));
}
