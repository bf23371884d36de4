# Functions and operators that a role has planted in the extension's schema never run.
#
# The attacker is a role that may create objects in the extension's schema, as everybody could in public before
# PostgreSQL 15.  It plants overloads of every function and operator whose name occurs in the install script, and of the
# extension's own functions: with the same types, with better matching types, and with fewer arguments.  They exist
# before CREATE EXTENSION and after it.  Then roles that have only their documented grants call everything, the whole
# loop included.  A planted function that runs writes to the server's log, even if its transaction is rolled back.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use TestRoles qw(grant_everything);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'\nmnist_hil.min_new_labels = 5\n"
	. "mnist_hil.fail_threshold = 1\nmnist_hil.epochs = 1\nmax_worker_processes = 16\n"
	. "max_locks_per_transaction = 256\nlog_min_messages = log\n");
$node->start;

# The names that the install script may call: every word and every run of operator characters in it.
my ($sharedir) = run_command([ 'pg_config', '--sharedir' ]);
my ($version) = slurp_file("$sharedir/extension/mnist_hil.control") =~ /default_version = '(.*)'/;
my $script = slurp_file("$sharedir/extension/mnist_hil--$version.sql");
$script =~ s/'(?:[^']|'')*'//g;
my %word = map { lc $_ => 1 } $script =~ /[a-z_][a-z_0-9]*/gi;
my %operator = map { $_ => 1 } $script =~ /[-+*\/<>=~!@#%^&|`?]+/g;

sub quoted_list
{
	return join ', ', map { "'$_'" } @_;
}

my $words = quoted_list(sort keys %word);
my $operators = quoted_list(sort keys %operator);

# The extension's own functions, from a database where nothing is planted.
$node->safe_psql('postgres', 'CREATE EXTENSION mnist_hil');
my @public = split /\n/, $node->safe_psql('postgres', q{
	SELECT p.proname FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
	JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
	WHERE e.extname = 'mnist_hil' AND p.pronamespace = e.extnamespace ORDER BY 1});
my $own = $node->safe_psql('postgres', q{
	SELECT string_agg(format('(%L, %L::text[], %L::text[], %s)', p.proname,
		(SELECT array_agg(format_type(a.type, NULL) ORDER BY a.n)
			FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, n)),
		coalesce(p.proargnames, '{}'), p.pronargs), ', ')
	FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'mnist\_%' AND p.pronargs > 0});

sub in_database
{
	my ($sql, %options) = @_;
	my $user = $options{user} ? " user=$options{user}" : '';

	return $node->safe_psql('planted', $sql, connstr => $node->connstr('planted') . $user);
}

$node->safe_psql('postgres', q{
	CREATE ROLE regress_planter LOGIN;
	CREATE ROLE regress_app LOGIN;
	CREATE ROLE regress_annotator LOGIN;
	CREATE ROLE regress_trainer LOGIN;
	CREATE ROLE regress_observer LOGIN});
$node->safe_psql('postgres', 'CREATE DATABASE planted');
in_database('GRANT CREATE ON SCHEMA public TO regress_planter');

# Plant the overloads.  A function of the system is planted with its own types, and with every type of the list for each
# of its first three arguments.  A function of the extension is planted with every shorter list of arguments, and with
# each argument alone by its name.
my $planted = in_database(qq{
	SET search_path = pg_catalog;
	CREATE FUNCTION pg_temp.plant(name text, arguments text, result text) RETURNS int LANGUAGE plpgsql AS \$\$
	BEGIN
		EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', name, arguments, result,
			format('BEGIN RAISE LOG %L, current_user, session_user; RETURN NULL; END', 'planted ' || name || '('
			|| arguments || ') ran as % for %'));
		RETURN 1;
	EXCEPTION WHEN OTHERS THEN
		RETURN 0;
	END \$\$;
	CREATE TEMP TABLE kind (type) AS VALUES ('smallint'), ('integer'), ('bigint'), ('real'), ('double precision'),
		('text'), ('name'), ('bytea'), ('boolean'), ('timestamp with time zone'), ('interval'), ('jsonb'),
		('integer[]');
	CREATE TEMP TABLE target AS
	SELECT DISTINCT ON (p.proname, p.pronargs) p.proname::text AS name, p.pronargs AS n,
		ARRAY(SELECT CASE WHEN t.typtype = 'p' THEN 'text' ELSE format_type(a.type, NULL) END
			FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, place) JOIN pg_type t ON t.oid = a.type
			ORDER BY place) AS types,
		CASE WHEN t.typtype = 'p' THEN 'text' ELSE format_type(p.prorettype, NULL) END AS result
	FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype
	WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.pronargs > 0 AND p.proname IN ($words)
	ORDER BY p.proname, p.pronargs, p.oid;
	WITH variant AS (
		SELECT t.name, t.result, t.types FROM target t
		UNION
		SELECT t.name, t.result, t.types[:i - 1] || v.type || t.types[i + 1:]
		FROM target t CROSS JOIN kind v CROSS JOIN generate_series(1, least(t.n, 3)) AS i
		UNION
		SELECT t.name, t.result, ARRAY[v.type, w.type] FROM target t CROSS JOIN kind v CROSS JOIN kind w
		WHERE t.n = 2 OR t.name IN ('format', 'concat_ws', 'jsonb_build_object')
		UNION
		SELECT t.name, t.result, ARRAY['text', v.type, w.type] FROM target t CROSS JOIN kind v CROSS JOIN kind w
		WHERE t.name IN ('format', 'concat_ws', 'jsonb_build_object'))
	SELECT sum(pg_temp.plant(name, array_to_string(types, ', '), result)) FROM variant;
	WITH own (name, types, names, n) AS (VALUES $own)
	SELECT sum(pg_temp.plant(name, arguments, 'bigint')) FROM (
		SELECT name, (
			SELECT string_agg(format('%I %s', names[i], types[i]), ', ') FROM generate_series(1, k) AS i) AS arguments
		FROM own CROSS JOIN generate_series(1, n - 1) AS k
		UNION
		SELECT name, format('%I %s', names[i], types[i]) FROM own CROSS JOIN generate_series(1, n) AS i WHERE n > 1
		UNION
		SELECT name, format('%I %s', names[1], v.type) FROM own CROSS JOIN kind v WHERE n = 1 AND v.type <> types[1]) o;
	CREATE TEMP TABLE symbol AS
	SELECT DISTINCT ON (o.oprname) o.oprname::text AS name,
		CASE WHEN t.typtype = 'p' THEN 'text' ELSE format_type(o.oprresult, NULL) END AS result
	FROM pg_operator o JOIN pg_type t ON t.oid = o.oprresult
	WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprkind = 'b' AND o.oprname IN ($operators)
	ORDER BY o.oprname, o.oid;
	CREATE FUNCTION pg_temp.plant_operator(name text, l text, r text, result text) RETURNS int LANGUAGE plpgsql AS \$\$
	BEGIN
		IF pg_temp.plant('operator ' || name, l || ', ' || r, result) = 0 THEN
			RETURN 0;
		END IF;
		EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.%I)', name, l, r,
			'operator ' || name);
		RETURN 1;
	EXCEPTION WHEN OTHERS THEN
		RETURN 0;
	END \$\$;
	SELECT sum(pg_temp.plant_operator(s.name, l.type, r.type, s.result))
	FROM symbol s CROSS JOIN kind l CROSS JOIN kind r;
}, user => 'regress_planter');
my ($functions, $overloads, $symbols) = split /\n/, $planted;
note("planted: $functions functions, $overloads overloads of ours, $symbols operators");
cmp_ok($functions, '>', 2000, 'functions of the system are planted');
cmp_ok($overloads, '>', 50, 'so are overloads of ours');
cmp_ok($symbols, '>', 1500, 'and operators');

# Check the check: an unqualified call does run a planted function if its schema is in the search path.
my $caught = qr/planted .* ran as (\S+) for (\S+)/;
sub hits
{
	return grep { /$caught/ } split /\n/, slurp_file($node->logfile);
}
in_database(q{SET search_path = public; SELECT format('%s', 1::bigint)}, user => 'regress_app');
is(scalar hits(), 1, 'an unqualified call runs a planted function if the function\'s schema is in the search path');
my $before = -s $node->logfile;

in_database('CREATE EXTENSION mnist_hil');
in_database(grant_everything('regress_trainer', 'regress_observer') . q{
	GRANT EXECUTE ON FUNCTION public.mnist_predict(bytea), public.mnist_predict_batch(bytea[]) TO regress_app;
	GRANT EXECUTE ON FUNCTION public.mnist_correct(bigint, int) TO regress_annotator;
});

# A call of one of the extension's functions.  Every argument has its exact type, so no planted function matches.
my %signature;
for (split /\n/, $node->safe_psql('postgres', q{
	SELECT concat_ws('|', p.proname, a.name, format_type(a.type, NULL), pg_get_function_arg_default(p.oid,
		a.place::int))
	FROM pg_proc p, unnest(p.proargtypes::oid[], p.proargnames[:p.pronargs]) WITH ORDINALITY AS a (type, name, place)
	WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'mnist\_%' ORDER BY p.proname, a.place}))
{
	my ($function, @argument) = split /\|/;
	push @{ $signature{$function} }, \@argument;
}

sub call
{
	my ($function, %given) = @_;
	my @arguments = map {
		my ($name, $type, $default) = @$_;
		"$name => (" . ($given{$name} // $default // die "no $name for $function") . ")::$type"
	} @{ $signature{$function} // [] };

	return "public.$function(" . join(', ', @arguments) . ')';
}

# Every public function, in an order that makes the whole loop happen: [function, role, what to select].
my $png = call('mnist_draw', label => 3);
my $newest = '(SELECT max(version) FROM public.mnist_model)';
my $superuser = (getpwuid $<)[0];
my $last_run = '(SELECT max(id) FROM public.mnist_run)';
my @calls = (
	[ 'mnist_draw', 'regress_app', $png ],
	map({ [ $_, 'regress_app', call($_, image => $png) ] }
		qw(mnist_classify mnist_probabilities mnist_preprocess mnist_ascii mnist_features mnist_explain
			mnist_explanation)),
	[ 'mnist_png', 'regress_app', call('mnist_png', pixels => call('mnist_preprocess', image => $png)) ],
	[ 'mnist_predict', 'regress_app', 'count(' . call('mnist_predict', image => call('mnist_draw', label => 'i % 10',
		seed => 'i'))
		. ') FROM generate_series(1, 300) i' ],
	[ 'mnist_predict_batch', 'regress_app', call('mnist_predict_batch', images => "ARRAY[$png, $png]") ],
	[ 'mnist_import_synthetic', 'regress_trainer', call('mnist_import_synthetic', dataset => "'drawn'", n => 600) ],
	[ 'mnist_import_images', 'regress_trainer', call('mnist_import_images', dataset => "'own'", split => "'test'",
		images => "ARRAY[$png]", labels => "'{3}'") ],
	[ 'mnist_import_idx', 'regress_trainer', call('mnist_import_idx', dataset => "'idx'", split => "'test'",
		images => "'\\x00000803000000010000001c0000001c'::bytea || " . call('mnist_preprocess', image => $png),
		labels => "'\\x000008010000000103'") ],
	[ 'mnist_drop_dataset', 'regress_trainer', call('mnist_drop_dataset', dataset => "'idx'") ],
	# A small live model, so that the run that mnist_check begins is short.
	[ 'mnist_retrain', 'regress_trainer', call('mnist_retrain', strategy => "'from_scratch'",
		architectures => "'{softmax}'", epochs => 1, seed => 1) ],
	[ 'mnist_activate', 'regress_trainer', call('mnist_activate', version => $newest, reason => "'a reason'") ],
	[ 'mnist_correct', 'regress_annotator', 'count(' . call('mnist_correct', id => 'i',
		label => '(i + (i % 4 = 0)::int) % 10') . ') FROM generate_series(1, 40) i' ],
	[ 'mnist_correct', 'regress_trainer', 'count(' . call('mnist_correct', id => 'i',
		label => '(i + (i % 4 = 0)::int) % 10') . ') FROM generate_series(1, 40) i' ],
	[ 'mnist_set_recipe', 'regress_trainer', call('mnist_set_recipe', preset => "'fine_tune'",
		time_budget => "'1 hour'", run_from => "'12:00'", run_until => "'11:59'", reset => "'{epochs}'",
		note => "'a reason'") ],
	[ 'mnist_set_recipe', 'regress_trainer', call('mnist_set_recipe', reset => "'{run_from,run_until}'") ],
	[ 'mnist_check', 'regress_trainer', call('mnist_check') ],
	[ 'mnist_housekeep', 'regress_trainer', call('mnist_housekeep') ],
	[ 'wait' ],
	[ 'mnist_retrain', 'regress_trainer', call('mnist_retrain', strategy => "'from_scratch'",
		architectures => "'{softmax}'", trials => 2, search => 'true', epochs => 1, seed => 1) ],
	[ 'mnist_reproduce', 'regress_trainer', call('mnist_reproduce', run_id => $last_run) ],
	[ 'mnist_rollback', 'regress_trainer', call('mnist_rollback', reason => "'a reason'") ],
	[ 'mnist_challenge', 'regress_trainer', call('mnist_challenge', version => $newest, share => 1, shadow => 'true') ],
	[ 'mnist_predict', 'regress_app', call('mnist_predict', image => $png) ],
	[ 'mnist_challenge_drop', 'regress_trainer', call('mnist_challenge_drop', reason => "'a reason'") ],
	[ 'mnist_challenge', 'regress_trainer', call('mnist_challenge', version => $newest, share => '0.5') ],
	[ 'mnist_challenge_promote', 'regress_trainer', call('mnist_challenge_promote', reason => "'a reason'") ],
	[ 'mnist_retrain', 'regress_trainer', call('mnist_retrain', strategy => "'from_scratch'",
		architectures => "'{softmax}'", epochs => 8, seed => 1),
		'SET mnist_hil.require_approval = on' ],
	[ 'mnist_approve', 'regress_trainer', call('mnist_approve', run_id => $last_run) ],
	[ 'mnist_export', 'regress_trainer', 'length(' . call('mnist_export', version => 1) . ')' ],
	[ 'mnist_import', 'regress_trainer', call('mnist_import', architecture => "'default'",
		weights => call('mnist_export', version => 1, format => "'safetensors'")) ],
	[ 'mnist_prune', 'regress_trainer', call('mnist_prune', keep => 0) ],
	[ 'mnist_drift_rebase', 'regress_trainer', call('mnist_drift_rebase', source => "'base data'") ],
	[ 'mnist_mcnemar', 'regress_trainer', call('mnist_mcnemar', live_only => 1, candidate_only => 2) ],
	[ 'mnist_curve', 'regress_trainer', call('mnist_curve', run_id => $last_run) ],
	[ 'mnist_metrics_text', 'regress_trainer', call('mnist_metrics_text') ],
	map({ [ 'mnist_report', 'regress_trainer', 'length(' . call('mnist_report', kind => "'$_'") . ')' ] }
		qw(full drift quality performance)),
	[ 'mnist_erase', 'regress_trainer', call('mnist_erase', annotator => "'regress_annotator'",
		predictions => "'{1}'") ],
	[ 'mnist_grant', $superuser, call('mnist_grant', kind => "'observer'", grantee => "'regress_observer'") ],
	[ 'mnist_notify_next', 'regress_trainer', call('mnist_notify_next', notifier => "'notifier'",
		all_events => 'true') ],
	[ 'mnist_notify_done', 'regress_trainer', call('mnist_notify_done', notifier => "'notifier'",
		event_id => '(SELECT min(id) FROM public.mnist_event)', error => "'an error'") ],
	# This server has no pg_cron: these end in an error of the extension.
	[ 'mnist_schedule', 'regress_trainer', call('mnist_schedule') ],
	[ 'mnist_unschedule', 'regress_trainer', call('mnist_unschedule') ],
	[ 'mnist_schedule_report', 'regress_trainer', call('mnist_schedule_report') ],
	[ 'mnist_unschedule_report', 'regress_trainer', call('mnist_unschedule_report') ],
);
my %called = map { $_->[0] => 1 } @calls;
is(join(' ', grep { !$called{$_} } @public), '', 'every public function is called');

in_database('GRANT SELECT ON public.mnist_run, public.mnist_model, public.mnist_metrics, public.mnist_event'
	. ' TO regress_trainer;'
	. ' GRANT SET ON PARAMETER mnist_hil.require_approval TO regress_trainer');
for my $call (@calls)
{
	my ($function, $role, $sql, $before) = @$call;

	if ($function eq 'wait')
	{
		$node->poll_query_until('planted', "SELECT count(*) = 0 FROM public.mnist_run WHERE status = 'running'")
			or die 'the run that mnist_check began did not end';
		next;
	}
	my $verb = $function eq 'mnist_housekeep' ? 'CALL' : 'SELECT';
	my ($status, $out, $err) = $node->psql('planted', 'SET search_path = pg_catalog; ' . ($before // '')
		. "; $verb $sql",
		connstr => $node->connstr('planted') . " user=$role");
	$err =~ s/^\S*(NOTICE|WARNING):.*\n//gm;
	if ($function =~ /schedule/) { like($err, qr/pg_cron is not (installed|loaded)/, $function); }
	else { is($err, '', $function); }
}
is(in_database(q{SELECT count(*) FROM public.mnist_run WHERE status <> 'succeeded'}), '0', 'all runs succeeded');
is(in_database(q{SELECT count(*) FROM public.mnist_run WHERE trigger = 'check'}), '1', 'mnist_check began one of them');
cmp_ok(in_database(q{SELECT count(*) FROM public.mnist_run WHERE promoted}), '>=', 1, 'a model went live');

for my $relation (split /\n/, in_database(q{
	SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
	AND c.relname LIKE 'mnist\_%' ORDER BY 1}))
{
	my ($status, $out, $err) = $node->psql('planted',
		"SET search_path = pg_catalog; SELECT count(t) FROM public.$relation AS t",
		connstr => $node->connstr('planted') . ' user=regress_observer');
	is($err, '', "$relation can be read");
}
$node->stop;

my @ran = grep { /$caught/ } split /\n/, substr(slurp_file($node->logfile), $before);
is(scalar @ran, 0, 'no planted function ran') or diag(join "\n", @ran[0 .. ($#ran < 9 ? $#ran : 9)]);

done_testing();
