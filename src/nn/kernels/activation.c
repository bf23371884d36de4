/*
 * activation.c: batch norm, ReLU and maximum pooling of training, in one pass over the data forward and one backward.
 *
 * z = x * scale + shift; y = max(lowest, the z of the window); lowest is 0 with ReLU, minus infinity without.
 * Forward keeps only x.  Backward computes the window again and gives the gradient to its first maximum.
 */
#include "nn/kernels/activation.h"
#include "nn/kernels/vec.h"

#include <math.h>

/* One output pixel's window, for a vector of channels: fills z and returns y.  pool is a constant for 1 and 2. */
NN_INLINE vec
window(vec *z, const float *x, const NnMap *map, vec scale, vec shift, vec lowest, const int pool)
{
	vec y = lowest;

	NN_UNROLL_SMALL
	for (int dy = 0; dy < pool; dy++)
	{
		NN_UNROLL_SMALL
		for (int dx = 0; dx < pool; dx++)
		{
			vec v = vec_load(x + dy * map->row + (size_t) dx * map->stride) * scale + shift;

			z[dy * pool + dx] = v;
			y = vec_max(y, v);
		}
	}
	return y;
}

NN_INLINE void
forward_pool(const NnActivation *a, float *out, const float *in, int n, vec *z, const int pool)
{
	const NnMap *from = &a->in;
	const NnMap *to = &a->out;
	vec lowest = vec_splat(a->relu ? 0.0f : -INFINITY);

	for (int i = 0; i < n; i++)
	{
		for (int c = 0; c < from->stride; c += NN_LANES)
		{
			vec scale = vec_load(a->scale + c);
			vec shift = vec_load(a->shift + c);

			for (int y = 0; y < to->h; y++)
			{
				const float *x = in + i * from->image + (size_t) y * pool * from->row + c;
				float *o = out + i * to->image + y * to->row + c;

				for (int j = 0; j < to->w; j++, x += pool * from->stride, o += to->stride)
					vec_store(o, window(z, x, from, scale, shift, lowest, pool));
			}
		}
	}
}

NN_INLINE void
backward_pool(const NnActivation *a, float *din, const float *in, const float *dout, int n, vec *z, const int pool)
{
	const NnMap *from = &a->in;
	const NnMap *to = &a->din;
	vec lowest = vec_splat(a->relu ? 0.0f : -INFINITY);

	for (int i = 0; i < n; i++)
	{
		for (int c = 0; c < from->stride; c += NN_LANES)
		{
			vec scale = vec_load(a->scale + c);
			vec shift = vec_load(a->shift + c);
			vec slope = vec_load(a->slope + c);
			vec offset = vec_load(a->offset + c);

			for (int y = 0; y < a->out.h; y++)
			{
				const float *x = in + i * from->image + (size_t) y * pool * from->row + c;
				const float *d = dout + i * a->dout.image + y * a->dout.row + c;
				float *o = din + i * to->image + (size_t) y * pool * to->row + c;

				for (int j = 0; j < a->out.w;
					 j++, x += pool * from->stride, d += a->dout.stride, o += pool * to->stride)
				{
					vec top = window(z, x, from, scale, shift, lowest, pool);
					vec g = vec_if_greater(top, lowest, vec_load(d)) * scale;

					NN_UNROLL_SMALL
					for (int dy = 0; dy < pool; dy++)
					{
						NN_UNROLL_SMALL
						for (int dx = 0; dx < pool; dx++)
						{
							vec hit = vec_if_equal(z[dy * pool + dx], top, g);
							vec xv = vec_load(x + dy * from->row + (size_t) dx * from->stride);

							g -= hit;
							vec_store(o + dy * to->row + (size_t) dx * to->stride, hit + (xv * slope + offset));
						}
					}
				}
			}
		}
	}
}

/* Rows and columns outside all windows: only the batch's statistics contribute to their gradient. */
static void
backward_rest(const NnActivation *a, float *din, const float *in, int n)
{
	const NnMap *from = &a->in;
	const NnMap *to = &a->din;

	for (int i = 0; i < n; i++)
	{
		for (int y = 0; y < from->h; y++)
		{
			for (int x = y < a->out.h * a->pool ? a->out.w * a->pool : 0; x < from->w; x++)
			{
				const float *xp = in + i * from->image + y * from->row + (size_t) x * from->stride;
				float *o = din + i * to->image + y * to->row + (size_t) x * to->stride;

				for (int c = 0; c < from->stride; c += NN_LANES)
					vec_store(o + c, vec_load(xp + c) * vec_load(a->slope + c) + vec_load(a->offset + c));
			}
		}
	}
}

/* Add the sums of the channels from c on to a->sum and a->product. */
NN_INLINE void
add_sums(const NnActivation *a, int c, vec sum, vec product)
{
	for (int k = 0; k < NN_LANES; k++)
	{
		a->sum[c + k] += sum[k];
		a->product[c + k] += product[k];
	}
}

/* Per channel, the sums over n images of dz and of dz times normalised x, added to a->sum and a->product. */
NN_INLINE void
reduce_pool(const NnActivation *a, const float *in, const float *dout, int n, vec *z, const int pool)
{
	const NnMap *from = &a->in;
	vec lowest = vec_splat(a->relu ? 0.0f : -INFINITY);

	for (int i = 0; i < n; i++)
	{
		for (int c = 0; c < from->stride; c += NN_LANES)
		{
			vec scale = vec_load(a->scale + c);
			vec shift = vec_load(a->shift + c);
			vec mean = vec_load(a->mean + c);
			vec invstd = vec_load(a->invstd + c);
			vec sum = vec_splat(0.0f);
			vec product = vec_splat(0.0f);

			for (int y = 0; y < a->out.h; y++)
			{
				const float *x = in + i * from->image + (size_t) y * pool * from->row + c;
				const float *d = dout + i * a->dout.image + y * a->dout.row + c;

				for (int j = 0; j < a->out.w; j++, x += pool * from->stride, d += a->dout.stride)
				{
					vec top = window(z, x, from, scale, shift, lowest, pool);
					vec g = vec_if_greater(top, lowest, vec_load(d));

					sum += g;
					NN_UNROLL_SMALL
					for (int dy = 0; dy < pool; dy++)
					{
						NN_UNROLL_SMALL
						for (int dx = 0; dx < pool; dx++)
						{
							vec hit = vec_if_equal(z[dy * pool + dx], top, g);
							vec xv = vec_load(x + dy * from->row + (size_t) dx * from->stride);

							g -= hit;
							product += hit * (xv - mean);
						}
					}
				}
			}
			product *= invstd;
			add_sums(a, c, sum, product);
		}
	}
}

/* Per channel, the sums over n images of x and x^2, added to a->sum and a->product. */
void
NN_FN(nn_activate_observe)(const NnActivation *a, const float *in, int n)
{
	const NnMap *from = &a->in;

	for (int i = 0; i < n; i++)
	{
		for (int c = 0; c < from->stride; c += NN_LANES)
		{
			vec sum = vec_splat(0.0f);
			vec product = vec_splat(0.0f);

			for (int y = 0; y < from->h; y++)
			{
				const float *x = in + i * from->image + y * from->row + c;

				for (int j = 0; j < from->w; j++, x += from->stride)
				{
					vec v = vec_load(x);

					sum += v;
					product += v * v;
				}
			}
			add_sums(a, c, sum, product);
		}
	}
}

/* forward_pool for a window of any size. */
static void
forward_any(const NnActivation *a, float *out, const float *in, int n)
{
	vec z[NN_ACTIVATION_MAX_POOL * NN_ACTIVATION_MAX_POOL];

	forward_pool(a, out, in, n, z, a->pool);
}

void
NN_FN(nn_activate_forward)(const NnActivation *a, float *out, const float *in, int n)
{
	vec z[4];

	if (a->pool == 1)
		forward_pool(a, out, in, n, z, 1);
	else if (a->pool == 2)
		forward_pool(a, out, in, n, z, 2);
	else
		forward_any(a, out, in, n);
}

/* backward_pool for a window of any size. */
static void
backward_any(const NnActivation *a, float *din, const float *in, const float *dout, int n)
{
	vec z[NN_ACTIVATION_MAX_POOL * NN_ACTIVATION_MAX_POOL];

	backward_pool(a, din, in, dout, n, z, a->pool);
}

void
NN_FN(nn_activate_backward)(const NnActivation *a, float *din, const float *in, const float *dout, int n)
{
	vec z[4];

	if (a->pool == 1)
		backward_pool(a, din, in, dout, n, z, 1);
	else if (a->pool == 2)
		backward_pool(a, din, in, dout, n, z, 2);
	else
		backward_any(a, din, in, dout, n);
	if (a->out.h * a->pool < a->in.h || a->out.w * a->pool < a->in.w)
		backward_rest(a, din, in, n);
}

/* reduce_pool for a window of any size. */
static void
reduce_any(const NnActivation *a, const float *in, const float *dout, int n)
{
	vec z[NN_ACTIVATION_MAX_POOL * NN_ACTIVATION_MAX_POOL];

	reduce_pool(a, in, dout, n, z, a->pool);
}

void
NN_FN(nn_activate_reduce)(const NnActivation *a, const float *in, const float *dout, int n)
{
	vec z[4];

	if (a->pool == 1)
		reduce_pool(a, in, dout, n, z, 1);
	else if (a->pool == 2)
		reduce_pool(a, in, dout, n, z, 2);
	else
		reduce_any(a, in, dout, n);
}
