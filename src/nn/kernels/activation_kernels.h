/*
 * activation_kernels.h: batch norm, ReLU and maximum pooling in one pass over the data, compiled once for each
 * instruction set by activation.c.  No include guard.
 *
 * z = x * scale + shift, y = max(floor, the z of the window); floor is 0 for ReLU and minus infinity without.
 * Backward nothing was kept but x: the window is computed again, and the gradient goes to its first maximum.
 */

/* The window of one output pixel, one vector of channels: fills z and returns y.  pool is a constant for 1 and 2. */
NN_INLINE vec
NN_FN(window)(vec *z, const float *x, const NnMap *map, vec scale, vec shift, vec lowest, const int pool)
{
	vec y = lowest;

	NN_UNROLL_SMALL
	for (int dy = 0; dy < pool; dy++)
	{
		NN_UNROLL_SMALL
		for (int dx = 0; dx < pool; dx++)
		{
			vec v = NN_FN(load)(x + dy * map->row + (size_t) dx * map->stride) * scale + shift;

			z[dy * pool + dx] = v;
			y = NN_FN(max)(y, v);
		}
	}
	return y;
}

NN_INLINE void
NN_FN(forward_pool)(const NnTrainOp *op, float *out, const float *in, int n, vec *z, const int pool)
{
	const NnMap *from = &op->in;
	const NnMap *to = &op->out;
	vec lowest = NN_FN(splat)(op->relu ? 0.0f : -INFINITY);

	for (int i = 0; i < n; i++)
	{
		for (int c = 0; c < from->stride; c += NN_LANES)
		{
			vec scale = NN_FN(load)(op->scale + c);
			vec shift = NN_FN(load)(op->shift + c);

			for (int y = 0; y < to->h; y++)
			{
				const float *x = in + i * from->image + (size_t) y * pool * from->row + c;
				float *o = out + i * to->image + y * to->row + c;

				for (int j = 0; j < to->w; j++, x += pool * from->stride, o += to->stride)
					NN_FN(store)(o, NN_FN(window)(z, x, from, scale, shift, lowest, pool));
			}
		}
	}
}

NN_INLINE void
NN_FN(backward_pool)(const NnTrainOp *op, float *din, const float *in, const float *dout, int n, vec *z,
					 const int pool)
{
	const NnMap *from = &op->in;
	const NnMap *to = &op->din;
	vec lowest = NN_FN(splat)(op->relu ? 0.0f : -INFINITY);

	for (int i = 0; i < n; i++)
	{
		for (int c = 0; c < from->stride; c += NN_LANES)
		{
			vec scale = NN_FN(load)(op->scale + c);
			vec shift = NN_FN(load)(op->shift + c);
			vec slope = NN_FN(load)(op->slope + c);
			vec offset = NN_FN(load)(op->offset + c);

			for (int y = 0; y < op->out.h; y++)
			{
				const float *x = in + i * from->image + (size_t) y * pool * from->row + c;
				const float *d = dout + i * op->dout.image + y * op->dout.row + c;
				float *o = din + i * to->image + (size_t) y * pool * to->row + c;

				for (int j = 0; j < op->out.w;
					 j++, x += pool * from->stride, d += op->dout.stride, o += pool * to->stride)
				{
					vec top = NN_FN(window)(z, x, from, scale, shift, lowest, pool);
					vec g = NN_FN(if_greater)(top, lowest, NN_FN(load)(d)) * scale;

					NN_UNROLL_SMALL
					for (int dy = 0; dy < pool; dy++)
					{
						NN_UNROLL_SMALL
						for (int dx = 0; dx < pool; dx++)
						{
							vec hit = NN_FN(if_equal)(z[dy * pool + dx], top, g);
							vec xv = NN_FN(load)(x + dy * from->row + (size_t) dx * from->stride);

							g -= hit;
							NN_FN(store)(o + dy * to->row + (size_t) dx * to->stride, hit + (xv * slope + offset));
						}
					}
				}
			}
		}
	}
}

/* Rows and columns that no window reaches: their gradient comes through the batch's statistics alone. */
static void
NN_FN(backward_rest)(const NnTrainOp *op, float *din, const float *in, int n)
{
	const NnMap *from = &op->in;
	const NnMap *to = &op->din;

	for (int i = 0; i < n; i++)
	{
		for (int y = 0; y < from->h; y++)
		{
			for (int x = y < op->out.h * op->pool ? op->out.w * op->pool : 0; x < from->w; x++)
			{
				const float *xp = in + i * from->image + y * from->row + (size_t) x * from->stride;
				float *o = din + i * to->image + y * to->row + (size_t) x * to->stride;

				for (int c = 0; c < from->stride; c += NN_LANES)
					NN_FN(store)
				(o + c, NN_FN(load)(xp + c) * NN_FN(load)(op->slope + c) + NN_FN(load)(op->offset + c));
			}
		}
	}
}

/* Per channel, the sums over n images of dz and of dz times normalised x, added to op->sum and op->product. */
NN_INLINE void
NN_FN(reduce_pool)(NnTrainOp *op, const float *in, const float *dout, int n, vec *z, const int pool)
{
	const NnMap *from = &op->in;
	vec lowest = NN_FN(splat)(op->relu ? 0.0f : -INFINITY);

	for (int i = 0; i < n; i++)
	{
		for (int c = 0; c < from->stride; c += NN_LANES)
		{
			vec scale = NN_FN(load)(op->scale + c);
			vec shift = NN_FN(load)(op->shift + c);
			vec mean = NN_FN(load)(op->mean + c);
			vec invstd = NN_FN(load)(op->invstd + c);
			vec sum = NN_FN(splat)(0.0f);
			vec product = NN_FN(splat)(0.0f);

			for (int y = 0; y < op->out.h; y++)
			{
				const float *x = in + i * from->image + (size_t) y * pool * from->row + c;
				const float *d = dout + i * op->dout.image + y * op->dout.row + c;

				for (int j = 0; j < op->out.w; j++, x += pool * from->stride, d += op->dout.stride)
				{
					vec top = NN_FN(window)(z, x, from, scale, shift, lowest, pool);
					vec g = NN_FN(if_greater)(top, lowest, NN_FN(load)(d));

					sum += g;
					NN_UNROLL_SMALL
					for (int dy = 0; dy < pool; dy++)
					{
						NN_UNROLL_SMALL
						for (int dx = 0; dx < pool; dx++)
						{
							vec hit = NN_FN(if_equal)(z[dy * pool + dx], top, g);
							vec xv = NN_FN(load)(x + dy * from->row + (size_t) dx * from->stride);

							g -= hit;
							product += hit * (xv - mean);
						}
					}
				}
			}
			product *= invstd;
			for (int k = 0; k < NN_LANES; k++)
			{
				op->sum[c + k] += sum[k];
				op->product[c + k] += product[k];
			}
		}
	}
}

/* Per channel, the sums over n images of x and x^2, added to op->sum and op->product. */
static void
NN_FN(observe)(NnTrainOp *op, const float *in, int n)
{
	const NnMap *from = &op->in;

	for (int i = 0; i < n; i++)
	{
		for (int c = 0; c < from->stride; c += NN_LANES)
		{
			vec sum = NN_FN(splat)(0.0f);
			vec product = NN_FN(splat)(0.0f);

			for (int y = 0; y < from->h; y++)
			{
				const float *x = in + i * from->image + y * from->row + c;

				for (int j = 0; j < from->w; j++, x += from->stride)
				{
					vec v = NN_FN(load)(x);

					sum += v;
					product += v * v;
				}
			}
			for (int k = 0; k < NN_LANES; k++)
			{
				op->sum[c + k] += sum[k];
				op->product[c + k] += product[k];
			}
		}
	}
}

/* The same for a window of any size. */
static void
NN_FN(forward_any)(const NnTrainOp *op, float *out, const float *in, int n)
{
	vec z[NN_MAX_POOL * NN_MAX_POOL];

	NN_FN(forward_pool)(op, out, in, n, z, op->pool);
}

static void
NN_FN(forward)(const NnTrainOp *op, float *out, const float *in, int n)
{
	vec z[4];

	if (op->pool == 1)
		NN_FN(forward_pool)(op, out, in, n, z, 1);
	else if (op->pool == 2)
		NN_FN(forward_pool)(op, out, in, n, z, 2);
	else
		NN_FN(forward_any)(op, out, in, n);
}

/* The same for a window of any size. */
static void
NN_FN(backward_any)(const NnTrainOp *op, float *din, const float *in, const float *dout, int n)
{
	vec z[NN_MAX_POOL * NN_MAX_POOL];

	NN_FN(backward_pool)(op, din, in, dout, n, z, op->pool);
}

static void
NN_FN(backward)(const NnTrainOp *op, float *din, const float *in, const float *dout, int n)
{
	vec z[4];

	if (op->pool == 1)
		NN_FN(backward_pool)(op, din, in, dout, n, z, 1);
	else if (op->pool == 2)
		NN_FN(backward_pool)(op, din, in, dout, n, z, 2);
	else
		NN_FN(backward_any)(op, din, in, dout, n);
	if (op->out.h * op->pool < op->in.h || op->out.w * op->pool < op->in.w)
		NN_FN(backward_rest)(op, din, in, n);
}

/* The same for a window of any size. */
static void
NN_FN(reduce_any)(NnTrainOp *op, const float *in, const float *dout, int n)
{
	vec z[NN_MAX_POOL * NN_MAX_POOL];

	NN_FN(reduce_pool)(op, in, dout, n, z, op->pool);
}

static void
NN_FN(reduce)(NnTrainOp *op, const float *in, const float *dout, int n)
{
	vec z[4];

	if (op->pool == 1)
		NN_FN(reduce_pool)(op, in, dout, n, z, 1);
	else if (op->pool == 2)
		NN_FN(reduce_pool)(op, in, dout, n, z, 2);
	else
		NN_FN(reduce_any)(op, in, dout, n);
}
