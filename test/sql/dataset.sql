-- also: not preloaded
-- Data sets: what is imported, how it is split, what is refused, and that nothing is ever imported by halves.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql

CREATE TEMP VIEW split AS
SELECT d.name, s.split, count(*), min(s.ordinal), max(s.ordinal)
FROM mnist_dataset d LEFT JOIN mnist_sample s ON s.dataset_id = d.id
GROUP BY d.name, s.split ORDER BY d.name, s.split;

-- IDX files of 60 images: image i is all of grey 4 i, its label is i modulo 10.
CREATE TEMP TABLE file (name text PRIMARY KEY, content bytea);
INSERT INTO file
SELECT 'images', '\x000008030000003c0000001c0000001c'::bytea ||
    string_agg(decode(repeat(lpad(to_hex(4 * i), 2, '0'), 784), 'hex'), '' ORDER BY i)
FROM generate_series(0, 59) AS i;
INSERT INTO file
SELECT 'labels', '\x000008010000003c'::bytea || string_agg(decode(lpad(to_hex(i % 10), 2, '0'), 'hex'), '' ORDER BY i)
FROM generate_series(0, 59) AS i;
INSERT INTO file
    VALUES ('images.gz',
        '\x1f8b0800000000000203edc39152a0010080c17fa6200882e02008822008822008822008828320088220088220080e8220088220'
        '088220080e8220088220088220e821eea0f99e62776687616c641886a5ffa77e023f46818c01190732016412c82f205340a681cc'
        '0099053207641ec8029045204b409681ac005905b206641dc80690df4036816c01d906b2036417c81e907d2007400e811c013906'
        'f207c8099053206740ce815c00b9047205e41ac80d905b207740ee81fc05f200e411c8139067202f405e81bc017907f201e413c8'
        '17906f20ff0060071ef6d0b70000');
INSERT INTO file
    VALUES ('labels.gz', '\x1f8b08000000000002036360e060646060b06160646266616563e7e0249d05008c9a989144000000');
CREATE FUNCTION pg_temp.file(name text) RETURNS bytea
    LANGUAGE sql AS $$ SELECT content FROM file f WHERE f.name = file.name $$;

---------------------------------------------------------------- IDX

-- The last twelfth of the training images is for validation; plain and gzip are the same.
SELECT mnist_import_idx('plain', 'train', pg_temp.file('images'), pg_temp.file('labels'));
SELECT mnist_import_idx('gzip', 'train', pg_temp.file('images.gz'), pg_temp.file('labels.gz'));
SELECT mnist_import_idx('plain', 'test', pg_temp.file('images.gz'), pg_temp.file('labels'));
SELECT * FROM split;
SELECT bool_and(s.label = s.ordinal % 10 AND s.pixels = decode(repeat(lpad(to_hex(4 * s.ordinal), 2, '0'), 784),
    'hex')) AS right
FROM mnist_sample s;
SELECT name, source, created_by = session_user AS by_me FROM mnist_dataset ORDER BY name;

-- Again is an error, until it is dropped.
SELECT public.outcome($$SELECT mnist_import_idx('plain', 'train', pg_temp.file('images'), pg_temp.file('labels'))$$);
SELECT public.outcome($$SELECT mnist_import_idx('plain', 'test', pg_temp.file('images'), pg_temp.file('labels'))$$);
SELECT mnist_drop_dataset('plain');
SELECT mnist_import_idx('plain', 'train', pg_temp.file('images'), pg_temp.file('labels'));
SELECT mnist_drop_dataset('plain');
SELECT public.outcome($$SELECT mnist_drop_dataset('plain')$$);
SELECT public.outcome($$SELECT mnist_drop_dataset(NULL)$$);

-- What is refused.
CREATE FUNCTION pg_temp.import(images bytea, labels bytea) RETURNS text LANGUAGE sql AS
    $$ SELECT public.outcome(format('SELECT mnist_import_idx(''bad'', ''train'', %L, %L)', images, labels)) $$;
SELECT pg_temp.import(pg_temp.file('labels'), pg_temp.file('images')) AS swapped;
SELECT pg_temp.import(pg_temp.file('labels.gz'), pg_temp.file('images.gz')) AS swapped;
SELECT pg_temp.import(pg_temp.file('images'), pg_temp.file('images')) AS images_twice;
SELECT pg_temp.import(substr(pg_temp.file('images'), 1, 10000), pg_temp.file('labels')) AS truncated;
SELECT pg_temp.import(pg_temp.file('images'), substr(pg_temp.file('labels'), 1, 67)) AS truncated;
SELECT pg_temp.import(substr(pg_temp.file('images.gz'), 1, 60), pg_temp.file('labels')) AS truncated;
SELECT pg_temp.import(substr(pg_temp.file('images'), 1, 10), pg_temp.file('labels')) AS in_the_header;
SELECT pg_temp.import(pg_temp.file('images') || '\x00', pg_temp.file('labels')) AS too_long;
SELECT pg_temp.import(pg_temp.file('images'), pg_temp.file('labels.gz') || '\x00') AS too_long;
SELECT pg_temp.import(pg_temp.file('images'),
    set_byte(pg_temp.file('labels.gz'), 20, 1 + get_byte(pg_temp.file('labels.gz'), 20)))
    LIKE '22P03: %' AS damaged;
SELECT pg_temp.import(pg_temp.file('images'),
    set_byte(set_byte(pg_temp.file('labels'), 7, 59), 8, 0)) AS different_lengths;
SELECT pg_temp.import(pg_temp.file('images'),
    set_byte(substr(pg_temp.file('labels'), 1, 67), 7, 59)) AS different_lengths;
SELECT pg_temp.import(set_byte(pg_temp.file('images'), 3, 4), pg_temp.file('labels')) AS wrong_magic;
SELECT pg_temp.import(set_byte(pg_temp.file('images'), 11, 32), pg_temp.file('labels')) AS wrong_size;
SELECT pg_temp.import(pg_temp.file('images'), set_byte(pg_temp.file('labels'), 8 + 5, 10)) AS wrong_label;
SELECT pg_temp.import(set_byte(pg_temp.file('images'), 4, 255), pg_temp.file('labels')) AS too_many;
SELECT pg_temp.import(set_byte(pg_temp.file('images'), 7, 0), pg_temp.file('labels')) AS none;
SELECT pg_temp.import('', '') AS empty;
SELECT pg_temp.import(mnist_draw(3), mnist_draw(4)) AS png;
SELECT pg_temp.import(NULL, pg_temp.file('labels')) AS no_images;
SELECT pg_temp.import(pg_temp.file('images'), NULL) AS no_labels;
SELECT public.outcome($$SELECT mnist_import_idx(NULL, 'train', pg_temp.file('images'), pg_temp.file('labels'))$$);
SELECT public.outcome($$SELECT mnist_import_idx('bad', NULL, pg_temp.file('images'), pg_temp.file('labels'))$$);
SELECT public.outcome($$SELECT mnist_import_idx('', 'train', pg_temp.file('images'), pg_temp.file('labels'))$$);
SELECT public.outcome($$SELECT mnist_import_idx('bad', 'validation', pg_temp.file('images'), pg_temp.file('labels'))$$);
-- None of this left a trace, not even a data set without images.
SELECT * FROM split;

---------------------------------------------------------------- images of one's own

-- PNGs and raw pixels; each goes where a hash of its pixels says, so that equal ones go to the same side.
CREATE TEMP TABLE drawn AS SELECT i, i % 10 AS label, mnist_draw(i % 10, i / 20) AS image
FROM generate_series(0, 239) AS i;
SELECT mnist_import_images('mine', 'train', array_agg(image ORDER BY i), array_agg(label ORDER BY i)) FROM drawn;
SELECT mnist_import_images('mine', 'test', ARRAY[mnist_preprocess(mnist_draw(7))], ARRAY[7]);
SELECT count(*) FILTER (WHERE split = 'validation') BETWEEN 5 AND 50 AS validation,
    count(*) FILTER (WHERE split = 'test') AS test
FROM mnist_sample s JOIN mnist_dataset d ON d.id = s.dataset_id WHERE d.name = 'mine';
SELECT bool_and(s.label = m.label AND s.pixels = mnist_preprocess(m.image)) AS as_preprocessed, count(*)
FROM mnist_sample s JOIN mnist_dataset d ON d.id = s.dataset_id JOIN drawn m ON m.i = s.ordinal
WHERE d.name = 'mine' AND s.split <> 'test';
SELECT count(*) AS on_both_sides
FROM mnist_sample t JOIN mnist_sample v USING (dataset_id, pixels) WHERE t.split = 'train' AND v.split = 'validation';

-- What is refused, with the position of what is to blame.
SELECT public.outcome($$SELECT mnist_import_images('mine', 'train', ARRAY[mnist_draw(1)], ARRAY[1])$$);
SELECT public.outcome($$SELECT mnist_import_images('gzip', 'test', ARRAY[mnist_draw(1)], ARRAY[1])$$);
SELECT public.outcome($$SELECT mnist_import_images('bad', 'train', NULL, ARRAY[1])$$);
SELECT public.outcome($$SELECT mnist_import_images('bad', 'train', ARRAY[mnist_draw(1)], NULL)$$);
SELECT public.outcome($$SELECT mnist_import_images('bad', 'train', '{}', '{}')$$);
SELECT public.outcome($$SELECT mnist_import_images('bad', 'train', ARRAY[mnist_draw(1), mnist_draw(2)], ARRAY[1])$$);
SELECT public.outcome($$SELECT mnist_import_images('bad', 'train', ARRAY[mnist_draw(1), NULL], ARRAY[1, 2])$$);
SELECT public.outcome($$SELECT mnist_import_images('bad', 'train', ARRAY[mnist_draw(1), mnist_draw(2)],
    ARRAY[1, NULL])$$);
SELECT public.outcome($$SELECT mnist_import_images('bad', 'train', ARRAY[mnist_draw(1), mnist_draw(2)],
    ARRAY[1, 10])$$);
SELECT public.outcome($$SELECT mnist_import_images('bad', 'train', ARRAY[mnist_draw(1), mnist_draw(2)],
    ARRAY[-1, 2])$$);
SELECT split_part(split_part(public.outcome($$SELECT mnist_import_images('bad', 'train',
    ARRAY[mnist_draw(1), mnist_draw(2), 'no image'], ARRAY[1, 2, 3])$$), E'\n', 1), ': ', n)
FROM generate_series(1, 2) AS n;
-- Where an array's subscripts begin does not matter.
SELECT mnist_import_images('slice', 'test', (ARRAY[mnist_draw(1), mnist_draw(2), mnist_draw(3)])[2:3],
    '[0:1]={2,3}'::int[]);
SELECT label, ordinal FROM mnist_sample s JOIN mnist_dataset d ON d.id = s.dataset_id WHERE d.name = 'slice'
ORDER BY ordinal;
SELECT name FROM mnist_dataset WHERE name = 'bad';

---------------------------------------------------------------- digits drawn by the extension

-- The same seed draws the same, another one others; the last one in seven is for testing.
SELECT mnist_import_synthetic('one', 140, 1), mnist_import_synthetic('again', 140, 1),
    mnist_import_synthetic('two', 140, 2);
SELECT d.name, sum((s.split = 'test')::int) AS test, sum((s.split = 'validation')::int) BETWEEN 2 AND 30 AS validation,
    min(s.ordinal) FILTER (WHERE s.split = 'test') AS first_test, count(DISTINCT s.label) AS digits,
    count(DISTINCT s.pixels) AS different
FROM mnist_dataset d JOIN mnist_sample s ON s.dataset_id = d.id WHERE d.source = 'synthetic' GROUP BY d.name
ORDER BY d.name;
SELECT a.name, b.name, count(*) FILTER (WHERE s.pixels = t.pixels AND s.label = t.label AND s.split = t.split) AS equal
FROM mnist_dataset a JOIN mnist_dataset b ON a.name = 'one' AND b.name IN ('again', 'two')
JOIN mnist_sample s ON s.dataset_id = a.id JOIN mnist_sample t ON t.dataset_id = b.id AND t.ordinal = s.ordinal
GROUP BY a.name, b.name ORDER BY b.name;
SELECT label, count(*) FROM mnist_sample s JOIN mnist_dataset d ON d.id = s.dataset_id WHERE d.name = 'one'
GROUP BY label ORDER BY label;
SELECT public.outcome($$SELECT mnist_import_synthetic('one')$$);
SELECT public.outcome($$SELECT mnist_import_synthetic('bad', 0)$$);
SELECT public.outcome($$SELECT mnist_import_synthetic('bad', 2000000)$$);
SELECT public.outcome($$SELECT mnist_import_synthetic('bad', NULL)$$);
SELECT public.outcome($$SELECT mnist_import_synthetic('bad', 100, NULL)$$);
SELECT public.outcome($$SELECT mnist_import_synthetic(NULL)$$);
SELECT name FROM mnist_dataset WHERE name = 'bad';

DROP VIEW split;
DROP EXTENSION mnist_hil;
