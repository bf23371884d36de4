/*
 * Notifiers: programs such as mnist_hil_notify that send events elsewhere, at least once each, and remember here what
 * they have sent.
 *
 * Ids of events come from a sequence, and transactions commit in any order.  So an event may become visible after one
 * with a larger id was delivered, and a position would skip it.  Therefore mnist_notifier.settled has the ids of all
 * events that a notifier is done with.  These are few ranges, however many events there are: a gap is an id that was
 * rolled back, or whose event is not settled or not visible yet.  Every event whose id lies in a gap is to be
 * delivered.  This holds in a restored dump, too.
 *
 * When a notifier calls for the first time, the events that it can see are settled.  It is then given every event that
 * becomes visible later.
 */

CREATE TABLE IF NOT EXISTS @extschema@.mnist_notifier (
    name           text PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9_.-]{1,63}$'),
    registered_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    asked_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled        int8multirange NOT NULL
);
COMMENT ON TABLE @extschema@.mnist_notifier IS
    'programs that send events elsewhere; to forget one, delete its row';
COMMENT ON COLUMN @extschema@.mnist_notifier.name IS 'its name';
COMMENT ON COLUMN @extschema@.mnist_notifier.registered_at IS 'when it asked for events for the first time';
COMMENT ON COLUMN @extschema@.mnist_notifier.asked_at IS
    'when it asked for the last time; mnist_hil_notify asks every minute';
COMMENT ON COLUMN @extschema@.mnist_notifier.settled IS
    'the ids of the events that it is done with: delivered, given up, older than the notifier, or not of its kinds';

CREATE TABLE IF NOT EXISTS @extschema@.mnist_notification (
    event_id    bigint NOT NULL REFERENCES @extschema@.mnist_event ON DELETE CASCADE,
    notifier    text NOT NULL REFERENCES @extschema@.mnist_notifier ON DELETE CASCADE,
    state       text NOT NULL CHECK (state IN ('delivered', 'failed', 'refused', 'given up')),
    attempts    int NOT NULL DEFAULT 0,
    refusals    int NOT NULL DEFAULT 0,
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    error       text,
    PRIMARY KEY (event_id, notifier)
);
COMMENT ON TABLE @extschema@.mnist_notification IS
    'what became of an event that a notifier sent';
COMMENT ON COLUMN @extschema@.mnist_notification.event_id IS 'the event';
COMMENT ON COLUMN @extschema@.mnist_notification.notifier IS 'the notifier';
COMMENT ON COLUMN @extschema@.mnist_notification.state IS
    'delivered; failed or refused: the next attempt follows; given up: refused too often';
COMMENT ON COLUMN @extschema@.mnist_notification.attempts IS 'how often it was sent';
COMMENT ON COLUMN @extschema@.mnist_notification.refusals IS 'how often the receiver refused it';
COMMENT ON COLUMN @extschema@.mnist_notification.changed_at IS 'when the state was recorded';
COMMENT ON COLUMN @extschema@.mnist_notification.error IS 'why the last attempt failed';

SELECT pg_extension_config_dump('@extschema@.mnist_notifier', '');
SELECT pg_extension_config_dump('@extschema@.mnist_notification', '');

-- Escaped as Slack requires, so that no text can mention a channel or make a link.
CREATE OR REPLACE FUNCTION mnist_internal.slack_text(plain text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT replace(replace(replace(plain, '&', '&amp;'), '<', '&lt;'), '>', '&gt;');
END;
COMMENT ON FUNCTION mnist_internal.slack_text(text) IS 'a text as Slack shows it unchanged; internal';

CREATE OR REPLACE FUNCTION mnist_internal.event_forms(
    event @extschema@.mnist_event, OUT payload json, OUT slack json, OUT subject text, OUT body text)
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT
        json_build_object('id', event.id, 'created_at', event.created_at, 'kind', event.kind,
            'message', event.message, 'detail', event.detail, 'run_id', event.run_id,
            'model_version', event.model_version, 'server', s.cluster, 'database', current_database()),
        json_build_object('text', mnist_internal.slack_text(
            format('%s `%s` %s', s.place, event.kind, event.message))),
        regexp_replace(left(format('[%s] %s: %s', s.place, event.kind, event.message), 150), '[[:cntrl:]]+', ' ', 'g'),
        format(E'%s\n\nevent: %s\nkind: %s\ncreated at: %s\ndatabase: %s\n%s', event.message, event.id, event.kind,
            event.created_at, s.place, (
                SELECT string_agg(format(E'%s: %s\n', d.key, d.value), '' ORDER BY d.key COLLATE "C")
                FROM jsonb_each_text(event.detail) AS d))
    FROM (
        SELECT nullif(current_setting('cluster_name'), '') AS cluster,
            concat_ws(' ', nullif(current_setting('cluster_name'), ''), current_database()) AS place) s;
END;
COMMENT ON FUNCTION mnist_internal.event_forms(@extschema@.mnist_event) IS
    'an event as JSON, as JSON for Slack, and as the subject and the text of a mail; internal';

-- The events whose ids lie in the gaps.
CREATE OR REPLACE FUNCTION mnist_internal.unsettled_events(settled int8multirange)
    RETURNS SETOF @extschema@.mnist_event
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT e.*
    FROM unnest('{(,)}'::int8multirange - settled) AS gap (ids)
    JOIN @extschema@.mnist_event e
        ON e.id >= coalesce(lower(gap.ids), -9223372036854775808)
            AND e.id < coalesce(upper(gap.ids), 9223372036854775807);
END;
COMMENT ON FUNCTION mnist_internal.unsettled_events(int8multirange) IS
    'the events that a notifier with these settled ids has not delivered; internal';

CREATE OR REPLACE FUNCTION @extschema@.mnist_notify_next(
    notifier text, max_events int DEFAULT 100, kinds text[] DEFAULT NULL, except_kinds text[] DEFAULT NULL,
    all_events boolean DEFAULT false,
    OUT event_id bigint, OUT attempts int, OUT refusals int, OUT key text, OUT payload json, OUT slack json,
    OUT subject text, OUT body text)
    RETURNS SETOF record
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    settled int8multirange;
BEGIN
    PERFORM mnist_internal.refuse_null('{notifier,max_events,all_events}', mnist_notify_next.notifier IS NULL,
        mnist_notify_next.max_events IS NULL, mnist_notify_next.all_events IS NULL);
    IF mnist_notify_next.notifier !~ '^[A-Za-z0-9_.-]{1,63}$' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('invalid name of a notifier: "%s"', mnist_notify_next.notifier),
            HINT = 'It has 1 to 63 letters, digits, underscores, periods and hyphens.';
    END IF;

    INSERT INTO @extschema@.mnist_notifier AS r (name, settled)
    SELECT mnist_notify_next.notifier, coalesce(range_agg(int8range(e.id, e.id, '[]')), '{}')
    FROM @extschema@.mnist_event e
    WHERE NOT mnist_notify_next.all_events
        AND NOT EXISTS (SELECT FROM @extschema@.mnist_notifier k WHERE k.name = mnist_notify_next.notifier)
    ON CONFLICT (name) DO UPDATE SET asked_at = excluded.asked_at
    RETURNING r.settled INTO settled;
    IF mnist_notify_next.kinds IS NOT NULL OR mnist_notify_next.except_kinds IS NOT NULL THEN
        UPDATE @extschema@.mnist_notifier r
        SET settled = r.settled + (
            SELECT coalesce(range_agg(int8range(e.id, e.id, '[]')), '{}')
            FROM mnist_internal.unsettled_events(r.settled) AS e
            WHERE e.kind <> ALL (mnist_notify_next.kinds) OR e.kind = ANY (mnist_notify_next.except_kinds))
        WHERE r.name = mnist_notify_next.notifier
        RETURNING r.settled INTO settled;
    END IF;

    RETURN QUERY
        SELECT p.id, coalesce(n.attempts, 0), coalesce(n.refusals, 0),
            format('%s-%s-%s', mnist_notify_next.notifier, p.id, (extract(epoch FROM p.created_at) * 1000000)::bigint),
            f.payload, f.slack, f.subject, f.body
        FROM (
            SELECT e.*
            FROM mnist_internal.unsettled_events(settled) AS e
            ORDER BY e.id
            LIMIT mnist_notify_next.max_events) p
        LEFT JOIN @extschema@.mnist_notification n ON n.event_id = p.id AND n.notifier = mnist_notify_next.notifier
        CROSS JOIN LATERAL mnist_internal.event_forms(p::@extschema@.mnist_event) AS f
        ORDER BY p.id;
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_notify_next(text, int, text[], text[], boolean) IS
    'the oldest events that this notifier has not delivered yet, in several forms; kinds: only these kinds; '
    'except_kinds: not these; a notifier that asks for the first time begins with the events from now on, or with '
    'all_events at the oldest';

CREATE OR REPLACE FUNCTION @extschema@.mnist_notify_done(
    notifier text, event_id bigint, state text DEFAULT 'delivered', error text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM mnist_internal.refuse_null('{notifier,event_id,state}', mnist_notify_done.notifier IS NULL,
        mnist_notify_done.event_id IS NULL, mnist_notify_done.state IS NULL);
    IF mnist_notify_done.state NOT IN ('delivered', 'failed', 'refused', 'given up') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('invalid state of a notification: "%s"', mnist_notify_done.state),
            HINT = 'It is delivered, failed, refused or given up.';
    END IF;

    INSERT INTO @extschema@.mnist_notification AS n (event_id, notifier, state, attempts, refusals, error)
    SELECT e.id, r.name, mnist_notify_done.state, 1, (mnist_notify_done.state IN ('refused', 'given up'))::int,
        left(mnist_notify_done.error, 1000)
    FROM @extschema@.mnist_event e, @extschema@.mnist_notifier r
    WHERE e.id = mnist_notify_done.event_id AND r.name = mnist_notify_done.notifier AND NOT r.settled @> e.id
    FOR KEY SHARE
    ON CONFLICT (event_id, notifier) DO UPDATE
    SET state = excluded.state, attempts = n.attempts + 1, refusals = n.refusals + excluded.refusals,
        changed_at = excluded.changed_at, error = excluded.error
    WHERE n.state IN ('failed', 'refused');
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF mnist_notify_done.state IN ('delivered', 'given up') THEN
        UPDATE @extschema@.mnist_notifier r
        SET settled = r.settled
            + int8multirange(int8range(mnist_notify_done.event_id, mnist_notify_done.event_id, '[]'))
        WHERE r.name = mnist_notify_done.notifier;
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_notify_done(text, bigint, text, text) IS
    'record what became of an event at a notifier: delivered, failed, refused (both: try again) or given up; false: '
    'it was settled before, or the event or the notifier was deleted';
