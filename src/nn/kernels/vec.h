/*
 * vec.h: a vector of NN_LANES floats; included once for each instruction set by each_isa.h.  No include guard.
 */
typedef float NN_FN(vec) __attribute__((vector_size(4 * NN_LANES)));
typedef int32_t NN_FN(ivec) __attribute__((vector_size(4 * NN_LANES)));
typedef float NN_FN(uvec) __attribute__((vector_size(4 * NN_LANES), aligned(4), may_alias));

#undef vec
#undef ivec
#define vec NN_FN(vec)
#define ivec NN_FN(ivec)

NN_INLINE vec
NN_FN(load)(const float *p)
{
	return *(const NN_FN(uvec) *) p;
}

NN_INLINE void
NN_FN(store)(float *p, vec v)
{
	*(NN_FN(uvec) *) p = v;
}

NN_INLINE vec
NN_FN(splat)(float x)
{
	return x - (vec){0};
}

/* a * b + c, rounded once wherever the instruction set can: not left to the compiler, because it would show. */
NN_INLINE vec
NN_FN(fma)(vec a, vec b, vec c)
{
#if NN_LANES == 16
	return (vec) _mm512_fmadd_ps((__m512) a, (__m512) b, (__m512) c);
#elif NN_LANES == 8
	return (vec) _mm256_fmadd_ps((__m256) a, (__m256) b, (__m256) c);
#elif defined(__aarch64__)
	return (vec) vfmaq_f32((float32x4_t) c, (float32x4_t) a, (float32x4_t) b);
#else
	return a * b + c;
#endif
}

/* The greater of each lane; b where they are equal or a is not a number. */
NN_INLINE vec
NN_FN(max)(vec a, vec b)
{
#if NN_LANES == 16
	return (vec) _mm512_max_ps((__m512) a, (__m512) b);
#elif NN_LANES == 8
	return (vec) _mm256_max_ps((__m256) a, (__m256) b);
#else
	ivec greater = (ivec) (a > b);

	return (vec) (((ivec) a & greater) | ((ivec) b & ~greater));
#endif
}

/* x where a == b, else 0. */
NN_INLINE vec
NN_FN(if_equal)(vec a, vec b, vec x)
{
#if NN_LANES == 16
	return (vec) _mm512_maskz_mov_ps(_mm512_cmp_ps_mask((__m512) a, (__m512) b, _CMP_EQ_OQ), (__m512) x);
#else
	return (vec) ((ivec) x & (ivec) (a == b));
#endif
}

/* x where a > b, else 0. */
NN_INLINE vec
NN_FN(if_greater)(vec a, vec b, vec x)
{
#if NN_LANES == 16
	return (vec) _mm512_maskz_mov_ps(_mm512_cmp_ps_mask((__m512) a, (__m512) b, _CMP_GT_OQ), (__m512) x);
#else
	return (vec) ((ivec) x & (ivec) (a > b));
#endif
}

NN_INLINE vec
NN_FN(sqrt)(vec a)
{
#if NN_LANES == 16
	return (vec) _mm512_sqrt_ps((__m512) a);
#elif NN_LANES == 8
	return (vec) _mm256_sqrt_ps((__m256) a);
#else
	vec root = a;

	for (int i = 0; i < NN_LANES; i++)
		root[i] = __builtin_sqrtf(a[i]);
	return root;
#endif
}
