/*
 * Statistics: confidence intervals of proportions, and the comparison of two models on the same images.
 */

CREATE OR REPLACE FUNCTION @extschema@.mnist_mcnemar(live_only bigint, candidate_only bigint) RETURNS double precision
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'mnist_mcnemar';
COMMENT ON FUNCTION @extschema@.mnist_mcnemar(bigint, bigint) IS
    'p-value of McNemar''s exact test, two-sided, from the images that only one of two models reads correctly';

CREATE OR REPLACE FUNCTION mnist_internal.wilson(successes bigint, trials bigint, OUT low float8, OUT high float8)
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT greatest(0, (p + zz / (2 * n) - half) / (1 + zz / n)), least(1, (p + zz / (2 * n) + half) / (1 + zz / n))
    FROM (SELECT trials::float8 AS n, successes::float8 / trials AS p, 1.959963984540054::float8 ^ 2 AS zz) v,
        LATERAL (SELECT sqrt(zz * p * (1 - p) / n + zz ^ 2 / (4 * n ^ 2)) AS half) h
    WHERE trials > 0;
END;
COMMENT ON FUNCTION mnist_internal.wilson(bigint, bigint) IS
    '95 % score interval of a share (Wilson 1927); nulls without trials; internal';

CREATE OR REPLACE FUNCTION mnist_internal.newcombe(
    successes1 bigint, trials1 bigint, successes2 bigint, trials2 bigint, OUT low float8, OUT high float8)
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT p1 - p2 - sqrt((p1 - w1.low) ^ 2 + (w2.high - p2) ^ 2), p1 - p2 + sqrt((w1.high - p1) ^ 2 + (p2 - w2.low) ^ 2)
    FROM (SELECT successes1::float8 / nullif(trials1, 0) AS p1, successes2::float8 / nullif(trials2, 0) AS p2) p,
        mnist_internal.wilson(successes1, trials1) AS w1,
        mnist_internal.wilson(successes2, trials2) AS w2;
END;
COMMENT ON FUNCTION mnist_internal.newcombe(bigint, bigint, bigint, bigint) IS
    '95 % interval of the difference of two shares, the first minus the second (Newcombe 1998, Stat. Med. 17:873, method 10); nulls without trials; internal';

CREATE OR REPLACE FUNCTION mnist_internal.newcombe_paired(
    in_both bigint, in_first bigint, in_second bigint, in_neither bigint, OUT low float8, OUT high float8)
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT p1 - p2 - sqrt((p1 - w1.low) ^ 2 - 2 * phi * (p1 - w1.low) * (w2.high - p2) + (w2.high - p2) ^ 2),
        p1 - p2 + sqrt((w1.high - p1) ^ 2 - 2 * phi * (w1.high - p1) * (p2 - w2.low) + (p2 - w2.low) ^ 2)
    FROM (
            SELECT in_both + in_first + in_second + in_neither AS n, in_both::float8 * in_neither - in_first::float8 * in_second AS cross_difference,
                sqrt((in_both + in_first)::float8 * (in_second + in_neither) * (in_both + in_second) * (in_first + in_neither)) AS margins) t,
        LATERAL (
            SELECT (in_both + in_first)::float8 / nullif(n, 0) AS p1, (in_both + in_second)::float8 / nullif(n, 0) AS p2,
                CASE WHEN margins = 0 THEN 0
                    WHEN cross_difference > 0 THEN greatest(cross_difference - n / 2.0, 0) / margins
                    ELSE cross_difference / margins END AS phi) p,
        mnist_internal.wilson(in_both + in_first, n) AS w1,
        mnist_internal.wilson(in_both + in_second, n) AS w2;
END;
COMMENT ON FUNCTION mnist_internal.newcombe_paired(bigint, bigint, bigint, bigint) IS
    '95 % interval of the difference of two shares of the same trials, the first minus the second (Newcombe 1998, Stat. Med. 17:2635, method 10); the trials in which both, only one, or neither succeeded; nulls without trials; internal';

CREATE OR REPLACE FUNCTION mnist_internal.mcnemar(only1 bigint, only2 bigint, OUT exact float8, OUT mid_p float8)
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    -- The binomial probabilities of 0 .. min successes of n at one half, by their logarithms; exp(-700) is next to
    -- nothing, and exp of much less is an error.
    SELECT least(1, 2 * sum(p.p)), least(1, 2 * sum(p.p) - max(p.p) FILTER (WHERE p.k = least(only1, only2)))
    FROM (
        SELECT l.k, exp(greatest(l.log, -700)) AS p
        FROM (
            SELECT k, sum(CASE k WHEN 0 THEN 0 ELSE ln((only1 + only2 - k + 1)::float8 / k) END) OVER (ORDER BY k)
                - (only1 + only2) * ln(2::float8) AS log
            FROM generate_series(0, least(only1, only2)) AS k) l) p;
END;
COMMENT ON FUNCTION mnist_internal.mcnemar(bigint, bigint) IS
    'two-sided p-values of the difference of two shares of the same trials, from those in which only one succeeded: exact (McNemar) and mid-p (Fagerland et al. 2013); internal';

GRANT EXECUTE ON FUNCTION mnist_internal.wilson, mnist_internal.newcombe, mnist_internal.newcombe_paired, mnist_internal.mcnemar TO PUBLIC;
