/*
 * compat.h: differences between PostgreSQL 15 and 18, in one place.
 */
#ifndef COMPAT_H
#define COMPAT_H

#include "postgres.h"

#include "utils/backend_status.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h" /* until 15 a part of postgres.h */
#endif

#if PG_VERSION_NUM < 150000
#error "mnist_hil needs PostgreSQL 15 or later"
#endif

/* 16 gave the look-up by position a name of its own. */
#if PG_VERSION_NUM >= 160000
#define pgstat_fetch_stat_local_beentry(index) pgstat_get_local_beentry_by_index(index)
#endif

/* 18 asks whether a deferrable primary key will do. */
static inline Oid
compat_primary_key_index(Relation rel)
{
#if PG_VERSION_NUM >= 180000
	return RelationGetPrimaryKeyIndex(rel, false);
#else
	return RelationGetPrimaryKeyIndex(rel);
#endif
}

/* 18 has a C11 spelling of its own instead, which stands in another place. */
#ifndef pg_attribute_noreturn
#define pg_attribute_noreturn() __attribute__((noreturn))
#endif

#endif /* COMPAT_H */
