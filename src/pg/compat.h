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
#include "varatt.h" /* part of postgres.h in 15 */
#endif

#if PG_VERSION_NUM < 150000
#error "mnist_hil needs PostgreSQL 15 or later"
#endif

/* 16 renamed the look-up by index. */
#if PG_VERSION_NUM >= 160000
#define pgstat_fetch_stat_local_beentry(index) pgstat_get_local_beentry_by_index(index)
#endif

/* 18 added an argument: whether a deferrable primary key is acceptable. */
static inline Oid
compat_primary_key_index(Relation rel)
{
#if PG_VERSION_NUM >= 180000
	return RelationGetPrimaryKeyIndex(rel, false);
#else
	return RelationGetPrimaryKeyIndex(rel);
#endif
}

/* 18 replaced this by pg_noreturn, which stands before a declaration. */
#ifndef pg_attribute_noreturn
#define pg_attribute_noreturn() __attribute__((noreturn))
#endif

#endif /* COMPAT_H */
