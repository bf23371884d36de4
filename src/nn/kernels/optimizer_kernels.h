/*
 * optimizer_kernels.h: the update of a run of parameters, compiled once for each instruction set by
 * optimizer.c.  No include guard.
 */

/* AdamW on one vector of parameters. */
NN_INLINE void
NN_FN(adam_vector)(float *values, float *m, float *v, vec g, const AdamFactors *f)
{
	vec x = NN_FN(load)(values);
	vec first = NN_FN(load)(m) * f->beta1 + g * (1.0f - f->beta1);
	vec second = NN_FN(load)(v) * f->beta2 + (g * g) * (1.0f - f->beta2);
	vec root = NN_FN(sqrt)(second * f->correction2) + f->epsilon;

	NN_FN(store)(m, first);
	NN_FN(store)(v, second);
	NN_FN(store)(values, x - x * f->decay - first * f->rate / root);
}

/* AdamW on values[from, to), all of one kind. */
static void
NN_FN(adam)(float *values, float *m, float *v, const float *const *grads, int ngrads, size_t from, size_t to,
			const AdamFactors *f)
{
	size_t i = from;

	for (; i + NN_LANES <= to; i += NN_LANES)
	{
		vec g = NN_FN(load)(grads[0] + i);

		for (int k = 1; k < ngrads; k++)
			g += NN_FN(load)(grads[k] + i);
		NN_FN(adam_vector)(values + i, m + i, v + i, g, f);
	}
	/* The remainder goes through the same vector code, so that a slice's bits do not depend on its limits. */
	if (i < to)
	{
		float rest[3][NN_LANES] = {{0}};
		vec g = NN_FN(splat)(0.0f);
		size_t bytes = (to - i) * sizeof(float);

		for (int k = 0; k < ngrads; k++)
		{
			float part[NN_LANES] = {0};

			memcpy(part, grads[k] + i, bytes);
			g = k == 0 ? NN_FN(load)(part) : g + NN_FN(load)(part);
		}
		memcpy(rest[0], values + i, bytes);
		memcpy(rest[1], m + i, bytes);
		memcpy(rest[2], v + i, bytes);
		NN_FN(adam_vector)(rest[0], rest[1], rest[2], g, f);
		memcpy(values + i, rest[0], bytes);
		memcpy(m + i, rest[1], bytes);
		memcpy(v + i, rest[2], bytes);
	}
}

/* x = x * keep + y * add on n numbers. */
static void
NN_FN(blend)(float *x, const float *y, float keep, float add, size_t n)
{
	size_t i = 0;

	for (; i + NN_LANES <= n; i += NN_LANES)
		NN_FN(store)(x + i, NN_FN(load)(x + i) * keep + NN_FN(load)(y + i) * add);
	if (i < n)
	{
		float rest[2][NN_LANES] = {{0}};

		memcpy(rest[0], x + i, (n - i) * sizeof(float));
		memcpy(rest[1], y + i, (n - i) * sizeof(float));
		NN_FN(store)(rest[0], NN_FN(load)(rest[0]) * keep + NN_FN(load)(rest[1]) * add);
		memcpy(x + i, rest[0], (n - i) * sizeof(float));
	}
}
