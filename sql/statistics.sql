/*
 * Statistics: confidence intervals of proportions, and the comparison of two models on the same images.
 */

CREATE OR REPLACE FUNCTION @extschema@.mnist_mcnemar(live_only bigint, candidate_only bigint) RETURNS double precision
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'mnist_mcnemar';
COMMENT ON FUNCTION @extschema@.mnist_mcnemar(bigint, bigint) IS
    'p-value of McNemar''s exact test, two-sided, from the numbers of images that only one of two models predicts '
    'correctly';

-- With constant arguments the planner may evaluate expressions that WHERE excludes, so nullif prevents a division by 0.
CREATE OR REPLACE FUNCTION mnist_internal.wilson(successes bigint, trials bigint, OUT low float8, OUT high float8)
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT greatest(0, (p + zz / (2 * n) - half) / (1 + zz / n)), least(1, (p + zz / (2 * n) + half) / (1 + zz / n))
    FROM (
            SELECT n.n, successes / n.n AS p, 1.959963984540054::float8 ^ 2 AS zz
            FROM (SELECT nullif(trials, 0)::float8 AS n) n) v,
        LATERAL (SELECT sqrt(zz * p * (1 - p) / n + zz ^ 2 / (4 * n ^ 2)) AS half) h
    WHERE trials > 0;
END;
COMMENT ON FUNCTION mnist_internal.wilson(bigint, bigint) IS
    '95 % score interval of a proportion (Wilson 1927); NULLs without trials; internal';

CREATE OR REPLACE FUNCTION mnist_internal.newcombe(
    successes1 bigint, trials1 bigint, successes2 bigint, trials2 bigint, OUT low float8, OUT high float8)
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT p1 - p2 - sqrt((p1 - w1.low) ^ 2 + (w2.high - p2) ^ 2),
        p1 - p2 + sqrt((w1.high - p1) ^ 2 + (p2 - w2.low) ^ 2)
    FROM (SELECT successes1::float8 / nullif(trials1, 0) AS p1, successes2::float8 / nullif(trials2, 0) AS p2) p,
        mnist_internal.wilson(successes1, trials1) AS w1,
        mnist_internal.wilson(successes2, trials2) AS w2;
END;
COMMENT ON FUNCTION mnist_internal.newcombe(bigint, bigint, bigint, bigint) IS
    '95 % interval of the difference of two proportions, the first minus the second (Newcombe 1998, Stat. Med. '
    '17:873, method 10); NULLs without trials; internal';

CREATE OR REPLACE FUNCTION mnist_internal.newcombe_paired(
    in_both bigint, in_first bigint, in_second bigint, in_neither bigint, OUT low float8, OUT high float8)
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT p1 - p2 - sqrt((p1 - w1.low) ^ 2 - 2 * phi * (p1 - w1.low) * (w2.high - p2) + (w2.high - p2) ^ 2),
        p1 - p2 + sqrt((w1.high - p1) ^ 2 - 2 * phi * (w1.high - p1) * (p2 - w2.low) + (p2 - w2.low) ^ 2)
    FROM (
            SELECT in_both + in_first + in_second + in_neither AS n,
                in_both::float8 * in_neither - in_first::float8 * in_second AS cross_difference,
                sqrt((in_both + in_first)::float8 * (in_second + in_neither)
                    * (in_both + in_second) * (in_first + in_neither)) AS margins) t,
        LATERAL (
            SELECT (in_both + in_first)::float8 / nullif(n, 0) AS p1,
                (in_both + in_second)::float8 / nullif(n, 0) AS p2,
                CASE WHEN margins = 0 THEN 0
                    WHEN cross_difference > 0 THEN greatest(cross_difference - n / 2.0, 0) / margins
                    ELSE cross_difference / margins END AS phi) p,
        mnist_internal.wilson(in_both + in_first, n) AS w1,
        mnist_internal.wilson(in_both + in_second, n) AS w2;
END;
COMMENT ON FUNCTION mnist_internal.newcombe_paired(bigint, bigint, bigint, bigint) IS
    '95 % interval of the difference of two proportions of the same trials, the first minus the second (Newcombe '
    '1998, Stat. Med. 17:2635, method 10), from the trials in which both, only one, or neither succeeded; NULLs '
    'without trials; internal';

-- mnist_mcnemar under a second name that PUBLIC may execute: the functions of a view run with the reader's rights.
CREATE OR REPLACE FUNCTION mnist_internal.mcnemar_exact(only1 bigint, only2 bigint) RETURNS float8
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'mnist_mcnemar';
COMMENT ON FUNCTION mnist_internal.mcnemar_exact(bigint, bigint) IS
    'mnist_mcnemar, for the functions of views; internal, but open to readers of mnist_challenge_result';

-- The mid-p-value counts the probability of the observed outcome by half.  It is the mean of the exact p-value and the
-- p-value of the next more extreme outcome.
CREATE OR REPLACE FUNCTION mnist_internal.mcnemar(only1 bigint, only2 bigint, OUT exact float8, OUT mid_p float8)
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT p.exact,
        CASE
            WHEN only1 = only2 THEN 1
            WHEN least(only1, only2) = 0 THEN p.exact / 2
            ELSE (p.exact + mnist_internal.mcnemar_exact(least(only1, only2) - 1, greatest(only1, only2) + 1)) / 2 END
    FROM (SELECT mnist_internal.mcnemar_exact(only1, only2) AS exact) p;
END;
COMMENT ON FUNCTION mnist_internal.mcnemar(bigint, bigint) IS
    'two-sided p-values for the difference of two models on the same images, from the images that only one of them '
    'gets right: exact (McNemar 1947) and mid-p (Fagerland et al. 2013); internal';

GRANT EXECUTE ON FUNCTION mnist_internal.wilson, mnist_internal.newcombe, mnist_internal.newcombe_paired,
    mnist_internal.mcnemar_exact, mnist_internal.mcnemar TO PUBLIC;
