/*
 * probation.c: SQL functions that judge a model on probation, and challengers (stat/probation.h, stat/sequential.h).
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "pg/rows.h"
#include "pg/settings.h"
#include "stat/probation.h"
#include "stat/sequential.h"

#define MAX_CASES 1000000

PG_FUNCTION_INFO_V1(mnist_hil_probation_settings);
PG_FUNCTION_INFO_V1(mnist_hil_probation_judge);
PG_FUNCTION_INFO_V1(mnist_hil_labels_unbiased);
PG_FUNCTION_INFO_V1(mnist_hil_sequential_evidence);

/* mnist_hil_probation_settings(OUT labels int, OUT predictions int) */
Datum
mnist_hil_probation_settings(PG_FUNCTION_ARGS)
{
	TupleDesc desc = row_type(fcinfo, 2);
	Datum values[2] = {Int32GetDatum(mnist_hil_probation), Int32GetDatum(mnist_hil_probation_predictions)};
	bool nulls[2] = {false, false};

	PG_RETURN_DATUM(make_row(desc, values, nulls));
}

/* The elements of an array argument, which must have n elements, none of them null. */
static const void *
elements_of(Datum value, int n)
{
	ArrayType *array = DatumGetArrayTypeP(value);

	if (ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) != n || ARR_HASNULL(array))
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR), errmsg("arrays must have %d elements, not null", n)));
	return ARR_DATA_PTR(array);
}

static ProbationCase *
cases_of(FunctionCallInfo fcinfo, int *n)
{
	ArrayType *first = PG_GETARG_ARRAYTYPE_P(0);
	const int32 *places;
	const bool *sampled;
	const int16 *labels;
	const int16 *old_labels;
	const int16 *new_labels;
	const float4 *old_confidences;
	const float4 *new_confidences;
	ProbationCase *cases;

	*n = ArrayGetNItems(ARR_NDIM(first), ARR_DIMS(first));
	if (*n > MAX_CASES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many predictions to judge a model by"),
						errdetail("There may be %d at most.", MAX_CASES)));
	places = elements_of(PG_GETARG_DATUM(0), *n);
	sampled = elements_of(PG_GETARG_DATUM(1), *n);
	labels = elements_of(PG_GETARG_DATUM(2), *n);
	old_labels = elements_of(PG_GETARG_DATUM(3), *n);
	new_labels = elements_of(PG_GETARG_DATUM(4), *n);
	old_confidences = elements_of(PG_GETARG_DATUM(5), *n);
	new_confidences = elements_of(PG_GETARG_DATUM(6), *n);
	cases = palloc((Size) (*n + 1) * sizeof(ProbationCase));
	for (int i = 0; i < *n; i++)
		cases[i] = (ProbationCase){
			places[i],			sampled[i],		   (int8) labels[i], (int8) old_labels[i], (int8) new_labels[i],
			old_confidences[i], new_confidences[i]};
	return cases;
}

/* Places must be 1, 2, ... without gaps. */
static void
check_places(const ProbationCase *cases, int n)
{
	bool *taken = palloc0(n + 1);
	int labelled = 0;

	for (int i = 0; i < n; i++)
		labelled += cases[i].place > 0 ? 1 : 0;
	for (int i = 0; i < n; i++)
	{
		if (cases[i].place < 0 || cases[i].place > labelled || (cases[i].place > 0 && taken[cases[i].place]))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("place %d is out of order", cases[i].place)));
		taken[cases[i].place] = true;
	}
	pfree(taken);
}

/*
 * mnist_hil_probation_judge(places int[], sampled bool[], labels smallint[], old_labels smallint[],
 *		new_labels smallint[], old_confidences real[], new_confidences real[], max_labels int, max_sampled int,
 *		over bool, OUT ...): see probation_judge.  The columns are those of ProbationFigures, after the finding.
 */
Datum
mnist_hil_probation_judge(PG_FUNCTION_ARGS)
{
	static const char *const findings[] = {NULL, "labels", "disagreements", "confidence"};
	TupleDesc desc = row_type(fcinfo, 13);
	ProbationLimits limits = {PG_GETARG_INT32(7), PG_GETARG_INT32(8), PG_GETARG_BOOL(9)};
	int n;
	ProbationCase *cases = cases_of(fcinfo, &n);
	ProbationRoom room = {palloc((Size) (n + 1) * sizeof(int)), palloc((Size) (n + 1) * sizeof(double)),
						  palloc(n + 1), palloc((Size) (n + 2) * sizeof(double))};
	ProbationFigures f;
	ProbationFinding finding;
	Datum values[13];
	bool nulls[13] = {false};

	if (limits.labels < 1 || limits.sampled < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("limits of a probation must be positive")));
	check_places(cases, n);
	finding = probation_judge(cases, n, &limits, &room, &f);
	nulls[0] = finding == PROBATION_NOT_WORSE;
	values[0] = nulls[0] ? (Datum) 0 : CStringGetTextDatum(findings[finding]);
	values[1] = Int32GetDatum(f.labels);
	values[2] = Int32GetDatum(f.old_only);
	values[3] = Int32GetDatum(f.new_only);
	values[4] = Int32GetDatum(f.sampled);
	values[5] = Int32GetDatum(f.conflicts);
	values[6] = Int32GetDatum(f.conflicts_old);
	values[7] = Int32GetDatum(f.conflicts_new);
	values[8] = Int32GetDatum(f.conflicts_other);
	values[9] = Int32GetDatum(f.confirmed);
	values[10] = Int32GetDatum(f.old_low);
	values[11] = Int32GetDatum(f.new_low);
	values[12] = BoolGetDatum(f.unbiased);
	PG_RETURN_DATUM(make_row(desc, values, nulls));
}

/* mnist_hil_labels_unbiased(conflicts int, served int, other int, neither int, agreements int, confirmed int) */
Datum
mnist_hil_labels_unbiased(PG_FUNCTION_ARGS)
{
	int64 counts[6];

	for (int i = 0; i < 6; i++)
	{
		counts[i] = PG_GETARG_INT32(i);
		if (counts[i] < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("number of images must not be negative")));
	}
	if (counts[1] + counts[2] + counts[3] > counts[0] || counts[5] > counts[4])
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("more images are labelled than there are")));
	PG_RETURN_BOOL(probation_unbiased((int) counts[0], (int) counts[1], (int) counts[2], (int) counts[3],
									  (int) counts[4], (int) counts[5]));
}

/* mnist_hil_sequential_evidence(hits bigint, misses bigint, p float8) RETURNS float8 */
Datum
mnist_hil_sequential_evidence(PG_FUNCTION_ARGS)
{
	int64 hits = PG_GETARG_INT64(0);
	int64 misses = PG_GETARG_INT64(1);
	double p = PG_GETARG_FLOAT8(2);

	if (hits < 0 || misses < 0 || !(p >= 0 && p <= 1))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("numbers must not be negative, and a probability must be 0 to 1")));
	PG_RETURN_FLOAT8(sequential_evidence(hits, misses, p));
}
