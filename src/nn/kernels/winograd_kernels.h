/*
 * winograd_kernels.h: the transforms of inputs and outputs, compiled once for each instruction set by winograd.c.
 * No include guard.
 */

/* One dimension of an input's transform: m + 2 inputs to the points of m, a constant where this is inlined. */
NN_INLINE void
NN_FN(transform_in)(const int m, const vec *d, vec *t)
{
	const vec a = NN_FN(splat)((float) POINT_A);
	const vec minus_a = NN_FN(splat)(-(float) POINT_A);
	const vec minus_a2 = NN_FN(splat)(-(float) (POINT_A * POINT_A));

	if (m == 2)
	{
		t[0] = NN_FN(fma)(minus_a2, d[0], d[2]);
		t[1] = NN_FN(fma)(a, d[1], d[2]);
		t[2] = NN_FN(fma)(minus_a, d[1], d[2]);
		t[3] = NN_FN(fma)(minus_a2, d[1], d[3]);
	}
	else
	{
		const vec b = NN_FN(splat)((float) POINT_B);
		const vec minus_b = NN_FN(splat)(-(float) POINT_B);
		const vec minus_b2 = NN_FN(splat)(-(float) (POINT_B * POINT_B));
		const vec product = NN_FN(splat)((float) (POINT_A * POINT_A * POINT_B * POINT_B));
		const vec minus_sum = NN_FN(splat)(-(float) (POINT_A * POINT_A + POINT_B * POINT_B));
		const vec even_a = NN_FN(fma)(minus_b2, d[2], d[4]);
		const vec odd_a = NN_FN(fma)(minus_b2, d[1], d[3]);
		const vec even_b = NN_FN(fma)(minus_a2, d[2], d[4]);
		const vec odd_b = NN_FN(fma)(minus_a2, d[1], d[3]);

		t[0] = NN_FN(fma)(product, d[0], NN_FN(fma)(minus_sum, d[2], d[4]));
		t[1] = NN_FN(fma)(a, odd_a, even_a);
		t[2] = NN_FN(fma)(minus_a, odd_a, even_a);
		t[3] = NN_FN(fma)(product, d[1], NN_FN(fma)(minus_sum, d[3], d[5]));
		t[4] = NN_FN(fma)(b, odd_b, even_b);
		t[5] = NN_FN(fma)(minus_b, odd_b, even_b);
	}
}

/* One dimension of an output's transform: the points of m to m outputs. */
NN_INLINE void
NN_FN(transform_out)(const int m, const vec *t, vec *y)
{
	const double a = POINT_A;
	const double b = POINT_B;
	const vec sum_a = t[1] + t[2];
	const vec difference_a = t[1] - t[2];

	if (m == 2)
	{
		const double at_a = 1.0 / (2.0 * a * a);

		y[0] = NN_FN(fma)(NN_FN(splat)((float) (-1.0 / (a * a))), t[0], NN_FN(splat)((float) at_a) * sum_a);
		y[1] = NN_FN(fma)(NN_FN(splat)((float) (a * at_a)), difference_a, t[3]);
	}
	else
	{
		const double at_0 = 1.0 / (a * a * b * b);
		const double at_a = 1.0 / (2.0 * a * a * (a * a - b * b));
		const double at_b = 1.0 / (2.0 * b * b * (b * b - a * a));
		const vec sum_b = t[4] + t[5];
		const vec difference_b = t[4] - t[5];

		y[0] = NN_FN(fma)(NN_FN(splat)((float) at_a), sum_a,
						  NN_FN(fma)(NN_FN(splat)((float) at_b), sum_b, NN_FN(splat)((float) at_0) * t[0]));
		y[1] = NN_FN(fma)(NN_FN(splat)((float) (a * at_a)), difference_a,
						  NN_FN(splat)((float) (b * at_b)) * difference_b);
		y[2] = NN_FN(fma)(NN_FN(splat)((float) (a * a * at_a)), sum_a, NN_FN(splat)((float) (b * b * at_b)) * sum_b);
		y[3] = NN_FN(fma)(NN_FN(splat)((float) (a * a * a * at_a)), difference_a,
						  NN_FN(fma)(NN_FN(splat)((float) (b * b * b * at_b)), difference_b, t[3]));
	}
}

/* The transformed inputs of the tile of mh by mw outputs at a place. */
NN_INLINE void
NN_FN(tile_in)(const int mh, const int mw, const NnAffine *op, const Tiling *tiling, const Place *place,
			   const float *in, float *v)
{
	const size_t cin = op->in_pixel;
	const float *from[MAX_POINTS][MAX_POINTS];

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
		vec half[MAX_POINTS][MAX_POINTS]; /* by column, then row */

		NN_UNROLL
		for (int j = 0; j < mw + 2; j++)
		{
			vec d[MAX_POINTS];

			NN_UNROLL
			for (int i = 0; i < mh + 2; i++)
				d[i] = NN_FN(load)(from[i][j] + c);
			NN_FN(transform_in)(mh, d, half[j]);
		}
		NN_UNROLL
		for (int i = 0; i < mh + 2; i++)
		{
			vec d[MAX_POINTS];
			vec t[MAX_POINTS];

			NN_UNROLL
			for (int j = 0; j < mw + 2; j++)
				d[j] = half[j][i];
			NN_FN(transform_in)(mw, d, t);
			NN_UNROLL
			for (int j = 0; j < mw + 2; j++)
				NN_FN(store)(v + row_of(tiling, place, i, j) * cin + c, t[j]);
		}
	}
}

/* Store those of a tile's outputs r that there are, pooled. */
NN_INLINE void
NN_FN(store_tile)(const int mh, const int mw, const NnAffine *op, const Place *place, vec (*r)[MAX_POINTS], float *to)
{
	const vec least = NN_FN(splat)(op->relu ? 0.0f : -INFINITY);

	if (op->pool == 2)
	{
		NN_UNROLL
		for (int i = 0; i < mh; i += 2)
		{
			NN_UNROLL
			for (int j = 0; j < mw; j += 2)
			{
				vec best = NN_FN(max)(NN_FN(max)(r[i][j], r[i][j + 1]), NN_FN(max)(r[i + 1][j], r[i + 1][j + 1]));
				float *pooled = to + (size_t) (i / 2) * op->out_row + (size_t) (j / 2) * op->out_pixel;

				if (place->y + i < op->height && place->x + j < op->width)
					NN_FN(store)(pooled, NN_FN(max)(best, least));
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
				NN_FN(store)(to + (size_t) i * op->out_row + (size_t) j * op->out_pixel, NN_FN(max)(r[i][j], least));
		}
	}
}

/* The outputs of the tile of mh by mw at a place from its sums s: transformed back, plus the bias, ReLU, pooling. */
NN_INLINE void
NN_FN(tile_out)(const int mh, const int mw, const NnAffine *op, const Tiling *tiling, const Place *place,
				const float *s, const float *bias, float *out)
{
	const size_t cout = (size_t) op->channels;
	float *to = out + (size_t) (place->y / op->pool) * op->out_row + (size_t) (place->x / op->pool) * op->out_pixel;

	for (size_t c = 0; c < cout; c += NN_LANES)
	{
		const vec b = NN_FN(load)(bias + c);
		vec half[MAX_POINTS][MAX_POINTS]; /* by column, then row */
		vec r[MAX_POINTS][MAX_POINTS];

		NN_UNROLL
		for (int j = 0; j < mw + 2; j++)
		{
			vec t[MAX_POINTS];

			NN_UNROLL
			for (int i = 0; i < mh + 2; i++)
				t[i] = NN_FN(load)(s + row_of(tiling, place, i, j) * cout + c);
			NN_FN(transform_out)(mh, t, half[j]);
		}
		NN_UNROLL
		for (int i = 0; i < mh; i++)
		{
			vec t[MAX_POINTS];

			NN_UNROLL
			for (int j = 0; j < mw + 2; j++)
				t[j] = half[j][i];
			NN_FN(transform_out)(mw, t, r[i]);
			NN_UNROLL
			for (int j = 0; j < mw; j++)
				r[i][j] += b;
		}
		NN_FN(store_tile)(mh, mw, op, place, r, to + c);
	}
}

/* clang-format off */
#undef TILE
#define TILE(mh, mw) \
	static void NN_FN(in_##mh##_##mw)(const NnAffine *op, const Tiling *tiling, const Place *place, const float *in, \
									  float *v) \
	{ \
		NN_FN(tile_in)(mh, mw, op, tiling, place, in, v); \
	} \
	static void NN_FN(out_##mh##_##mw)(const NnAffine *op, const Tiling *tiling, const Place *place, const float *s, \
									   const float *bias, float *out) \
	{ \
		NN_FN(tile_out)(mh, mw, op, tiling, place, s, bias, out); \
	}
TILE(2, 2) TILE(2, 4) TILE(4, 2) TILE(4, 4)
	/* clang-format on */

	static void NN_FN(winograd_in)(const NnAffine *op, const Tiling *tiling, const float *in, float *v)
{
	for (Place place = first_place(); place.row < tiling->rows.all; next_place(tiling, &place))
	{
		if (is_four(&tiling->rows, place.row))
			(is_four(&tiling->columns, place.column) ? NN_FN(in_4_4) : NN_FN(in_4_2))(op, tiling, &place, in, v);
		else
			(is_four(&tiling->columns, place.column) ? NN_FN(in_2_4) : NN_FN(in_2_2))(op, tiling, &place, in, v);
	}
}

static void
NN_FN(winograd_out)(const NnAffine *op, const Tiling *tiling, const float *s, const float *bias, float *out)
{
	for (Place place = first_place(); place.row < tiling->rows.all; next_place(tiling, &place))
	{
		if (is_four(&tiling->rows, place.row))
			(is_four(&tiling->columns, place.column) ? NN_FN(out_4_4) : NN_FN(out_4_2))(op, tiling, &place, s, bias,
																						out);
		else
			(is_four(&tiling->columns, place.column) ? NN_FN(out_2_4) : NN_FN(out_2_2))(op, tiling, &place, s, bias,
																						out);
	}
}
