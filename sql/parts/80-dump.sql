/*
 * What pg_dump takes along: all rows and all sequences, but for the bundled model, which CREATE EXTENSION makes, and
 * mnist_label, which triggers fill as mnist_feedback is restored.
 */

SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_run', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_run_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_trial', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_metric', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_model', 'WHERE version > 1');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_model_version_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_deployment', 'WHERE id > 1');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_deployment_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_challenger', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_challenger_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_shadow', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_prediction', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_prediction_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_feedback', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_feedback_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_run_feedback', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_dataset', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_dataset_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_sample', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_event', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_event_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_drift_reference', 'WHERE id > 1');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_drift_reference_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_drift_histogram', 'WHERE reference_id > 1');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_drift_check', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_drift_check_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.mnist_retention', 'WHERE false');
