\echo Use "CREATE EXTENSION mnist_hil" to load this file. \quit

/*
 * This script and the functions that it creates look up no name in a schema that others may write.  Otherwise somebody
 * could plant a better matching function or operator there, which would run with the rights of the extension's owner.
 * Therefore the script sets search_path and qualifies the names of all its objects.  Function bodies are bound when
 * they are created (BEGIN ATOMIC); PL/pgSQL functions have SET search_path = pg_catalog, pg_temp.
 *
 * Objects for users are in the extension's schema.  Internal objects are in mnist_internal, on which only the owner has
 * privileges.  PUBLIC may EXECUTE some functions there, because the functions of a view run with the rights of the role
 * that reads the view.
 *
 * The script is idempotent: an upgrade alters the tables of the older version and then runs all of it.
 *
 * Each file has one subject: its tables, views and functions with their comments, what pg_dump dumps, and what PUBLIC
 * may execute.  The Makefile lists the files in the order of their dependencies (SQL_SUBJECTS).
 *
 * Rows of mnist_model, mnist_deployment and mnist_feedback are facts: they are added, never changed.  Triggers ensure
 * that for everybody, superusers included.  There are two exceptions: a model's weights may be set to NULL, which
 * frees their space, and the owner may DELETE feedback, because a person's data must be erasable (erase.sql).
 * TRUNCATE is refused, so that no TRUNCATE ... CASCADE loses feedback.
 *
 * pg_restore restores extension tables with their foreign keys in place, in the order that these require.  A table that
 * refers to itself, or two tables that refer to each other, would make pg_dump warn.  Therefore a few references have
 * no foreign key; their targets are in tables whose rows are never deleted.  pg_restore --jobs ignores the order.  To
 * restore in parallel, restore --section=pre-data --section=data without --jobs, then --section=post-data with it.
 */
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE SCHEMA IF NOT EXISTS mnist_internal;
COMMENT ON SCHEMA mnist_internal IS 'internals of extension mnist_hil; nothing here is for users';
