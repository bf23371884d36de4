-- One line on the run that is under way.
SELECT concat_ws('  ',
    to_char(clock_timestamp(), 'HH24:MI:SS'),
    format('run %s: %s', run_id, phase),
    CASE WHEN epoch > 0
        THEN format('epoch %s of %s  %2s %%', epoch, epochs, round(100 * progress::numeric)) END,
    'loss ' || round(loss::numeric, 3),
    round(images_per_second::numeric) || ' images/s',
    'about ' || round(extract(epoch FROM time_left)) || ' s left')
FROM mnist_training_progress;
