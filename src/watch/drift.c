/*
 * drift.c: histograms of features, and how two of them are compared.
 *
 * An aggregate counts the features of a window of predictions into the bins of the reference, all features in one
 * pass.  SQL would need a row for every value of every prediction.  Here each value is a search in an array.  SQL
 * decides which predictions and which reference are compared, and what follows from it.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "pg/arguments.h"
#include "pg/rows.h"
#include "pg/settings.h"
#include "stat/two_sample.h"

#define PSI_GROUPS 10	  /* each with about the same fraction of the reference, as is customary */
#define CATEGORY_GROUPS 0 /* each category is a group */

#define MAX_FEATURES 1000
#define MAX_BINS 1000				 /* that a caller can ask for */
#define MAX_EDGES (2 * MAX_BINS + 2) /* that two_sample_edges writes for these */
#define MAX_COUNTS (MAX_EDGES + 1)	 /* of the bins that these edges make */
#define MAX_SAMPLE (1024 * 1024)	 /* values that edges are found for */
#define MAX_KIND 64					 /* bytes of the name of a kind of feature */
#define ARRAY_HEADER 128			 /* bytes of an array without its elements, at most */
#define HISTOGRAM_MAGIC 0x6d6e6864	 /* of the aggregate's state */

PG_FUNCTION_INFO_V1(mnist_hil_drift_settings);
PG_FUNCTION_INFO_V1(mnist_hil_quantile_edges);
PG_FUNCTION_INFO_V1(mnist_hil_histogram_add);
PG_FUNCTION_INFO_V1(mnist_hil_histogram_counts);
PG_FUNCTION_INFO_V1(mnist_hil_two_sample);

/*
 * mnist_hil_drift_settings(OUT window_size int, OUT window_age interval, OUT min_window int, OUT effect float8,
 *		OUT significance float8, OUT breaches int, OUT cooldown interval)
 */
Datum
mnist_hil_drift_settings(PG_FUNCTION_ARGS)
{
	TupleDesc desc = row_type(fcinfo, 7);
	Interval *age = palloc0(sizeof(Interval));
	Interval *cooldown = palloc0(sizeof(Interval));
	Datum values[7];
	bool nulls[7] = {false, false, false, false, false, false, false};

	age->time = mnist_hil_drift_window_age * USECS_PER_SEC;
	cooldown->time = mnist_hil_drift_cooldown * USECS_PER_SEC;
	values[0] = Int32GetDatum(mnist_hil_drift_window);
	values[1] = IntervalPGetDatum(age);
	nulls[1] = mnist_hil_drift_window_age == 0;
	values[2] = Int32GetDatum(mnist_hil_drift_min_window);
	values[3] = Float8GetDatum(mnist_hil_drift_effect);
	values[4] = Float8GetDatum(mnist_hil_drift_significance);
	values[5] = Int32GetDatum(mnist_hil_drift_breaches);
	values[6] = IntervalPGetDatum(cooldown);
	PG_RETURN_DATUM(make_row(desc, values, nulls));
}

/*
 * An array argument without nulls, of up to most elements of a size.  ERRCODE_PROGRAM_LIMIT_EXCEEDED if it is larger;
 * this is checked before it is detoasted.
 */
static ArrayType *
array_argument(Datum value, Size most, Size element_size, const char *name)
{
	ArrayType *array;

	check_argument_size(value, most * element_size + ARRAY_HEADER, name);
	array = DatumGetArrayTypeP(value);
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("argument \"%s\" must not contain nulls", name)));
	return array;
}

static const float *
floats_of(const ArrayType *array)
{
	return (const float *) ARR_DATA_PTR(array);
}

static int
count_of(const ArrayType *array)
{
	return ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
}

static int
compare_floats(const void *a, const void *b)
{
	float x = *(const float *) a;
	float y = *(const float *) b;

	CHECK_FOR_INTERRUPTS(); /* some inputs make qsort quadratic */
	return (x > y) - (x < y);
}

/* mnist_hil_quantile_edges(sample real[], bins int): the edges of bins that hold about as many values each. */
Datum
mnist_hil_quantile_edges(PG_FUNCTION_ARGS)
{
	ArrayType *array = array_argument(PG_GETARG_DATUM(0), MAX_SAMPLE, sizeof(float4), "sample");
	const float *values = floats_of(array);
	int bins = PG_GETARG_INT32(1);
	int n = count_of(array);
	float *sorted = palloc(Max(n, 1) * sizeof(float));
	float *edges;
	Datum *elements;
	int nedges;
	int nfinite = 0;

	if (bins < 2 || bins > MAX_BINS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("number of bins %d is out of range", bins),
						errhint("It must be from 2 to %d.", MAX_BINS)));
	for (int i = 0; i < n; i++)
	{
		if (isfinite(values[i]))
			sorted[nfinite++] = values[i];
	}
	qsort(sorted, nfinite, sizeof(float), compare_floats);
	edges = palloc((2 * bins + 2) * sizeof(float));
	nedges = two_sample_edges(sorted, nfinite, bins, edges);
	elements = palloc((2 * bins + 2) * sizeof(Datum));
	for (int i = 0; i < nedges; i++)
		elements[i] = Float4GetDatum(edges[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(elements, nedges, FLOAT4OID, sizeof(float4), true, TYPALIGN_INT));
}

/* ---- the aggregate mnist_hil_histogram(features real[], edges real[][]) ---- */

typedef struct Histogram
{
	uint32 magic; /* HISTOGRAM_MAGIC, which tells it from the state of another aggregate */
	int nfeatures;
	int nedges;	   /* of every feature; unused ones are infinite */
	float *edges;  /* (nfeatures, nedges) */
	int64 *counts; /* (nfeatures, nedges + 1) */
} Histogram;

static Histogram *
make_histogram(Datum value, MemoryContext context)
{
	Histogram *histogram = MemoryContextAllocZero(context, sizeof(Histogram));
	ArrayType *edges = array_argument(value, MAX_FEATURES * MAX_EDGES, sizeof(float4), "edges");
	int n = count_of(edges);

	histogram->magic = HISTOGRAM_MAGIC;
	if (n > 0 && ARR_NDIM(edges) != 2)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR), errmsg("edges must have two dimensions")));
	if (n > 0)
	{
		histogram->nfeatures = ARR_DIMS(edges)[0];
		histogram->nedges = ARR_DIMS(edges)[1];
	}
	if (histogram->nfeatures > MAX_FEATURES || histogram->nedges > MAX_EDGES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many edges"),
						errdetail("They are %d for each of %d features; at most %d for %d features are allowed.",
								  histogram->nedges, histogram->nfeatures, MAX_EDGES, MAX_FEATURES)));
	histogram->edges = MemoryContextAlloc(context, Max(n, 1) * sizeof(float));
	memcpy(histogram->edges, floats_of(edges), n * sizeof(float));
	histogram->counts =
		MemoryContextAllocZero(context, Max(1, histogram->nfeatures * (histogram->nedges + 1)) * sizeof(int64));
	return histogram;
}

/*
 * The state in the first argument, NULL if there is none yet; *context: the memory context where it lives.  Throws an
 * error unless an aggregate calls, and if the state is another aggregate's: superusers can use these functions for
 * aggregates of their own.
 */
static Histogram *
histogram_argument(FunctionCallInfo fcinfo, MemoryContext *context)
{
	Histogram *histogram;

	if (!AggCheckCallContext(fcinfo, context))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("function of an aggregate is not called by an aggregate"),
						errhint("Call the aggregate instead.")));
	if (PG_ARGISNULL(0))
		return NULL;
	histogram = (Histogram *) PG_GETARG_POINTER(0);
	if (histogram->magic != HISTOGRAM_MAGIC)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("state is one of another aggregate")));
	return histogram;
}

/* The transition: count the features of one prediction. */
Datum
mnist_hil_histogram_add(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	Histogram *histogram;
	ArrayType *array;
	const float *features;
	int n;

	histogram = histogram_argument(fcinfo, &context);
	if (histogram == NULL)
	{
		if (PG_ARGISNULL(2))
			PG_RETURN_NULL();
		histogram = make_histogram(PG_GETARG_DATUM(2), context);
	}
	if (PG_ARGISNULL(1))
		PG_RETURN_POINTER(histogram);

	array = array_argument(PG_GETARG_DATUM(1), MAX_SAMPLE, sizeof(float4), "features");
	features = floats_of(array);
	n = Min(count_of(array), histogram->nfeatures);
	for (int i = 0; i < n; i++)
	{
		int bin = two_sample_bin(features[i], histogram->edges + (Size) i * histogram->nedges, histogram->nedges);

		histogram->counts[(Size) i * (histogram->nedges + 1) + bin]++;
	}
	PG_FREE_IF_COPY(array, 1);
	PG_RETURN_POINTER(histogram);
}

/* The result: counts bigint[][], a row for each feature; NULL if there was no prediction. */
Datum
mnist_hil_histogram_counts(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	Histogram *histogram = histogram_argument(fcinfo, &context);
	Datum *elements;
	int dims[2];
	int lower[2] = {1, 1};

	if (histogram == NULL)
		PG_RETURN_NULL();
	dims[0] = histogram->nfeatures;
	dims[1] = histogram->nedges + 1;
	elements = palloc(Max(1, dims[0] * dims[1]) * sizeof(Datum));
	for (int i = 0; i < dims[0] * dims[1]; i++)
		elements[i] = Int64GetDatum(histogram->counts[i]);
	PG_RETURN_ARRAYTYPE_P(
		construct_md_array(elements, NULL, 2, dims, lower, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* ---- comparing ---- */

/* The counts in an array, with zeros appended up to a number of bins and up to 2. */
static int64_t *
counts_of(const ArrayType *array, int bins)
{
	int64_t *counts = palloc0(Max(bins, 2) * sizeof(int64_t));
	const int64 *values = (const int64 *) ARR_DATA_PTR(array);
	int n = count_of(array);

	for (int i = 0; i < n; i++)
	{
		if (values[i] < 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("count must not be negative")));
		counts[i] = values[i];
	}
	return counts;
}

/*
 * mnist_hil_two_sample(kind text, reference bigint[], sample bigint[], OUT test text, OUT statistic float8,
 *		OUT p_value float8, OUT effect float8, OUT shift float8)
 *
 * Compare two samples with the test for the kind of feature.  All figures are NULL if either sample is empty.
 * ERRCODE_INVALID_PARAMETER_VALUE if the kind is not continuous, flag or category, and for a count below 0;
 * ERRCODE_PROGRAM_LIMIT_EXCEEDED for more than MAX_COUNTS bins.
 */
Datum
mnist_hil_two_sample(PG_FUNCTION_ARGS)
{
	char *kind = text_argument(PG_GETARG_DATUM(0), MAX_KIND, "kind");
	ArrayType *reference = array_argument(PG_GETARG_DATUM(1), MAX_COUNTS, sizeof(int64), "reference");
	ArrayType *sample = array_argument(PG_GETARG_DATUM(2), MAX_COUNTS, sizeof(int64), "sample");
	int bins = Max(count_of(reference), count_of(sample));
	int64_t *a = counts_of(reference, bins);
	int64_t *b = counts_of(sample, bins);
	double n = two_sample_total(a, bins);
	double m = two_sample_total(b, bins);
	bool continuous = strcmp(kind, "continuous") == 0;
	TupleDesc desc = row_type(fcinfo, 5);
	Datum values[5];
	bool nulls[5] = {false, false, false, false, false};

	if (continuous)
	{
		double statistic = two_sample_ks(a, b, bins);

		values[0] = CStringGetTextDatum("Kolmogorov-Smirnov");
		values[1] = Float8GetDatum(statistic);
		values[2] = Float8GetDatum(n > 0 && m > 0 ? two_sample_ks_p(statistic, n, m) : 1);
	}
	else if (strcmp(kind, "flag") == 0)
	{
		values[0] = CStringGetTextDatum("Fisher");
		values[1] = Float8GetDatum(n > 0 && m > 0 ? (double) b[1] / m - (double) a[1] / n : 0);
		values[2] = Float8GetDatum(two_sample_fisher_p(a, b));
	}
	else if (strcmp(kind, "category") == 0)
	{
		int freedom;
		double statistic = two_sample_chi_square(a, b, bins, &freedom);

		values[0] = CStringGetTextDatum("chi-square");
		values[1] = Float8GetDatum(statistic);
		values[2] = Float8GetDatum(two_sample_chi_square_p(statistic, freedom));
	}
	else
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown kind of feature \"%s\"", kind)));
	values[3] = Float8GetDatum(two_sample_psi(a, b, bins, continuous ? PSI_GROUPS : CATEGORY_GROUPS));
	values[4] = Float8GetDatum(two_sample_delta(a, b, bins));
	nulls[1] = nulls[2] = nulls[3] = nulls[4] = n == 0 || m == 0;
	nulls[4] |= strcmp(kind, "category") == 0;
	PG_RETURN_DATUM(make_row(desc, values, nulls));
}
