/*
 * winograd.c: the transforms of inputs and outputs of inference's Winograd convolution; see nn/infer/winograd.c.
 */
#include "nn/kernels/winograd.h"
#include "nn/kernels/vec.h"

#include <math.h>

/* The position of a tile: its row and column among the tiles, and those of its first output among the outputs. */
typedef struct Place
{
	int row;
	int column;
	int y;
	int x;
} Place;

static Place
first_place(void)
{
	return (Place){0, 0, 0, 0};
}

static inline bool
is_four(const NnDivision *division, int i)
{
	return i < division->fours;
}

static inline void
next_place(const NnTiling *tiling, Place *place)
{
	place->x += is_four(&tiling->columns, place->column) ? 4 : 2;
	place->column++;
	if (place->column < tiling->columns.all)
		return;
	place->y += is_four(&tiling->rows, place->row) ? 4 : 2;
	place->row++;
	place->column = place->x = 0;
}

/* The row of a tile in the product of element (i, j). */
static inline size_t
row_of(const NnTiling *tiling, const Place *place, int i, int j)
{
	return (size_t) (tiling->start[i][j] + place->row * tiling->stride[j] + place->column);
}

/* One dimension of an input's transform: m + 2 inputs to the points of m.  Callers pass a constant m. */
NN_INLINE void
transform_in(const int m, const vec *d, vec *t)
{
	const vec a = vec_splat((float) NN_POINT_A);
	const vec minus_a = vec_splat(-(float) NN_POINT_A);
	const vec minus_a2 = vec_splat(-(float) (NN_POINT_A * NN_POINT_A));

	if (m == 2)
	{
		t[0] = vec_fma(minus_a2, d[0], d[2]);
		t[1] = vec_fma(a, d[1], d[2]);
		t[2] = vec_fma(minus_a, d[1], d[2]);
		t[3] = vec_fma(minus_a2, d[1], d[3]);
	}
	else
	{
		const vec b = vec_splat((float) NN_POINT_B);
		const vec minus_b = vec_splat(-(float) NN_POINT_B);
		const vec minus_b2 = vec_splat(-(float) (NN_POINT_B * NN_POINT_B));
		const vec product = vec_splat((float) (NN_POINT_A * NN_POINT_A * NN_POINT_B * NN_POINT_B));
		const vec minus_sum = vec_splat(-(float) (NN_POINT_A * NN_POINT_A + NN_POINT_B * NN_POINT_B));
		const vec even_a = vec_fma(minus_b2, d[2], d[4]);
		const vec odd_a = vec_fma(minus_b2, d[1], d[3]);
		const vec even_b = vec_fma(minus_a2, d[2], d[4]);
		const vec odd_b = vec_fma(minus_a2, d[1], d[3]);

		t[0] = vec_fma(product, d[0], vec_fma(minus_sum, d[2], d[4]));
		t[1] = vec_fma(a, odd_a, even_a);
		t[2] = vec_fma(minus_a, odd_a, even_a);
		t[3] = vec_fma(product, d[1], vec_fma(minus_sum, d[3], d[5]));
		t[4] = vec_fma(b, odd_b, even_b);
		t[5] = vec_fma(minus_b, odd_b, even_b);
	}
}

/* One dimension of an output's transform: the points of m to m outputs. */
NN_INLINE void
transform_out(const int m, const vec *t, vec *y)
{
	const double a = NN_POINT_A;
	const double b = NN_POINT_B;
	const vec sum_a = t[1] + t[2];
	const vec difference_a = t[1] - t[2];

	if (m == 2)
	{
		const double at_a = 1.0 / (2.0 * a * a);

		y[0] = vec_fma(vec_splat((float) (-1.0 / (a * a))), t[0], vec_splat((float) at_a) * sum_a);
		y[1] = vec_fma(vec_splat((float) (a * at_a)), difference_a, t[3]);
	}
	else
	{
		const double at_0 = 1.0 / (a * a * b * b);
		const double at_a = 1.0 / (2.0 * a * a * (a * a - b * b));
		const double at_b = 1.0 / (2.0 * b * b * (b * b - a * a));
		const vec sum_b = t[4] + t[5];
		const vec difference_b = t[4] - t[5];

		y[0] = vec_fma(vec_splat((float) at_a), sum_a,
					   vec_fma(vec_splat((float) at_b), sum_b, vec_splat((float) at_0) * t[0]));
		y[1] = vec_fma(vec_splat((float) (a * at_a)), difference_a, vec_splat((float) (b * at_b)) * difference_b);
		y[2] = vec_fma(vec_splat((float) (a * a * at_a)), sum_a, vec_splat((float) (b * b * at_b)) * sum_b);
		y[3] = vec_fma(vec_splat((float) (a * a * a * at_a)), difference_a,
					   vec_fma(vec_splat((float) (b * b * b * at_b)), difference_b, t[3]));
	}
}

/* Transform the inputs of the tile of mh by mw outputs at a place. */
NN_INLINE void
tile_in(const int mh, const int mw, const NnAffine *op, const NnTiling *tiling, const Place *place, const float *in,
		const float *zeros, float *v)
{
	const size_t cin = op->in_pixel;
	const float *from[NN_MAX_POINTS][NN_MAX_POINTS];

	for (int i = 0; i < mh + 2; i++)
	{
		for (int j = 0; j < mw + 2; j++)
		{
			int y = place->y + i;
			int x = place->x + j;

			from[i][j] =
				y < op->height + 2 && x < op->width + 2 ? in + (size_t) y * op->in_row + (size_t) x * cin : zeros;
		}
	}
	for (size_t c = 0; c < cin; c += NN_LANES)
	{
		vec half[NN_MAX_POINTS][NN_MAX_POINTS]; /* by column, then row */

		NN_UNROLL
		for (int j = 0; j < mw + 2; j++)
		{
			vec d[NN_MAX_POINTS];

			NN_UNROLL
			for (int i = 0; i < mh + 2; i++)
				d[i] = vec_load(from[i][j] + c);
			transform_in(mh, d, half[j]);
		}
		NN_UNROLL
		for (int i = 0; i < mh + 2; i++)
		{
			vec d[NN_MAX_POINTS];
			vec t[NN_MAX_POINTS];

			NN_UNROLL
			for (int j = 0; j < mw + 2; j++)
				d[j] = half[j][i];
			transform_in(mw, d, t);
			NN_UNROLL
			for (int j = 0; j < mw + 2; j++)
				vec_store(v + row_of(tiling, place, i, j) * cin + c, t[j]);
		}
	}
}

/* Apply ReLU and pooling to a tile's outputs r and store them, except for those outside the map. */
NN_INLINE void
store_tile(const int mh, const int mw, const NnAffine *op, const Place *place, vec (*r)[NN_MAX_POINTS], float *to)
{
	const vec least = vec_splat(op->relu ? 0.0f : -INFINITY);

	if (op->pool == 2)
	{
		NN_UNROLL
		for (int i = 0; i < mh; i += 2)
		{
			NN_UNROLL
			for (int j = 0; j < mw; j += 2)
			{
				vec best = vec_max(vec_max(r[i][j], r[i][j + 1]), vec_max(r[i + 1][j], r[i + 1][j + 1]));
				float *pooled = to + (size_t) (i / 2) * op->out_row + (size_t) (j / 2) * op->out_pixel;

				if (place->y + i < op->height && place->x + j < op->width)
					vec_store(pooled, vec_max(best, least));
			}
		}
		return;
	}
	NN_UNROLL
	for (int i = 0; i < mh; i++)
	{
		NN_UNROLL
		for (int j = 0; j < mw; j++)
		{
			if (place->y + i < op->height && place->x + j < op->width)
				vec_store(to + (size_t) i * op->out_row + (size_t) j * op->out_pixel, vec_max(r[i][j], least));
		}
	}
}

/* Compute the outputs of the tile of mh by mw at a place from its sums s: transform back, bias, ReLU, pooling. */
NN_INLINE void
tile_out(const int mh, const int mw, const NnAffine *op, const NnTiling *tiling, const Place *place, const float *s,
		 const float *bias, float *out)
{
	const size_t cout = (size_t) op->channels;
	float *to = out + (size_t) (place->y / op->pool) * op->out_row + (size_t) (place->x / op->pool) * op->out_pixel;

	for (size_t c = 0; c < cout; c += NN_LANES)
	{
		const vec b = vec_load(bias + c);
		vec half[NN_MAX_POINTS][NN_MAX_POINTS]; /* by column, then row */
		vec r[NN_MAX_POINTS][NN_MAX_POINTS];

		NN_UNROLL
		for (int j = 0; j < mw + 2; j++)
		{
			vec t[NN_MAX_POINTS];

			NN_UNROLL
			for (int i = 0; i < mh + 2; i++)
				t[i] = vec_load(s + row_of(tiling, place, i, j) * cout + c);
			transform_out(mh, t, half[j]);
		}
		NN_UNROLL
		for (int i = 0; i < mh; i++)
		{
			vec t[NN_MAX_POINTS];

			NN_UNROLL
			for (int j = 0; j < mw + 2; j++)
				t[j] = half[j][i];
			transform_out(mw, t, r[i]);
			NN_UNROLL
			for (int j = 0; j < mw; j++)
				r[i][j] += b;
		}
		store_tile(mh, mw, op, place, r, to + c);
	}
}

/* clang-format off */
#define TILE(mh, mw) \
	static void in_##mh##_##mw(const NnAffine *op, const NnTiling *tiling, const Place *place, const float *in, \
							   const float *zeros, float *v) \
	{ \
		tile_in(mh, mw, op, tiling, place, in, zeros, v); \
	} \
	static void out_##mh##_##mw(const NnAffine *op, const NnTiling *tiling, const Place *place, const float *s, \
									   const float *bias, float *out) \
	{ \
		tile_out(mh, mw, op, tiling, place, s, bias, out); \
	}
TILE(2, 2) TILE(2, 4) TILE(4, 2) TILE(4, 4)
	/* clang-format on */

	void NN_FN(nn_winograd_in)(const NnAffine *op, const NnTiling *tiling, const float *in, const float *zeros,
							   float *v)
{
	for (Place place = first_place(); place.row < tiling->rows.all; next_place(tiling, &place))
	{
		if (is_four(&tiling->rows, place.row))
			(is_four(&tiling->columns, place.column) ? in_4_4 : in_4_2)(op, tiling, &place, in, zeros, v);
		else
			(is_four(&tiling->columns, place.column) ? in_2_4 : in_2_2)(op, tiling, &place, in, zeros, v);
	}
}

void
NN_FN(nn_winograd_out)(const NnAffine *op, const NnTiling *tiling, const float *s, const float *bias, float *out)
{
	for (Place place = first_place(); place.row < tiling->rows.all; next_place(tiling, &place))
	{
		if (is_four(&tiling->rows, place.row))
			(is_four(&tiling->columns, place.column) ? out_4_4 : out_4_2)(op, tiling, &place, s, bias, out);
		else
			(is_four(&tiling->columns, place.column) ? out_2_4 : out_2_2)(op, tiling, &place, s, bias, out);
	}
}
