/*
 * store.c: model rows, and the bundled model's file.
 *
 * Rows are read like the system catalogs: below the executor, by index scans with a catalog snapshot.  That shows
 * the rows committed by now, works in parallel workers and on a standby, needs no privileges, and runs no user code.
 * In a new session it is much cheaper than planning a query.
 */
#include "postgres.h"

#include <sys/stat.h>

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"

#include "model/store.h"
#include "nn/formats/blob.h"
#include "pg/arguments.h"
#include "pg/compat.h"
#include "pg/errors.h"
#include "pg/memory.h"
#include "pg/rows.h"
#include "pg/schema.h"
#include "pg/spi.h"

#define DEFAULT_WEIGHTS_FILE "extension/mnist_hil--default.weights" /* under the share directory */

PG_FUNCTION_INFO_V1(mnist_hil_default_weights);
PG_FUNCTION_INFO_V1(mnist_hil_describe);

/* ---- rows ---- */

static Relation
open_table(const char *name)
{
	Oid oid = schema_relation(name);

	if (!OidIsValid(oid))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("table \"%s\" of extension mnist_hil does not exist", name)));
	return table_open(oid, AccessShareLock);
}

static AttrNumber
column_number(Relation rel, const char *name)
{
	int number = SPI_fnumber(RelationGetDescr(rel), name);

	if (number <= 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of table \"%s\" does not exist", name, RelationGetRelationName(rel))));
	return number;
}

/* A column that is not null; the datum points into the tuple. */
static Datum
column_value(Relation rel, HeapTuple tuple, const char *name)
{
	bool isnull;
	Datum value = heap_getattr(tuple, column_number(rel, name), RelationGetDescr(rel), &isnull);

	if (isnull)
		elog(ERROR, "null in column \"%s\" of table \"%s\"", name, RelationGetRelationName(rel));
	return value;
}

/*
 * A scan positioned at the newest row of a table, which has the highest id.  The tuple is invalid if the table is
 * empty.
 */
typedef struct NewestRow
{
	Relation rel;
	Relation index;
	SysScanDesc scan;
	HeapTuple tuple;
} NewestRow;

static void
open_newest(NewestRow *row, const char *table)
{
	row->rel = open_table(table);
	row->index = index_open(compat_primary_key_index(row->rel), AccessShareLock);
	row->scan = systable_beginscan_ordered(row->rel, row->index, NULL, 0, NULL);
	row->tuple = systable_getnext_ordered(row->scan, BackwardScanDirection);
}

static void
close_newest(NewestRow *row)
{
	systable_endscan_ordered(row->scan);
	index_close(row->index, AccessShareLock);
	table_close(row->rel, AccessShareLock);
}

bool
model_store_newest_deployment(int64 *deployment, int *version)
{
	NewestRow row;
	bool found;

	open_newest(&row, "mnist_deployment");
	found = HeapTupleIsValid(row.tuple);
	if (found)
	{
		*version = DatumGetInt32(column_value(row.rel, row.tuple, "version"));
		*deployment = DatumGetInt64(column_value(row.rel, row.tuple, "id"));
	}
	close_newest(&row);
	return found;
}

int
model_store_live_version(int64 *deployment)
{
	int version;

	if (!model_store_newest_deployment(deployment, &version))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("no model is live"),
						errdetail("Table mnist_deployment is empty."),
						errhint("Make a version of mnist_model live with mnist_activate.")));
	return version;
}

void
model_store_challenge(int64 deployment, Challenge *challenge)
{
	NewestRow row;

	memset(challenge, 0, sizeof(*challenge));
	open_newest(&row, "mnist_challenger");
	if (HeapTupleIsValid(row.tuple) &&
		DatumGetInt64(column_value(row.rel, row.tuple, "deployment_id")) == deployment &&
		strcmp(TextDatumGetCString(column_value(row.rel, row.tuple, "action")), "challenge") == 0)
	{
		challenge->id = DatumGetInt64(column_value(row.rel, row.tuple, "id"));
		challenge->version = DatumGetInt32(column_value(row.rel, row.tuple, "version"));
		challenge->share = DatumGetFloat4(column_value(row.rel, row.tuple, "share"));
		challenge->shadow = DatumGetBool(column_value(row.rel, row.tuple, "shadow"));
	}
	close_newest(&row);
}

/*
 * Read a version's row: the hash of its weights, and the blob itself if "blob" is not NULL.  Problems are reported
 * with elevel; returns false then.
 */
static bool
read_row(int version, uint8 hash[MODEL_HASH_SIZE], bytea **blob, int elevel)
{
	Relation rel = open_table("mnist_model");
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	bool found = false;

	ScanKeyInit(&key, column_number(rel, "version"), BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(version));
	scan = systable_beginscan(rel, compat_primary_key_index(rel), true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (!HeapTupleIsValid(tuple))
		ereport(elevel, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model version %d does not exist", version),
						 errhint("mnist_model lists those there are.")));
	else if (heap_attisnull(tuple, column_number(rel, "weights"), RelationGetDescr(rel)))
		ereport(elevel, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("the weights of model version %d were pruned", version),
						 errhint("Use a version whose column \"weights\" in mnist_model is not null.")));
	else
	{
		bytea *stored_hash = DatumGetByteaPP(column_value(rel, tuple, "weights_sha256"));

		if (VARSIZE_ANY_EXHDR(stored_hash) != MODEL_HASH_SIZE)
			elog(ERROR, "wrong size of column \"weights_sha256\" of model version %d", version);
		memcpy(hash, VARDATA_ANY(stored_hash), MODEL_HASH_SIZE);
		if (blob)
			*blob = DatumGetByteaPCopy(column_value(rel, tuple, "weights"));
		found = true;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

bool
model_store_hash(int version, uint8 hash[MODEL_HASH_SIZE], int elevel)
{
	return read_row(version, hash, NULL, elevel);
}

bytea *
model_store_blob(int version, uint8 hash[MODEL_HASH_SIZE], int elevel)
{
	bytea *blob;
	bytea *actual;

	if (!read_row(version, hash, &blob, elevel))
		return NULL;
	actual = DatumGetByteaPP(DirectFunctionCall1(sha256_bytea, PointerGetDatum(blob)));
	if (memcmp(VARDATA_ANY(actual), hash, MODEL_HASH_SIZE) != 0)
	{
		ereport(elevel, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
						 errmsg("the weights of model version %d are damaged", version),
						 errdetail("Their SHA-256 is not the one in column \"weights_sha256\" of mnist_model.")));
		return NULL;
	}
	return blob;
}

float *
model_store_unpack(const bytea *blob, NnNet *net)
{
	NnError error;
	const void *stored;
	float *values;

	if (nn_blob_read(VARDATA_ANY(blob), VARSIZE_ANY_EXHDR(blob), net, &stored, &error) != NN_OK)
		nn_throw(&error);
	values = nn_alloc(CurrentMemoryContext, net->nvalues * sizeof(float));
	nn_blob_values(net, stored, values);
	return values;
}

bytea *
model_store_pack(const NnNet *net, const float *values)
{
	Size size = nn_blob_size(net);
	bytea *blob = palloc(size + VARHDRSZ);

	SET_VARSIZE(blob, size + VARHDRSZ);
	nn_blob_write(net, values, VARDATA(blob));
	return blob;
}

float *
model_store_read(int version, NnNet *net)
{
	uint8 hash[MODEL_HASH_SIZE];
	bytea *blob = model_store_blob(version, hash, ERROR);
	float *values = model_store_unpack(blob, net);

	pfree(blob);
	return values;
}

/* ---- adding rows ---- */

static char *
network_text(const NnNet *net)
{
	Size size = 2 * NN_MAX_TEXT;
	char *description = palloc(size);

	nn_net_format(net, description, size);
	return description;
}

int
model_store_add(const NnNet *net, const float *values, const char *architecture, int parent_version, int64 run_id,
				float validation_accuracy, float test_accuracy)
{
	SpiParameters parameters = {0};
	bytea *blob = model_store_pack(net, values);

	spi_add_int4(&parameters, parent_version);
	spi_add_text(&parameters, architecture);
	spi_add_text(&parameters, network_text(net));
	spi_add_int4(&parameters, (int32) net->nparams);
	spi_add(&parameters, BYTEAOID, PointerGetDatum(blob));
	spi_add_int8(&parameters, run_id);
	spi_add_float(&parameters, validation_accuracy);
	spi_add_float(&parameters, test_accuracy);
	spi_execute("INSERT INTO %s.mnist_model (version, parent_version, architecture, network, parameters, weights,"
				" weights_sha256, run_id, validation_accuracy, test_accuracy, created_by)"
				" VALUES (mnist_internal.next_version(), nullif($1, 0), $2, $3, $4, $5, pg_catalog.sha256($5),"
				" nullif($6, 0), $7, $8, coalesce((SELECT requested_by FROM %s.mnist_run"
				" WHERE id OPERATOR(pg_catalog.=) $6), SESSION_USER))"
				" RETURNING version",
				&parameters);
	pfree(blob);
	return DatumGetInt32(spi_result(1));
}

/* ---- SQL functions ---- */

/* mnist_hil_default_weights(): the bundled model's blob, for the install script. */
Datum
mnist_hil_default_weights(PG_FUNCTION_ARGS)
{
	char share[MAXPGPATH];
	char path[MAXPGPATH];
	FILE *file;
	struct stat status;
	bytea *blob;

	if (!superuser())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be superuser to read the bundled model's file")));

	get_share_path(my_exec_path, share);
	snprintf(path, sizeof(path), "%s/%s", share, DEFAULT_WEIGHTS_FILE);
	file = AllocateFile(path, PG_BINARY_R);
	if (file == NULL || fstat(fileno(file), &status) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not open file \"%s\": %m", path)));
	if (status.st_size > (off_t) NN_MAX_FILE)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("file \"%s\" is too large", path)));

	blob = palloc(status.st_size + VARHDRSZ);
	SET_VARSIZE(blob, status.st_size + VARHDRSZ);
	if (fread(VARDATA(blob), 1, status.st_size, file) != (size_t) status.st_size)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not read file \"%s\": %m", path)));
	FreeFile(file);
	PG_RETURN_BYTEA_P(blob);
}

/* mnist_hil_describe(weights): check a blob, and return its network and number of trainable parameters. */
Datum
mnist_hil_describe(PG_FUNCTION_ARGS)
{
	bytea *blob;
	NnNet *net = palloc(sizeof(NnNet));
	NnError error;
	const void *stored;
	TupleDesc desc = row_type(fcinfo, 2);
	Datum values[2];
	bool nulls[2] = {false};

	check_argument_size(PG_GETARG_DATUM(0), NN_MAX_FILE, "weights");
	blob = PG_GETARG_BYTEA_PP(0);
	if (nn_blob_read(VARDATA_ANY(blob), VARSIZE_ANY_EXHDR(blob), net, &stored, &error) != NN_OK)
		nn_throw(&error);
	values[0] = CStringGetTextDatum(network_text(net));
	values[1] = Int32GetDatum((int32) net->nparams);
	PG_RETURN_DATUM(make_row(desc, values, nulls));
}
