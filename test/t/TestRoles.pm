# Roles for tests that have every privilege on the extension's public objects.
package TestRoles;

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(grant_everything);

# A statement that lets one role call every public function and procedure of the extension, and another role read every
# public table and view.
sub grant_everything
{
	my ($caller, $reader) = @_;

	return qq{
	DO \$\$
	DECLARE
		routine regprocedure;
		relation regclass;
	BEGIN
		FOR routine IN
			SELECT p.oid
			FROM pg_proc p
			JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
			JOIN pg_extension e ON d.refobjid = e.oid AND d.deptype = 'e'
			WHERE p.pronamespace = e.extnamespace
		LOOP
			EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO $caller', routine);
		END LOOP;
		FOR relation IN
			SELECT c.oid
			FROM pg_class c
			JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
			JOIN pg_extension e ON d.refobjid = e.oid AND d.deptype = 'e'
			WHERE c.relnamespace = e.extnamespace AND c.relkind IN ('r', 'v')
		LOOP
			EXECUTE format('GRANT SELECT ON %s TO $reader', relation);
		END LOOP;
	END \$\$;};
}

1;
