/*
 * winograd_kernels.h: the transforms of inputs and outputs, compiled once for each instruction set by winograd.c.
 * No include guard.
 */

/* One dimension of an input's transform, B' d: m + 2 inputs to as many elements; m is a constant where this is inlined. */
NN_INLINE void
NN_FN(transform_in)(const int m, const vec *d, vec *t)
{
	if (m == 2)
	{
		t[0] = d[2] - d[0];
		t[1] = d[2] + d[1];
		t[2] = d[2] - d[1];
		t[3] = d[3] - d[1];
	}
	else
	{
		const vec a2 = NN_FN(splat)(-(float) (POINT_A * POINT_A));
		const vec b2 = NN_FN(splat)(-(float) (POINT_B * POINT_B));
		const vec product = NN_FN(splat)((float) (POINT_A * POINT_A * POINT_B * POINT_B));
		const vec sum = NN_FN(splat)(-(float) (POINT_A * POINT_A + POINT_B * POINT_B));
		const vec even_a = NN_FN(fma)(b2, d[2], d[4]);
		const vec odd_a = NN_FN(fma)(b2, d[1], d[3]);
		const vec even_b = NN_FN(fma)(a2, d[2], d[4]);
		const vec odd_b = NN_FN(fma)(a2, d[1], d[3]);

		t[0] = NN_FN(fma)(product, d[0], NN_FN(fma)(sum, d[2], d[4]));
		t[1] = NN_FN(fma)(NN_FN(splat)((float) POINT_A), odd_a, even_a);
		t[2] = NN_FN(fma)(NN_FN(splat)(-(float) POINT_A), odd_a, even_a);
		t[3] = NN_FN(fma)(NN_FN(splat)((float) POINT_B), odd_b, even_b);
		t[4] = NN_FN(fma)(NN_FN(splat)(-(float) POINT_B), odd_b, even_b);
		t[5] = NN_FN(fma)(product, d[1], NN_FN(fma)(sum, d[3], d[5]));
	}
}

/* One dimension of an output's transform, A' t: m + 2 elements to m outputs. */
NN_INLINE void
NN_FN(transform_out)(const int m, const vec *t, vec *y)
{
	if (m == 2)
	{
		y[0] = t[0] + t[1] + t[2];
		y[1] = t[1] - t[2] + t[3];
	}
	else
	{
		const vec sum_a = t[1] + t[2];
		const vec sum_b = t[3] + t[4];
		const vec difference_a = t[1] - t[2];
		const vec difference_b = t[3] - t[4];
		const vec a = NN_FN(splat)((float) POINT_A);
		const vec b = NN_FN(splat)((float) POINT_B);
		const vec a2 = NN_FN(splat)((float) (POINT_A * POINT_A));
		const vec b2 = NN_FN(splat)((float) (POINT_B * POINT_B));
		const vec a3 = NN_FN(splat)((float) (POINT_A * POINT_A * POINT_A));
		const vec b3 = NN_FN(splat)((float) (POINT_B * POINT_B * POINT_B));

		y[0] = t[0] + sum_a + sum_b;
		y[1] = NN_FN(fma)(a, difference_a, b * difference_b);
		y[2] = NN_FN(fma)(a2, sum_a, b2 * sum_b);
		y[3] = NN_FN(fma)(a3, difference_a, NN_FN(fma)(b3, difference_b, t[5]));
	}
}

/* v (n * n, tiles, Cin) from in, with n = m + 2: of each tile B' d B. */
NN_INLINE void
NN_FN(winograd_in)(const int m, const NnAffine *op, const float *in, float *v)
{
	const int n = m + 2;
	const size_t cin = op->in_pixel;
	const int width = tiles_w(op, m);
	const int tiles = tiles_h(op, m) * width;
	const size_t plane = (size_t) tiles * cin;

	for (int tile = 0; tile < tiles; tile++, v += cin)
	{
		const float *from[MAX_TILE][MAX_TILE];

		for (int i = 0; i < n; i++)
		{
			for (int j = 0; j < n; j++)
			{
				int y = tile / width * m + i;
				int x = tile % width * m + j;

				from[i][j] =
					y < op->height + 2 && x < op->width + 2 ? in + (size_t) y * op->in_row + (size_t) x * cin : zeros;
			}
		}
		for (size_t c = 0; c < cin; c += NN_LANES)
		{
			vec half[MAX_TILE][MAX_TILE]; /* by column, then row */

			NN_UNROLL
			for (int j = 0; j < n; j++)
			{
				vec d[MAX_TILE];

				NN_UNROLL
				for (int i = 0; i < n; i++)
					d[i] = NN_FN(load)(from[i][j] + c);
				NN_FN(transform_in)(m, d, half[j]);
			}
			NN_UNROLL
			for (int i = 0; i < n; i++)
			{
				float *to = v + (size_t) (i * n) * plane + c;
				vec d[MAX_TILE];
				vec t[MAX_TILE];

				NN_UNROLL
				for (int j = 0; j < n; j++)
					d[j] = half[j][i];
				NN_FN(transform_in)(m, d, t);
				NN_UNROLL
				for (int j = 0; j < n; j++)
					NN_FN(store)(to + (size_t) j * plane, t[j]);
			}
		}
	}
}

/* Store those of a tile's outputs r that there are, pooled. */
NN_INLINE void
NN_FN(store_tile)(const int m, const NnAffine *op, int y, int x, vec (*r)[MAX_TILE], float *to)
{
	const vec least = NN_FN(splat)(op->relu ? 0.0f : -INFINITY);

	if (op->pool == 2)
	{
		NN_UNROLL
		for (int i = 0; i < m; i += 2)
		{
			NN_UNROLL
			for (int j = 0; j < m; j += 2)
			{
				vec best = NN_FN(max)(NN_FN(max)(r[i][j], r[i][j + 1]), NN_FN(max)(r[i + 1][j], r[i + 1][j + 1]));

				if (y + i < op->height && x + j < op->width)
					NN_FN(store)
					(to + (size_t) (i / 2) * op->out_row + (size_t) (j / 2) * op->out_pixel, NN_FN(max)(best, least));
			}
		}
		return;
	}
	NN_UNROLL
	for (int i = 0; i < m; i++)
	{
		NN_UNROLL
		for (int j = 0; j < m; j++)
		{
			if (y + i < op->height && x + j < op->width)
				NN_FN(store)(to + (size_t) i * op->out_row + (size_t) j * op->out_pixel, NN_FN(max)(r[i][j], least));
		}
	}
}

/* out from the sums s (n * n, tiles, Cout): of each tile A' s A plus the bias, ReLU, pooling. */
NN_INLINE void
NN_FN(winograd_out)(const int m, const NnAffine *op, const float *s, const float *bias, float *out)
{
	const int n = m + 2;
	const size_t cout = (size_t) op->channels;
	const int width = tiles_w(op, m);
	const int tiles = tiles_h(op, m) * width;
	const size_t plane = (size_t) tiles * cout;

	for (int tile = 0; tile < tiles; tile++, s += cout)
	{
		const int y = tile / width * m;
		const int x = tile % width * m;
		float *to = out + (size_t) (y / op->pool) * op->out_row + (size_t) (x / op->pool) * op->out_pixel;

		for (size_t c = 0; c < cout; c += NN_LANES)
		{
			const vec b = NN_FN(load)(bias + c);
			vec half[MAX_TILE][MAX_TILE]; /* by column, then row */
			vec r[MAX_TILE][MAX_TILE];

			NN_UNROLL
			for (int j = 0; j < n; j++)
			{
				const float *from = s + (size_t) j * plane + c;
				vec t[MAX_TILE];

				NN_UNROLL
				for (int i = 0; i < n; i++)
					t[i] = NN_FN(load)(from + (size_t) (i * n) * plane);
				NN_FN(transform_out)(m, t, half[j]);
			}
			NN_UNROLL
			for (int i = 0; i < m; i++)
			{
				vec t[MAX_TILE];

				NN_UNROLL
				for (int j = 0; j < n; j++)
					t[j] = half[j][i];
				NN_FN(transform_out)(m, t, r[i]);
				NN_UNROLL
				for (int j = 0; j < m; j++)
					r[i][j] += b;
			}
			NN_FN(store_tile)(m, op, y, x, r, to + c);
		}
	}
}

static void
NN_FN(winograd_in_2)(const NnAffine *op, const float *in, float *v)
{
	NN_FN(winograd_in)(2, op, in, v);
}

static void
NN_FN(winograd_in_4)(const NnAffine *op, const float *in, float *v)
{
	NN_FN(winograd_in)(4, op, in, v);
}

static void
NN_FN(winograd_out_2)(const NnAffine *op, const float *s, const float *bias, float *out)
{
	NN_FN(winograd_out)(2, op, s, bias, out);
}

static void
NN_FN(winograd_out_4)(const NnAffine *op, const float *s, const float *bias, float *out)
{
	NN_FN(winograd_out)(4, op, s, bias, out);
}
