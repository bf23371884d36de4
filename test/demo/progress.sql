-- One line on the run that is under way.
SELECT format('%-11s epoch %s of %s %5s %%   loss %-7s %6s images/s in %s processes, %s s so far%s', phase, epoch, epochs,
    round(100 * progress::numeric), coalesce(round(loss::numeric, 4)::text, '-'),
    coalesce(round(images_per_second::numeric)::text, '-'), processes, round(extract(epoch FROM elapsed)),
    ', about ' || round(extract(epoch FROM greatest(time_left, '0'))) || ' s left'
        || CASE WHEN time_left IS NULL THEN NULL ELSE '' END)
FROM mnist_training_progress;
