-- also: not preloaded
-- Which model reads: the one that is live as of now, in whatever transaction, undone with it, one for each statement.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql

-- The weights of a network that reads every image as the given digit.
CREATE FUNCTION little_endian(number bigint) RETURNS bytea LANGUAGE sql AS $$
    SELECT string_agg(set_byte('\x00', 0, (number >> (8 * i) & 255)::int), '' ORDER BY i)
    FROM generate_series(0, 3) AS i
$$;
CREATE FUNCTION zlib_crc32(data bytea) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    crc bigint := 4294967295;
BEGIN
    FOR i IN 0 .. length(data) - 1 LOOP
        crc := crc # get_byte(data, i);
        FOR bit IN 1 .. 8 LOOP
            crc := CASE WHEN crc & 1 = 1 THEN crc >> 1 # 3988292384 ELSE crc >> 1 END;
        END LOOP;
    END LOOP;
    RETURN crc # 4294967295;
END
$$;
CREATE FUNCTION constant_model(digit int, network text DEFAULT 'maxpool 28, dense 10') RETURNS bytea LANGUAGE sql AS $$
    SELECT '\x894d484e4e0d0a1a' || little_endian(zlib_crc32(body)) || body
    FROM (SELECT little_endian(1) || little_endian(length(network)) || little_endian(20) || convert_to(network, 'UTF8')
            || decode(repeat('00', 40), 'hex')
            || string_agg(CASE WHEN i = digit THEN '\x0000a040' ELSE '\x00000000' END::bytea, '' ORDER BY i) AS body
        FROM generate_series(0, 9) AS i) AS s
$$;
INSERT INTO mnist_model (version, parent_version, architecture, network, parameters, weights, weights_sha256)
SELECT v, 1, 'test', d.network, d.parameters, w, sha256(w)
FROM generate_series(2, 4) AS v, constant_model(v) AS w, mnist_internal.describe(w) AS d;

-- A digit that version 1 does not read as 2, 3 or 4.
CREATE FUNCTION live() RETURNS int LANGUAGE sql STABLE AS $$
    SELECT CASE label WHEN 2 THEN 2 WHEN 3 THEN 3 WHEN 4 THEN 4 ELSE 1 END FROM mnist_classify(mnist_draw(0)) AS label
$$;

---------------------------------------------------------------- switching

SELECT live();
SELECT mnist_activate(2);
SELECT live(), label, model_version, probabilities[3] > 0.9 AS sure FROM mnist_predict(mnist_draw(0));
SELECT label, model_version FROM mnist_predict_batch(ARRAY[mnist_draw(0), mnist_draw(5)]);
SELECT mnist_rollback();
SELECT live();

-- Visible at once to the transaction that switches, and undone with it.
BEGIN;
SELECT mnist_activate(2);
SELECT live();
ROLLBACK;
SELECT live();

BEGIN;
SELECT mnist_activate(2);
SAVEPOINT s;
SELECT mnist_activate(3);
SELECT live();
ROLLBACK TO s;
SELECT live();
SAVEPOINT t;
SELECT mnist_activate(4);
RELEASE t;
SELECT live();
ROLLBACK;
SELECT live();

-- Two-phase commit: the switch is seen when it is committed, not when it is prepared.  A transaction that notifies
-- cannot be prepared.
BEGIN;
SET LOCAL mnist_hil.notify = off;
SELECT mnist_activate(2);
SELECT live();
PREPARE TRANSACTION 'switch';
SELECT live();
COMMIT PREPARED 'switch';
SELECT live();
SELECT mnist_activate(1);

-- A block that fails undoes its switch, read or not read in it.
DO $$
BEGIN
    FOR attempt IN 1 .. 2 LOOP
        BEGIN
            PERFORM mnist_activate(3);
            IF attempt = 1 THEN
                RAISE NOTICE 'in the block: %', live();
            END IF;
            RAISE EXCEPTION 'no';
        EXCEPTION WHEN raise_exception THEN
            RAISE NOTICE 'after it: %', live();
        END;
    END LOOP;
END
$$;

-- The transaction's snapshot does not matter: what is live is live now.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT live();
SELECT mnist_activate(2);
SELECT live();
ROLLBACK;

-- A statement keeps to its model, here an open cursor; the next one turns to the new model.
BEGIN;
DECLARE reader CURSOR FOR SELECT mnist_classify(mnist_draw(0)) IN (2, 3, 4) AS constant FROM generate_series(1, 3);
FETCH reader;
SELECT mnist_activate(2);
FETCH reader;
SELECT live();
FETCH reader;
ROLLBACK;

-- A PL/pgSQL expression whose state is kept for the whole transaction turns to the new model, too.
DO $$
DECLARE
    label int;
BEGIN
    FOR version IN 2 .. 4 LOOP
        PERFORM mnist_activate(version);
        label := mnist_classify(mnist_draw(0));
        RAISE NOTICE 'version %: %', version, label;
    END LOOP;
    RAISE EXCEPTION 'undo' USING ERRCODE = 'MH000';
EXCEPTION WHEN SQLSTATE 'MH000' THEN
    RAISE NOTICE 'undone: %', live();
END
$$;

-- Parallel workers read with the switch that their leader has not committed.
CREATE TABLE many AS SELECT i, mnist_draw(0, i, 28) AS canvas FROM generate_series(1, 1000) AS i;
ALTER TABLE many SET (parallel_workers = 2);
ANALYZE many;
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
BEGIN;
SELECT mnist_activate(3);
EXPLAIN (COSTS OFF) SELECT count(*) FILTER (WHERE mnist_classify(canvas) = 3) FROM many;
SELECT count(*) FILTER (WHERE mnist_classify(canvas) = 3) FROM many;
ROLLBACK;
RESET min_parallel_table_scan_size;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
DROP TABLE many;

---------------------------------------------------------------- what cannot go live

SELECT state('SELECT mnist_internal.load(99)') AS load_unknown, state('SELECT mnist_internal.load(NULL)') AS load_null,
    state('SELECT mnist_internal.load(3)') AS load_good;

-- Rows as no user can make them.
SET session_replication_role = replica;
UPDATE mnist_model SET weights = NULL WHERE version = 2;
UPDATE mnist_model SET weights = w, weights_sha256 = sha256(w)
FROM set_bit(constant_model(3), 500, 1 - get_bit(constant_model(3), 500)) AS w WHERE version = 3;
-- Not what its hash says; a check constraint of the table prevents that.
DO $$
BEGIN
    EXECUTE (SELECT format('ALTER TABLE mnist_model DROP CONSTRAINT %I', conname) FROM pg_constraint
        WHERE conrelid = 'mnist_model'::regclass AND pg_get_constraintdef(oid) LIKE '%sha256(weights)%');
END
$$;
UPDATE mnist_model SET weights_sha256 = sha256('') WHERE version = 4;
RESET session_replication_role;
SELECT state('SELECT mnist_internal.load(2)') AS pruned, state('SELECT mnist_internal.load(3)') AS flipped_bit,
    state('SELECT mnist_internal.load(4)') AS wrong_hash;
SELECT mnist_internal.load(2);
SELECT mnist_internal.load(4);
SELECT state('SELECT mnist_activate(2)') AS pruned, state('SELECT mnist_activate(3)') AS flipped_bit,
    state('SELECT mnist_activate(4)') AS wrong_hash, live();

-- Should it be live nevertheless, predicting says so, and comes back when another is.
BEGIN;
INSERT INTO mnist_deployment (version, action) VALUES (3, 'activate');
SELECT state('SELECT live()') AS damaged;
INSERT INTO mnist_deployment (version, action) VALUES (1, 'activate');
SELECT live();
ROLLBACK;

-- No model at all.
SET session_replication_role = replica;
BEGIN;
DELETE FROM mnist_deployment;
SELECT live();
ROLLBACK;
RESET session_replication_role;
SELECT live();

-- Well-formed blobs of networks beyond the limits never reach the cache.
SELECT state($$SELECT mnist_internal.describe(constant_model(1, 'dense 4097, dense 10'))$$) AS wide,
    state($$SELECT mnist_internal.describe(constant_model(1, repeat('relu, ', 2000) || 'dense 10'))$$) AS long,
    state($$SELECT mnist_internal.describe(constant_model(1, 'dense 11'))$$) AS classes,
    state($$SELECT mnist_internal.describe(constant_model(1, 'conv 1000000 1000000x1000000, dense 10'))$$) AS huge,
    state($$SELECT mnist_internal.describe(constant_model(1, 'maxpool 14, dense 10'))$$) AS other_size;

---------------------------------------------------------------- what is in the cache

-- Between statements nothing is pinned.  Not preloaded, other models do not pile up.
SELECT place IN ('shared memory', 'backend') AS place, memory_used > 0 AS used,
    CASE place WHEN 'backend' THEN models = 1 ELSE models >= 1 AND memory_used <= memory_size END AS models,
    pinned = CASE place WHEN 'backend' THEN 1 ELSE 0 END AS pinned
FROM mnist_internal.cache();

DROP FUNCTION live, outcome, constant_model, zlib_crc32, little_endian;
DROP EXTENSION mnist_hil;
