/*
 * transfer.c: export and import of models.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "model/store.h"
#include "nn/formats/onnx.h"
#include "nn/formats/safetensors.h"
#include "pg/arguments.h"
#include "pg/compat.h"
#include "pg/errors.h"
#include "pg/rows.h"
#include "pg/schema.h"

#define MAX_FORMAT 1024 /* bytes of the name of an export format */

PG_FUNCTION_INFO_V1(mnist_export);
PG_FUNCTION_INFO_V1(mnist_hil_read_safetensors);

/*
 * mnist_export(version int, format text): a model as a file.  ERRCODE_UNDEFINED_OBJECT if there is no such version,
 * ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE if its weights were pruned, ERRCODE_INVALID_PARAMETER_VALUE for an unknown
 * format.
 */
Datum
mnist_export(PG_FUNCTION_ARGS)
{
	int version = PG_GETARG_INT32(0);
	char *format = text_argument(PG_GETARG_DATUM(1), MAX_FORMAT, "format");
	bool onnx = pg_strcasecmp(format, "onnx") == 0;
	NnNet *net = palloc(sizeof(NnNet));
	NnOrigin origin = {.model_version = version};
	float *values;
	Size size;
	bytea *file;

	if (!onnx && pg_strcasecmp(format, "safetensors") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("there is no export format \"%s\"", format),
						errhint("The formats are \"onnx\" and \"safetensors\".")));

	values = model_store_read(version, net);
	if (onnx)
	{
		origin.software_version = schema_version();
		size = nn_onnx_size(net, &origin);
	}
	else
		size = nn_safetensors_size(net);
	file = palloc(size + VARHDRSZ);
	SET_VARSIZE(file, size + VARHDRSZ);
	if (onnx)
		nn_onnx_write(net, values, &origin, VARDATA(file));
	else
		nn_safetensors_write(net, values, VARDATA(file));
	PG_RETURN_BYTEA_P(file);
}

/* The name of the preset with this network, or "custom". */
static const char *
architecture_name(const NnNet *net)
{
	char text[2 * NN_MAX_TEXT];
	char preset_text[2 * NN_MAX_TEXT];

	nn_net_format(net, text, sizeof(text));
	for (int i = 0; nn_preset_name(i) != NULL; i++)
	{
		const char *name = nn_preset_name(i);
		NnNet preset;

		nn_parse(&preset, name);
		nn_net_format(&preset, preset_text, sizeof(preset_text));
		if (strcmp(text, preset_text) == 0)
			return name;
	}
	return "custom";
}

/*
 * mnist_hil_read_safetensors(file bytea, architecture text): check a safetensors file; the network is given by name
 * or description.  Returns the architecture's name and the weights as mnist_model stores them.
 * ERRCODE_INVALID_BINARY_REPRESENTATION for a malformed file, ERRCODE_FEATURE_NOT_SUPPORTED for one of a newer
 * version, ERRCODE_INVALID_PARAMETER_VALUE if the file has another network or there is no such architecture,
 * ERRCODE_PROGRAM_LIMIT_EXCEEDED if the network is too large.
 */
Datum
mnist_hil_read_safetensors(PG_FUNCTION_ARGS)
{
	bytea *file;
	char *architecture = text_argument(PG_GETARG_DATUM(1), NN_MAX_TEXT, "architecture");
	NnNet *net = palloc(sizeof(NnNet));
	NnError error;
	TupleDesc desc = row_type(fcinfo, 2);
	float *values;
	Datum row[2];
	bool nulls[2] = {false};

	nn_parse(net, architecture);
	check_argument_size(PG_GETARG_DATUM(0), NN_MAX_FILE, "weights");
	file = PG_GETARG_BYTEA_PP(0);
	values = palloc(net->nvalues * sizeof(float));
	if (nn_safetensors_read(net, VARDATA_ANY(file), VARSIZE_ANY_EXHDR(file), values, &error) != NN_OK)
		nn_throw(&error);

	row[0] = CStringGetTextDatum(architecture_name(net));
	row[1] = PointerGetDatum(model_store_pack(net, values));
	pfree(values);
	PG_RETURN_DATUM(make_row(desc, row, nulls));
}
