-- also: not preloaded
-- Which model is live: activating, rolling back, and a history that is only added to.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql

-- Two more models; their weights are the bundled ones, so that they load.
INSERT INTO mnist_model (version, parent_version, architecture, network, parameters, weights, weights_sha256)
SELECT v, 1, architecture, network, parameters, weights, weights_sha256 FROM mnist_model, generate_series(2, 4) AS v;

SELECT version, action, rollback_to, reason, deployed_by = session_user AS by_me FROM mnist_deployment;
SELECT public.outcome('SELECT mnist_rollback()');

SELECT mnist_activate(2);
SELECT model_version FROM mnist_predict(mnist_draw(1));
SELECT mnist_activate(3, 'reads sevens better');
SELECT model_version FROM mnist_predict(mnist_draw(1));

-- Activating what is live changes nothing, so that a script can say it again.
SELECT mnist_activate(3, 'again');

-- Rollback after rollback goes back step by step, whatever is activated in between.
SELECT mnist_rollback('it does not');
SELECT model_version FROM mnist_predict(mnist_draw(1));
SELECT mnist_activate(4);
SELECT mnist_rollback();
SELECT mnist_rollback();
SELECT model_version FROM mnist_predict(mnist_draw(1));
SELECT public.outcome('SELECT mnist_rollback()');
SELECT id, version, action, rollback_to, reason FROM mnist_deployment ORDER BY id;
SELECT version, architecture, deployment_id, action FROM mnist_live;

-- A switch that is rolled back was never made.
BEGIN;
SELECT mnist_activate(2);
SELECT model_version FROM mnist_predict(mnist_draw(1));
ROLLBACK;
SELECT model_version FROM mnist_predict(mnist_draw(1));
BEGIN;
SAVEPOINT s;
SELECT mnist_activate(2);
ROLLBACK TO s;
SELECT model_version FROM mnist_predict(mnist_draw(1));
SELECT mnist_activate(3);
COMMIT;
SELECT model_version FROM mnist_predict(mnist_draw(1));

-- Who switched is who called.
CREATE ROLE regress_mnist_deployer;
GRANT EXECUTE ON FUNCTION mnist_activate, mnist_rollback TO regress_mnist_deployer;
SET ROLE regress_mnist_deployer;
SELECT mnist_activate(4);
SELECT mnist_rollback();
RESET ROLE;
SELECT version, action, deployed_by FROM mnist_deployment ORDER BY id DESC LIMIT 2;

-- What is refused.
SELECT public.outcome('SELECT mnist_activate(NULL)');
SELECT public.outcome('SELECT mnist_activate(99)');
SELECT public.outcome('SELECT mnist_activate(-1)');
UPDATE mnist_model SET weights = NULL WHERE version = 2;
SELECT public.outcome('SELECT mnist_activate(2)');
INSERT INTO mnist_model (version, architecture, network, parameters, weights, weights_sha256)
VALUES (5, 'default', 'dense 10', 7850, '\x0123', sha256('\x0123'));
SELECT split_part(public.outcome('SELECT mnist_activate(5)'), ':', 1) AS damaged_weights;
SELECT version FROM mnist_live;

-- Rows are facts: only weights can go.
SELECT public.outcome('UPDATE mnist_model SET architecture = ''mlp'' WHERE version = 3');
SELECT public.outcome('UPDATE mnist_model SET weights = ''\x00'' WHERE version = 2');
SELECT public.outcome('UPDATE mnist_model SET weights = NULL, test_accuracy = 1 WHERE version = 3');
SELECT public.outcome('DELETE FROM mnist_model WHERE version = 5');
SELECT public.outcome('TRUNCATE mnist_model CASCADE');
SELECT public.outcome('UPDATE mnist_deployment SET reason = NULL');
SELECT public.outcome('DELETE FROM mnist_deployment');
SELECT public.outcome('TRUNCATE mnist_deployment');
SELECT public.outcome($$INSERT INTO mnist_model (version, architecture, network, parameters, weights, weights_sha256)
    VALUES (6, 'x', 'x', 1, '\x00', sha256('\x01'))$$) LIKE '23514: %' AS hash_is_checked;

-- Two switches that both follow the same one are impossible, whoever writes them.
SELECT public.outcome($$INSERT INTO mnist_deployment (version, action, rollback_to)
    SELECT 1, 'activate', rollback_to FROM mnist_deployment
    WHERE action = 'activate' LIMIT 1$$) LIKE '23505: %' AS refused;

-- Where no model is live, as after deployments were lost, mnist_activate helps.
SET session_replication_role = replica;
DELETE FROM mnist_deployment;
RESET session_replication_role;
SELECT public.outcome('SELECT mnist_classify(mnist_draw(1))');
SELECT public.outcome('SELECT mnist_rollback()');
SELECT mnist_activate(1);
SELECT mnist_classify(mnist_draw(1)) IS NOT NULL AS classified;

DROP EXTENSION mnist_hil;
DROP ROLE regress_mnist_deployer;
