\echo Use "CREATE EXTENSION mnist_hil" to load this file. \quit

/*
 * Nothing in this script, and no function that it makes, looks for a name in a schema that others may write: a better
 * matching function or operator that somebody planted there would run with the rights of the extension's owner.  Hence
 * this path, the qualified names below, bodies that are bound when they are created (BEGIN ATOMIC), and, in PL/pgSQL,
 * SET search_path = pg_catalog, pg_temp on each function.
 *
 * What users call and read lies in the extension's schema.  What only the extension needs lies in mnist_internal, on
 * which nobody but the owner has a privilege.  PUBLIC may EXECUTE some functions there, because the functions of a
 * view run with the rights of the role that reads the view.
 *
 * The script can be run over itself: an upgrade alters the tables of the older version and then runs all of it.
 *
 * Each file holds a subject: its tables, views and functions with their comments, what pg_dump takes along, and what
 * PUBLIC may execute.  The Makefile lists the files in the order in which their definitions need each other
 * (SQL_PARTS).
 *
 * Rows of mnist_model, mnist_deployment and mnist_feedback are facts: they are added, never changed.  Triggers ensure
 * that for everybody, superusers included.  There are two exceptions: a model's weights may be set to NULL, which
 * frees their space, and the owner may DELETE feedback, because a person's data must be erasable (erase.sql).
 * TRUNCATE is refused, so that no TRUNCATE ... CASCADE loses feedback.
 *
 * pg_restore restores extension tables with their foreign keys in place and orders them by these; a table that refers
 * to itself, or two that refer to each other, would make pg_dump warn.  Hence a few references have no foreign key;
 * their targets are in tables whose rows are never deleted.  pg_restore --jobs ignores the order; --section=pre-data
 * --section=data without it, then --section=post-data with it, does not.
 */
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE SCHEMA IF NOT EXISTS mnist_internal;
COMMENT ON SCHEMA mnist_internal IS 'internals of extension mnist_hil; nothing here is for users';
