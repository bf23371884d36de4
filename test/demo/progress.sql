-- One line on the run that is under way.
SELECT format('%-11s ', phase)
    || CASE WHEN epoch > 0
        THEN format('epoch %s of %s %5s %%   ', epoch, epochs, round(100 * progress::numeric)) ELSE '' END
    || coalesce('loss ' || rpad(round(loss::numeric, 4)::text, 7) || lpad(round(images_per_second::numeric)::text, 7)
        || ' images/s in ' || processes || ' processes, ', '')
    || round(extract(epoch FROM elapsed)) || ' s so far'
    || CASE WHEN time_left IS NULL THEN ''
        ELSE ', about ' || round(extract(epoch FROM greatest(time_left, '0'))) || ' s left' END
FROM mnist_training_progress;
