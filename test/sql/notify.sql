-- Notifiers: which events mnist_notify_next returns, and what mnist_notify_done makes of them.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS mnist_hil CASCADE;
RESET client_min_messages;
CREATE EXTENSION mnist_hil;

SELECT mnist_internal.event('old', 'before');
-- The first call skips what is there, or with all_events nothing.
SELECT event_id FROM mnist_notify_next('a');
SELECT event_id FROM mnist_notify_next('all', all_events => true);
SELECT mnist_internal.event('drift', E'two\nlines', '{"b": 1, "a": "<x>"}'), mnist_internal.event('other', 'three');
SELECT event_id, attempts, refusals, key ~ '^a-\d+-\d{16}$' AS key FROM mnist_notify_next('a');
SELECT event_id FROM mnist_notify_next('a', max_events => 1);
-- A notifier of its own does not disturb the others.
SELECT event_id FROM mnist_notify_next('all');

-- The forms.
SELECT payload::jsonb - '{created_at,server,database}'::text[] AS payload,
    slack ->> 'text' LIKE '%`drift` two%' AS slack,
    subject ~ '\] drift: two lines$' AS subject,
    body ~ '^two\nlines\n\nevent: 2\nkind: drift\n.*\na: <x>\nb: 1\n$' AS body
FROM mnist_notify_next('a', 1);

-- Failed and refused events come again, delivered ones and those given up do not; a settled event stays settled.
SELECT mnist_notify_done('a', 2, 'failed', 'HTTP status 500'), mnist_notify_done('a', 3, 'refused', 'HTTP status 400');
SELECT event_id, attempts, refusals FROM mnist_notify_next('a');
SELECT mnist_notify_done('a', 2), mnist_notify_done('a', 3, 'given up', 'HTTP status 422');
SELECT event_id FROM mnist_notify_next('a');
SELECT mnist_notify_done('a', 2, 'failed'), mnist_notify_done('a', 3);
SELECT event_id, state, attempts, refusals, error FROM mnist_notification WHERE notifier = 'a' ORDER BY event_id;

-- Kinds that it does not want are skipped for good.
SELECT mnist_internal.event('drift', 'four'), mnist_internal.event('other', 'five');
SELECT event_id FROM mnist_notify_next('a', kinds => '{drift}');
SELECT mnist_notify_done('a', 4);
SELECT event_id FROM mnist_notify_next('a');
SELECT mnist_internal.event('drift', 'six'), mnist_internal.event('other', 'seven');
SELECT event_id FROM mnist_notify_next('a', except_kinds => '{drift}');

-- What is gone, and what is wrong.
DELETE FROM mnist_event WHERE id = 7;
SELECT mnist_notify_done('a', 7), mnist_notify_done('nobody', 6);
SELECT event_id FROM mnist_notify_next('a');
SELECT * FROM mnist_notify_next('a b');
SELECT mnist_notify_done('a', 6, 'lost');
SELECT mnist_notify_done('a', NULL);
SELECT name, settled FROM mnist_notifier ORDER BY name;
DELETE FROM mnist_notifier;
SELECT count(*) FROM mnist_notification;
DROP EXTENSION mnist_hil;
