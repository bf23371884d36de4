/*
 * rows.c: rows as results of functions.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/lsyscache.h"

#include "pg/rows.h"

Tuplestorestate *
begin_rows(FunctionCallInfo fcinfo, int ncolumns, TupleDesc *desc)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (info->setDesc->natts != ncolumns)
		elog(ERROR, "return type must be a row of %d columns", ncolumns);
	*desc = info->setDesc;
	return info->setResult;
}

TupleDesc
row_type(FunctionCallInfo fcinfo, int ncolumns)
{
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts > ncolumns)
		elog(ERROR, "return type must be a row of at most %d columns", ncolumns);
	return BlessTupleDesc(desc);
}

Datum
make_row(TupleDesc desc, Datum *values, bool *nulls)
{
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

Datum
make_array(Datum *elements, int n, Oid array_type)
{
	Oid type = get_element_type(array_type);
	int16 length;
	bool by_value;
	char align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_array(elements, n, type, length, by_value, align));
}

Datum
make_reals(const float *values, int n)
{
	Datum *elements = palloc(n * sizeof(Datum));
	Datum array;

	for (int i = 0; i < n; i++)
		elements[i] = Float4GetDatum(values[i]);
	array = PointerGetDatum(construct_array(elements, n, FLOAT4OID, sizeof(float4), true, TYPALIGN_INT));
	pfree(elements);
	return array;
}
