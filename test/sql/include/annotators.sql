\set ECHO none
-- Three annotators, and their corrections.
CREATE ROLE regress_mnist_ann;
CREATE ROLE regress_mnist_bob;
CREATE ROLE regress_mnist_cat;
GRANT EXECUTE ON FUNCTION mnist_correct TO regress_mnist_ann, regress_mnist_bob, regress_mnist_cat;

-- mnist_correct, called by ann, bob or cat.
CREATE FUNCTION pg_temp.correct_as(who text, prediction bigint, label int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET ROLE regress_mnist_%s', who);
    PERFORM mnist_correct(prediction, label);
    RESET ROLE;
END
$$;
\set ECHO all
