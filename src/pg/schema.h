/*
 * schema.h: where the extension lives in this database, and which version of it.
 */
#ifndef PG_SCHEMA_H
#define PG_SCHEMA_H

#include "postgres.h"

/*
 * The schema of the extension's objects, quoted for use in SQL text; valid until the next call of a function of
 * schema.c.  ERRCODE_UNDEFINED_OBJECT with a hint if the extension is not in this database.
 */
extern const char *schema_name(void);

/* The OID of one of the extension's relations, or InvalidOid. */
extern Oid schema_relation(const char *relname);

/* The extension's owner: background workers and internal look-ups act as this role. */
extern Oid schema_owner(void);

/* The version of the extension in this database, palloc'd; NULL if it is not installed. */
extern char *schema_version(void);

/*
 * Throws ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE if the extension in this database has another version than the
 * library.  Functions of mnist_internal that the library calls may be missing or different then.
 */
extern void schema_check_version(void);

/*
 * A number that changes whenever the results of the functions above, or the contents of mnist_deployment or
 * mnist_challenger, may have changed.
 */
extern uint64 schema_stamp(void);

#endif /* PG_SCHEMA_H */
