\echo Use "CREATE EXTENSION mnist_hil" to load this file. \quit

/*
 * Nothing in this script, and no function that it makes, looks for a name in a schema that others may write: a better
 * matching function or operator that somebody planted there would run with the rights of the extension's owner.  Hence
 * this path, the qualified names below, bodies that are bound when they are created (BEGIN ATOMIC), and, in PL/pgSQL,
 * SET search_path = pg_catalog, pg_temp on each function.
 *
 * What users call and read lies in the extension's schema.  What only the extension needs lies in mnist_internal, on
 * which nobody but the owner has a privilege.  PUBLIC may EXECUTE some functions there, because the functions of a view
 * run with the rights of the role that reads the view.
 *
 * The script can be run over itself: an upgrade alters the tables of the older version and then runs all of it.
 */
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE SCHEMA IF NOT EXISTS mnist_internal;
COMMENT ON SCHEMA mnist_internal IS 'internals of extension mnist_hil; nothing here is for users';

