\set ECHO none
-- What most tests begin with: the extension as CREATE EXTENSION makes it, and functions to see errors by.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS mnist_hil CASCADE;
RESET client_min_messages;
CREATE EXTENSION mnist_hil;
\i :srcdir/sql/include/outcome.sql
