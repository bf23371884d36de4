-- Make role :role with the privileges of :kind (see mnist_grant), unless it exists.  Environment variable :variable has
-- its password.  A role without a password gets this one; a role that has one keeps it.  entrypoint.sh runs it.
\getenv password :variable
-- No password in the log.
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SELECT NOT EXISTS (SELECT FROM pg_authid WHERE rolname = :'role') AS absent,
    EXISTS (SELECT FROM pg_authid WHERE rolname = :'role' AND rolpassword IS NULL) AS open \gset
\if :absent
    BEGIN;
    CREATE ROLE :"role" LOGIN PASSWORD :'password';
    SELECT mnist_grant(:'kind', :'role');
    COMMIT;
\elif :open
    ALTER ROLE :"role" LOGIN PASSWORD :'password';
\endif
