/*
 * optimizer.c: the update of a range of parameters.
 */
#include "nn/kernels/optimizer.h"
#include "nn/kernels/vec.h"

#include <string.h>

/* AdamW on one vector of parameters. */
NN_INLINE void
adam_vector(float *values, float *m, float *v, vec g, const NnAdamFactors *f)
{
	vec x = vec_load(values);
	vec first = vec_load(m) * f->beta1 + g * (1.0f - f->beta1);
	vec second = vec_load(v) * f->beta2 + (g * g) * (1.0f - f->beta2);
	vec root = vec_sqrt(second * f->correction2) + f->epsilon;

	vec_store(m, first);
	vec_store(v, second);
	vec_store(values, x - x * f->decay - first * f->rate / root);
}

/* AdamW on values[from, to), which share the factors. */
void
NN_FN(nn_adam)(float *values, float *m, float *v, const float *const *grads, int ngrads, size_t from, size_t to,
			   const NnAdamFactors *f)
{
	size_t i = from;

	for (; i + NN_LANES <= to; i += NN_LANES)
	{
		vec g = vec_load(grads[0] + i);

		for (int k = 1; k < ngrads; k++)
			g += vec_load(grads[k] + i);
		adam_vector(values + i, m + i, v + i, g, f);
	}
	/* The remainder goes through the same vector code, so that results do not depend on where a slice ends. */
	if (i < to)
	{
		float rest[3][NN_LANES] = {{0}};
		vec g = vec_splat(0.0f);
		size_t bytes = (to - i) * sizeof(float);

		for (int k = 0; k < ngrads; k++)
		{
			float part[NN_LANES] = {0};

			memcpy(part, grads[k] + i, bytes);
			g = k == 0 ? vec_load(part) : g + vec_load(part);
		}
		memcpy(rest[0], values + i, bytes);
		memcpy(rest[1], m + i, bytes);
		memcpy(rest[2], v + i, bytes);
		adam_vector(rest[0], rest[1], rest[2], g, f);
		memcpy(values + i, rest[0], bytes);
		memcpy(m + i, rest[1], bytes);
		memcpy(v + i, rest[2], bytes);
	}
}

/* x = x * keep + y * add on n numbers. */
void
NN_FN(nn_blend)(float *x, const float *y, float keep, float add, size_t n)
{
	size_t i = 0;

	for (; i + NN_LANES <= n; i += NN_LANES)
		vec_store(x + i, vec_load(x + i) * keep + vec_load(y + i) * add);
	if (i < n)
	{
		float rest[2][NN_LANES] = {{0}};

		memcpy(rest[0], x + i, (n - i) * sizeof(float));
		memcpy(rest[1], y + i, (n - i) * sizeof(float));
		vec_store(rest[0], vec_load(rest[0]) * keep + vec_load(rest[1]) * add);
		memcpy(x + i, rest[0], (n - i) * sizeof(float));
	}
}
