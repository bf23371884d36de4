/*
 * winograd_kernels.h: the transforms of inputs and outputs, compiled once for each instruction set by winograd.c.
 * No include guard.
 */

/* v (4 * 4, tiles, Cin) from in: of each tile B' d B. */
static void
NN_FN(winograd_in)(const NnAffine *op, const float *in, float *v)
{
	const size_t cin = op->in_pixel;
	const int width = tiles_w(op);
	const int tiles = tiles_h(op) * width;
	const size_t plane = (size_t) tiles * cin;

	for (int tile = 0; tile < tiles; tile++, v += cin)
	{
		const float *from[4][4];

		for (int i = 0; i < 4; i++)
		{
			for (int j = 0; j < 4; j++)
			{
				int y = tile / width * 2 + i;
				int x = tile % width * 2 + j;

				from[i][j] =
					y < op->height + 2 && x < op->width + 2 ? in + (size_t) y * op->in_row + (size_t) x * cin : zeros;
			}
		}
		for (size_t c = 0; c < cin; c += NN_LANES)
		{
			vec b[4][4];

			NN_UNROLL
			for (int j = 0; j < 4; j++)
			{
				vec d0 = NN_FN(load)(from[0][j] + c);
				vec d1 = NN_FN(load)(from[1][j] + c);
				vec d2 = NN_FN(load)(from[2][j] + c);
				vec d3 = NN_FN(load)(from[3][j] + c);

				b[0][j] = d0 - d2;
				b[1][j] = d1 + d2;
				b[2][j] = d2 - d1;
				b[3][j] = d1 - d3;
			}
			NN_UNROLL
			for (int i = 0; i < 4; i++)
			{
				float *to = v + (size_t) i * 4 * plane + c;

				NN_FN(store)(to, b[i][0] - b[i][2]);
				NN_FN(store)(to + plane, b[i][1] + b[i][2]);
				NN_FN(store)(to + 2 * plane, b[i][2] - b[i][1]);
				NN_FN(store)(to + 3 * plane, b[i][1] - b[i][3]);
			}
		}
	}
}

/* out from the sums m (4 * 4, tiles, Cout): of each tile A' m A plus the bias, ReLU, pooling. */
static void
NN_FN(winograd_out)(const NnAffine *op, const float *m, const float *bias, float *out)
{
	const size_t cout = (size_t) op->channels;
	const int width = tiles_w(op);
	const int tiles = tiles_h(op) * width;
	const size_t plane = (size_t) tiles * cout;
	const vec least = NN_FN(splat)(op->relu ? 0.0f : -INFINITY);

	for (int tile = 0; tile < tiles; tile++, m += cout)
	{
		const int y = tile / width * 2;
		const int x = tile % width * 2;
		float *to = out + (size_t) (y / op->pool) * op->out_row + (size_t) (x / op->pool) * op->out_pixel;

		for (size_t c = 0; c < cout; c += NN_LANES)
		{
			const vec b = NN_FN(load)(bias + c);
			vec a[2][4];
			vec r[2][2];

			NN_UNROLL
			for (int j = 0; j < 4; j++)
			{
				const float *from = m + (size_t) j * plane + c;
				vec m1 = NN_FN(load)(from + 4 * plane);
				vec m2 = NN_FN(load)(from + 8 * plane);

				a[0][j] = NN_FN(load)(from) + m1 + m2;
				a[1][j] = m1 - m2 - NN_FN(load)(from + 12 * plane);
			}
			NN_UNROLL
			for (int i = 0; i < 2; i++)
			{
				r[i][0] = a[i][0] + a[i][1] + a[i][2] + b;
				r[i][1] = a[i][1] - a[i][2] - a[i][3] + b;
			}
			if (op->pool == 2)
			{
				vec best = NN_FN(max)(NN_FN(max)(r[0][0], r[0][1]), NN_FN(max)(r[1][0], r[1][1]));

				NN_FN(store)(to + c, NN_FN(max)(best, least));
				continue;
			}
			NN_FN(store)(to + c, NN_FN(max)(r[0][0], least));
			if (x + 1 < op->width)
				NN_FN(store)(to + op->out_pixel + c, NN_FN(max)(r[0][1], least));
			if (y + 1 < op->height)
				NN_FN(store)(to + op->out_row + c, NN_FN(max)(r[1][0], least));
			if (x + 1 < op->width && y + 1 < op->height)
				NN_FN(store)(to + op->out_row + op->out_pixel + c, NN_FN(max)(r[1][1], least));
		}
	}
}
