\set ECHO none
-- Functions to see errors by.
SET client_min_messages = warning;

-- Execute a statement: "done", or SQLSTATE, message, detail and hint, a line each.
CREATE OR REPLACE FUNCTION public.outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', SQLSTATE || ': ' || SQLERRM, nullif(detail, ''), nullif(hint, ''));
END
$$;
-- The same without the texts, some of which other libraries write: "done", or SQLSTATE.
CREATE OR REPLACE FUNCTION public.state(statement text) RETURNS text LANGUAGE sql AS $$
    SELECT split_part(public.outcome(statement), ':', 1)
$$;
RESET client_min_messages;
\set ECHO all
