/*
 * Reports, 4: mnist_report, and the log of its pages.
 */

CREATE SEQUENCE IF NOT EXISTS @extschema@.mnist_report_log_id_seq;
CREATE TABLE IF NOT EXISTS @extschema@.mnist_report_log (
    id            bigint PRIMARY KEY DEFAULT nextval('@extschema@.mnist_report_log_id_seq'),
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind          text NOT NULL CHECK (kind IN ('full', 'drift', 'quality', 'performance')),
    requested_by  name NOT NULL DEFAULT session_user,
    page          text NOT NULL
);
ALTER SEQUENCE @extschema@.mnist_report_log_id_seq OWNED BY @extschema@.mnist_report_log.id;
ALTER TABLE @extschema@.mnist_report_log ALTER COLUMN page SET STORAGE EXTENDED;

COMMENT ON TABLE @extschema@.mnist_report_log IS 'the last ten reports';
COMMENT ON COLUMN @extschema@.mnist_report_log.id IS 'the report';
COMMENT ON COLUMN @extschema@.mnist_report_log.created_at IS 'when it was made';
COMMENT ON COLUMN @extschema@.mnist_report_log.kind IS 'full, drift, quality or performance';
COMMENT ON COLUMN @extschema@.mnist_report_log.requested_by IS 'the role that asked for it';
COMMENT ON COLUMN @extschema@.mnist_report_log.page IS 'the page, as mnist_report returned it';

SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_report_log', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_report_log_id_seq', '');

CREATE OR REPLACE FUNCTION mnist_internal.report_head(kind text) RETURNS text
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT format(E'<header>\n<h1>%s</h1>\n'
                '<p class="soft">Database %s, %s, requested by %s. Times are in time zone %s.</p>\n',
            CASE kind WHEN 'full' THEN 'Digit predictions' WHEN 'drift' THEN 'Drift of digit predictions'
                WHEN 'quality' THEN 'Data quality of digit predictions' ELSE 'Performance of digit predictions' END,
            mnist_internal.html(current_database()), mnist_internal.time(now()),
            mnist_internal.html(mnist_internal.invoker()),
            mnist_internal.html(current_setting('TimeZone')))
        || CASE WHEN kind = 'full'
            THEN '<nav><a href="#summary">Summary</a><a href="#drift">Drift</a><a href="#quality">Data quality</a>'
            || '<a href="#performance">Performance</a><a href="#runs">Training runs</a></nav>' ELSE '' END
        || E'</header>\n';
END;
COMMENT ON FUNCTION mnist_internal.report_head(text) IS 'the header of a report; internal';

CREATE OR REPLACE FUNCTION mnist_internal.check_report_kind(kind text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF kind IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'kind must not be null',
            HINT = 'Kinds are full, drift, quality and performance.';
    ELSIF kind NOT IN ('full', 'drift', 'quality', 'performance') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('there is no report of kind "%s"', kind),
            HINT = 'Kinds are full, drift, quality and performance.';
    END IF;
END
$$;
COMMENT ON FUNCTION mnist_internal.check_report_kind(text) IS 'fail unless there is a report of this kind; internal';

/*
 * A weak lock on the log comes first.  Only mnist_erase waits for it, and it ensures that no kept page shows what was
 * erased.  A strong lock comes last and is held briefly.  Only other reports wait for it, and it ensures that exactly
 * ten are kept, however many are made at the same time.  A transaction in REPEATABLE READ may have an older snapshot,
 * so its page is not kept.  JIT is off because compiling the many small statements of a page takes longer than running
 * them.
 */
CREATE OR REPLACE FUNCTION @extschema@.mnist_report(kind text DEFAULT 'full') RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET jit = off
AS $$
DECLARE
    page text;
    -- A standby cannot store the page.
    keeps boolean := NOT current_setting('transaction_read_only')::boolean
        AND current_setting('transaction_isolation') LIKE 'read%';
BEGIN
    PERFORM mnist_internal.check_report_kind(mnist_report.kind);
    IF keeps THEN
        LOCK TABLE @extschema@.mnist_report_log IN ROW SHARE MODE;
    END IF;
    page := mnist_internal.page('mnist_hil: ' || mnist_report.kind || ' report',
        mnist_internal.report_head(mnist_report.kind),
        CASE mnist_report.kind
            WHEN 'drift' THEN mnist_internal.report_drift()
            WHEN 'quality' THEN mnist_internal.report_quality()
            WHEN 'performance' THEN mnist_internal.report_performance()
            ELSE mnist_internal.report_summary() || mnist_internal.report_drift() || mnist_internal.report_quality()
                || mnist_internal.report_performance() || mnist_internal.report_runs() END);

    IF keeps THEN
        LOCK TABLE @extschema@.mnist_report_log IN SHARE ROW EXCLUSIVE MODE;
        INSERT INTO @extschema@.mnist_report_log (kind, requested_by, page)
        VALUES (mnist_report.kind, mnist_internal.invoker(), page);
        DELETE FROM @extschema@.mnist_report_log l
        WHERE l.id < (SELECT k.id FROM @extschema@.mnist_report_log k ORDER BY k.id DESC OFFSET 9 LIMIT 1);
        PERFORM mnist_internal.watch_checks();
    END IF;
    RETURN page;
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_report(text) IS
    'the state of the extension as one self-contained HTML page: full, or drift, quality or performance alone; '
    'mnist_report_log keeps the last ten';
