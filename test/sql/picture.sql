-- also: not preloaded
-- Images in and out.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql

-- 784 raw bytes are taken as they are, whatever is in them.
SELECT mnist_preprocess(p) = p AS unchanged
FROM (SELECT string_agg(set_byte('\x00', 0, i * 7 % 256), '' ORDER BY i) AS p FROM generate_series(0, 783) AS i) AS s;

-- A digit in MNIST's form comes back from a PNG as it went in.
SELECT count(*) AS digits, count(*) FILTER (WHERE mnist_preprocess(mnist_png(p)) = p) AS same
FROM (SELECT mnist_internal.synthetic(i % 10, i) AS p FROM generate_series(0, 99) AS i) AS s;

-- Light or dark background, and how large it was scaled up, change nothing but rounding.
CREATE FUNCTION pg_temp.inverted(pixels bytea) RETURNS bytea LANGUAGE sql AS $$
    SELECT string_agg(set_byte('\x00', 0, 255 - get_byte(pixels, i)), '' ORDER BY i) FROM generate_series(0, 783) AS i
$$;
CREATE FUNCTION pg_temp.distance(a bytea, b bytea) RETURNS numeric LANGUAGE sql AS $$
    SELECT avg(abs(get_byte(a, i) - get_byte(b, i))) FROM generate_series(0, 783) AS i
$$;
SELECT max(pg_temp.distance(mnist_preprocess(mnist_png(pg_temp.inverted(p))), p)) < 0.5 AS inverted,
    max(pg_temp.distance(mnist_preprocess(mnist_png(p, 10)), p)) < 4 AS scaled,
    min(pg_temp.distance(mnist_internal.synthetic(9 - label, seed), p)) > 10 AS told_apart
FROM (SELECT i % 10 AS label, i AS seed, mnist_internal.synthetic(i % 10, i) AS p
    FROM generate_series(1, 20) AS i) AS s;

-- No ink: 784 zeros.
SELECT mnist_preprocess(mnist_png(decode(repeat('00', 784), 'hex'))) = decode(repeat('00', 784), 'hex') AS black,
    mnist_preprocess(mnist_png(decode(repeat('ff', 784), 'hex'), 3)) = decode(repeat('00', 784), 'hex') AS white;
SELECT mnist_ascii(decode(repeat('00', 784), 'hex')) = rtrim(repeat(repeat(' ', 28) || E'\n', 28),
    E'\n') AS nothing_to_see;

-- Every kind of PNG: 6 x 6 pixels, four of them ink, off the centre.  All say the same.
CREATE TEMP TABLE kind (kind text, png bytea);
INSERT INTO kind VALUES
    ('gray 1',
        '\x89504e470d0a1a0a0000000d4948445200000006000000060100000000c8b7d2e5'
        '000000104944415478da63f8c3300708ff8020001d7c05298e8c2c470000000049454e44ae426082'),
    ('gray 2',
        '\x89504e470d0a1a0a0000000d49484452000000060000000602000000008f17a835'
        '000000114944415478da63f8ff81e13018fd87220062cd0b23efadff6e0000000049454e44ae426082'),
    ('gray 4',
        '\x89504e470d0a1a0a0000000d494844520000000600000006040000000000575d95'
        '000000144944415478da63f8ffff3fc3077e0806b1a11800b7420ff123db25010000000049454e44ae426082'),
    ('gray 8',
        '\x89504e470d0a1a0a0000000d4948445200000006000000060800000000c5a7b094'
        '000000154944415478da63f80f060cff19189029a8203205007dc81fe1004652dc0000000049454e44ae426082'),
    ('gray 16',
        '\x89504e470d0a1a0a0000000d494844520000000600000006100000000095376cd7'
        '000000164944415478da63f88f0418800808b0735094e1e000003f8d3fc152cdd62c0000000049454e44ae426082'),
    ('rgb 8',
        '\x89504e470d0a1a0a0000000d49484452000000060000000608020000006fae781f'
        '000000164944415478da63f88f011840180c080961d14858080045465fa102b321140000000049454e44ae426082'),
    ('rgb 16',
        '\x89504e470d0a1a0a0000000d49484452000000060000000610020000003f3ea45c'
        '000000174944415478da63f84f0460805248803245445947054500ee38bf41d04618a10000000049454e44ae426082'),
    ('palette 1',
        '\x89504e470d0a1a0a0000000d4948445200000006000000060103000000da027d0b00000006504c5445ffffff00000055c2d37e'
        '0000000f4944415478da636060480042300000060c00c1c46fe2cf0000000049454e44ae426082'),
    ('palette 2',
        '\x89504e470d0a1a0a0000000d49484452000000060000000602030000009da207db00000006504c5445ffffff00000055c2d37e'
        '000000104944415478da636060601001231800000206002978b7ebd50000000049454e44ae426082'),
    ('palette 4',
        '\x89504e470d0a1a0a0000000d494844520000000600000006040300000012e2f27b00000006504c5445ffffff00000055c2d37e'
        '000000104944415478da63600002460108460200023a0023bbcde6200000000049454e44ae426082'),
    ('palette 8',
        '\x89504e470d0a1a0a0000000d4948445200000006000000060803000000d7121f7a00000006504c5445ffffff00000055c2d37e'
        '000000114944415478da636080024646640a0b0000009e0005b83e861d0000000049454e44ae426082'),
    ('palette 8, transparent',
        '\x89504e470d0a1a0a0000000d4948445200000006000000060803000000d7121f7a00000006504c5445000000000000a567b9cf'
        '0000000174524e530040e6d866000000114944415478da636080024646640a0b0000009e0005b83e861d'
        '0000000049454e44ae426082'),
    ('gray 8, one level transparent',
        '\x89504e470d0a1a0a0000000d4948445200000006000000060800000000c5a7b0940000000274524e5300809b2b4e18'
        '000000154944415478da6368000386060606640a2a884c010040391001bea133400000000049454e44ae426082'),
    ('gray and alpha 8',
        '\x89504e470d0a1a0a0000000d49484452000000060000000608040000004ac527c3'
        '000000124944415478da63604003ff81103b87080000d57803fdbd07c6b00000000049454e44ae426082'),
    ('gray and alpha 16',
        '\x89504e470d0a1a0a0000000d49484452000000060000000610040000001a55fb80'
        '000000134944415478da6360c00ffeff8760e225a80100358b07f9fa79ace80000000049454e44ae426082'),
    ('rgba 8',
        '\x89504e470d0a1a0a0000000d4948445200000006000000060806000000e0ccef48'
        '000000194944415478da63f88f03308009060630265e02a751244900002777837de09705be0000000049454e44ae426082'),
    ('rgba 8, light ink, nothing behind',
        '\x89504e470d0a1a0a0000000d4948445200000006000000060806000000e0ccef48'
        '000000124944415478da6360c007fe4301f112d401007a700ff1076fa2d70000000049454e44ae426082'),
    ('rgba 16',
        '\x89504e470d0a1a0a0000000d4948445200000006000000061006000000b05c330b'
        '000000194944415478da63f84f22608033c00041535f03c94ea29906009f7d07087bfa5b770000000049454e44ae426082'),
    ('gray 8, interlaced',
        '\x89504e470d0a1a0a0000000d4948445200000006000000060800000001b2a08002'
        '0000001a4944415478da63f8cf0084600202816c301f2c06a1c0004a0100b19a1fe1636a76ac0000000049454e44ae426082');
SELECT kind FROM kind WHERE mnist_preprocess(png) IS DISTINCT
FROM (SELECT mnist_preprocess(png) FROM kind WHERE kind = 'gray 8');
SELECT count(*) AS kinds, count(DISTINCT mnist_preprocess(png)) AS pictures FROM kind;
-- A square of ink fills the 20 x 20 box, and its centre of mass is the image's centre.
SELECT count(*) FILTER (WHERE ink > 200) AS full_ink, min(x) AS "left", max(x) AS "right", min(y) AS top,
    max(y) AS bottom
FROM kind, generate_series(0, 27) AS y, generate_series(0, 27) AS x, get_byte(mnist_preprocess(png), y * 28 + x) AS ink
WHERE kind = 'gray 8' AND ink > 0;

-- What is no image, is damaged, or claims too much.
CREATE TEMP TABLE bad (kind text, image bytea);
INSERT INTO bad VALUES
    ('empty', '\x'),
    ('random bytes',
        '\x2972bb044d96df2871ba034c95de2770b9024b94dd266fb8014a93dc256eb7004992db246db6ff4891da236cb5fe4790d9226bb4'
        'fd468fd8216ab3fc458ed720'),
    ('signature alone', '\x89504e470d0a1a0a'),
    ('cut within the header', '\x89504e470d0a1a0a0000000d4948445200000006'),
    ('cut within the data',
        '\x89504e470d0a1a0a0000000d4948445200000006000000060800000000c5a7b094'
        '000000154944415478da63f80f060cff19189029a820320500'),
    ('header damaged',
        '\x89504e470d0a1a0a0000000d4948445200070006000000060800000000c5a7b094'
        '000000154944415478da63f80f060cff19189029a8203205007dc81fe1004652dc0000000049454e44ae426082'),
    ('data damaged',
        '\x89504e470d0a1a0a0000000d4948445200000006000000060800000000c5a7b094'
        '000000154944415478da63f85a060cff19189029a8203205007dc81fe1004652dc0000000049454e44ae426082'),
    ('60000 x 60000',
        '\x89504e470d0a1a0a0000000d494844520000ea600000ea600800000000a5b92a9e'
        '0000001149444154789c63601805a360140c77000003e80001b3a6d3460000000049454e44ae426082'),
    ('0 x 0',
        '\x89504e470d0a1a0a0000000d49484452000000000000000008000000001ee023ce'
        '0000000949444154789c630000000100015eff7df90000000049454e44ae426082'),
    ('2147483647 x 1',
        '\x89504e470d0a1a0a0000000d494844527fffffff000000010800000000855d6c01'
        '0000000949444154789c630000000100015eff7df90000000049454e44ae426082'),
    ('too little data',
        '\x89504e470d0a1a0a0000000d494844520000001c0000001c080000000057668048'
        '0000000c49444154789c6360a03d00000064000186643c350000000049454e44ae426082'),
    ('a JPEG', '\xffd8ffe000104a46494600010100000100010000ffdb'),
    ('783 bytes', decode(repeat('00', 783), 'hex')),
    ('785 bytes', decode(repeat('00', 785), 'hex'));
SELECT kind, public.state(format('SELECT mnist_preprocess(%L)', image)) AS preprocess,
    public.state(format('SELECT mnist_ascii(%L)', image)) AS ascii
FROM bad;
SELECT mnist_preprocess('this is no image');

-- Text in an image, a thousandfold compressed here, is passed over.
SELECT mnist_preprocess(
    '\x89504e470d0a1a0a0000000d4948445200000006000000060800000000c5a7b094'
        '000004187a545874436f6d6d656e74000078daedc13101000000c2a0f54f6d085fa0'::bytea
    || decode(repeat('00', 1016), 'hex')
    || '\x3e0300f00001c77019a8'
        '000000154944415478da63f80f060cff19189029a8203205007dc81fe1004652dc0000000049454e44ae426082')
    = (SELECT mnist_preprocess(png) FROM kind WHERE kind = 'gray 8') AS same;

-- mnist_png: a gray PNG of the size asked for.
SELECT scale, substr(png, 1, 8) = '\x89504e470d0a1a0a' AS png, get_byte(png, 18) * 256 + get_byte(png, 19) AS width,
    get_byte(png, 22) * 256 + get_byte(png, 23) AS height, get_byte(png, 24) AS depth, get_byte(png, 25) AS color_type
FROM (VALUES (1), (3), (64)) AS s (scale), mnist_png(mnist_internal.synthetic(2, 1), scale) AS png;
SELECT mnist_png('\x00');
SELECT mnist_png(mnist_internal.synthetic(2, 1), 0);
SELECT mnist_png(mnist_internal.synthetic(2, 1), 65);

-- mnist_ascii: 28 lines of 28 characters, dense where the ink is.
SELECT count(*) AS lines, min(length(line)) AS shortest, max(length(line)) AS longest
FROM regexp_split_to_table(mnist_ascii(mnist_draw(8)), E'\n') AS line;
SELECT substr(mnist_ascii(p), 1, 12)
FROM (SELECT decode('00193366809ab3cce6ff', 'hex') || decode(repeat('00', 774), 'hex') AS p) AS s;

-- mnist_draw: a canvas, RGBA, the same for the same arguments, another for others.
SELECT side, get_byte(png, 18) * 256 + get_byte(png, 19) AS width, get_byte(png, 24) AS depth,
    get_byte(png, 25) AS color_type
FROM (VALUES (28), (280), (2048)) AS s (side), mnist_draw(7, 1, side) AS png;
SELECT mnist_draw(7) = mnist_draw(7, 1, 280) AS same, mnist_draw(7, 2) = mnist_draw(7, 1) AS other_seed,
    mnist_draw(1, 1) = mnist_draw(7, 1) AS other_digit, mnist_draw(7, -1) IS NOT NULL AS any_seed;
SELECT mnist_draw(10);
SELECT mnist_draw(-1);
SELECT mnist_draw(7, 1, 27);
SELECT mnist_draw(7, 1, 2049);
SELECT mnist_internal.synthetic(10, 1);

-- Null in, null out.
SELECT mnist_preprocess(NULL) IS NULL AS preprocess, mnist_png(NULL) IS NULL AS png,
    mnist_png('', NULL) IS NULL AS scale,
    mnist_ascii(NULL) IS NULL AS ascii, mnist_draw(NULL) IS NULL AS draw, mnist_draw(1, NULL) IS NULL AS seed;

DROP EXTENSION mnist_hil;
