-- also: not preloaded
-- The extension in a schema of any name, dropped and created elsewhere within a session, and what it is made of.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS mnist_hil CASCADE;
RESET client_min_messages;

CREATE SCHEMA "Ziffern & Co";
CREATE EXTENSION mnist_hil SCHEMA "Ziffern & Co";

-- Predicting works at once, with nothing of the extension in search_path.
SET search_path = pg_catalog;
SELECT r.id, r.label BETWEEN 0 AND 9 AS is_digit, r.model_version, s.n AS stored
FROM "Ziffern & Co".mnist_predict("Ziffern & Co".mnist_draw(3)) AS r,
    LATERAL (SELECT count(*) + 0 * r.id AS n FROM "Ziffern & Co".mnist_prediction) AS s;
SELECT count(r.id) FROM "Ziffern & Co".mnist_predict_batch(ARRAY["Ziffern & Co".mnist_draw(3)]) AS r;

-- The extension's schemas keep their names, whoever owns them.  Nothing else that can be done to a schema is in the
-- way.
ALTER SCHEMA "Ziffern & Co" RENAME TO digits;
ALTER SCHEMA mnist_internal RENAME TO internals;
CREATE ROLE regress_mnist_owner;
SELECT format('GRANT CREATE ON DATABASE %I TO regress_mnist_owner', current_database()) \gexec
ALTER SCHEMA "Ziffern & Co" OWNER TO regress_mnist_owner;
SET ROLE regress_mnist_owner;
ALTER SCHEMA "Ziffern & Co" RENAME TO digits;
CREATE SCHEMA regress_mnist_one;
ALTER SCHEMA regress_mnist_one RENAME TO regress_mnist_two;
DROP SCHEMA regress_mnist_two;
SET quote_all_identifiers = on;
ALTER SCHEMA "Ziffern & Co" OWNER TO regress_mnist_owner;
RESET quote_all_identifiers;
RESET ROLE;
SELECT r.id FROM "Ziffern & Co".mnist_predict("Ziffern & Co".mnist_draw(3)) AS r;

-- The extension is dropped, with which schemas can be renamed again, and comes back elsewhere.
DROP EXTENSION mnist_hil;
ALTER SCHEMA "Ziffern & Co" RENAME TO digits;
DROP SCHEMA digits;
DROP OWNED BY regress_mnist_owner;
DROP ROLE regress_mnist_owner;
CREATE SCHEMA elsewhere;
CREATE EXTENSION mnist_hil SCHEMA elsewhere;
SELECT r.id FROM elsewhere.mnist_predict(elsewhere.mnist_draw(3)) AS r;
SELECT r.id FROM elsewhere.mnist_predict_batch(ARRAY[elsewhere.mnist_draw(3)]) AS r;

-- It comes back in the same schema, too: the predictions start anew.
DROP EXTENSION mnist_hil;
CREATE EXTENSION mnist_hil SCHEMA elsewhere;
SELECT r.id FROM elsewhere.mnist_predict(elsewhere.mnist_draw(3)) AS r;

-- Within one transaction, and undone with it.
BEGIN;
DROP EXTENSION mnist_hil;
CREATE EXTENSION mnist_hil SCHEMA public;
SELECT r.id FROM public.mnist_predict(public.mnist_draw(3)) AS r;
ROLLBACK;
SELECT r.id FROM elsewhere.mnist_predict(elsewhere.mnist_draw(3)) AS r;
RESET search_path;
DROP EXTENSION mnist_hil;
DROP SCHEMA elsewhere;

CREATE EXTENSION mnist_hil;

-- The bundled model is version 1, live, and its row says what its weights hold.
SELECT m.version, (b.network, b.parameters) = (m.network, m.parameters) AS described,
    m.weights_sha256 = sha256(m.weights) AS hashed, m.weights = mnist_internal.default_weights() AS bundled
FROM mnist_deployment d JOIN mnist_model m USING (version), mnist_internal.describe(m.weights) AS b;

-- The planner is told the truth: what reads is for parallel plans, what writes is not.
SELECT p.proname, p.provolatile, p.proparallel, p.proisstrict
FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'mnist_hil'
WHERE p.proname IN ('mnist_predict', 'mnist_predict_batch', 'mnist_classify', 'mnist_probabilities', 'mnist_preprocess',
    'mnist_png', 'mnist_ascii', 'mnist_draw')
ORDER BY p.proname COLLATE "C";

-- The bundled file is for the install script, run by a superuser.
CREATE ROLE regress_mnist_reader;
GRANT USAGE ON SCHEMA mnist_internal TO regress_mnist_reader;
GRANT EXECUTE ON FUNCTION mnist_internal.default_weights() TO regress_mnist_reader;
SET ROLE regress_mnist_reader;
SELECT mnist_internal.default_weights();
RESET ROLE;

-- Weights that are not.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/outcome.sql
SELECT public.state($$SELECT mnist_internal.describe('')$$) AS empty,
    public.state($$SELECT mnist_internal.describe('\x0123456789')$$) AS short,
    public.state($$SELECT mnist_internal.describe(set_bit(w, 100000, 1 - get_bit(w, 100000)))
        FROM mnist_internal.default_weights() AS w$$) AS flipped_bit,
    public.state($$SELECT mnist_internal.describe(substr(w, 1, length(w) - 1))
        FROM mnist_internal.default_weights() AS w$$) AS truncated,
    public.state($$SELECT mnist_internal.describe(mnist_internal.default_weights() || '\x00')$$) AS too_long,
    public.state($$SELECT mnist_internal.describe(NULL)$$) AS nothing;

DROP EXTENSION mnist_hil;
DROP ROLE regress_mnist_reader;
