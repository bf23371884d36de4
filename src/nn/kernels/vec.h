/*
 * vec.h: a vector of NN_LANES floats, its operations, and the function names of the instruction set.
 *
 * The Makefile compiles each file of kernels once for each instruction set.  It defines NN_TARGET_AVX512 or
 * NN_TARGET_AVX2 and passes the compiler's flags for it.  Without either, the kernels are the portable ones.  The
 * compiler's own macros (__AVX2__) are not used, because a build with -march=native defines them for the portable
 * kernels, too.
 *
 * Kernels are static and have plain names.  Only the functions that the operation's header declares are external.
 * They are defined as NN_FN(name), which adds the instruction set's suffix.
 *
 * In the training kernels the compiler joins a product and a sum into one operation that rounds once, if the
 * instruction set has it (-ffp-contract=fast, gcc's default for this dialect).  A training run can be repeated bit by
 * bit with the same binary on the same instruction set, not across compilers.  The inner loop of convolutions and
 * dense layers (tile.h) calls vec_fma instead.
 */
#ifndef NN_KERNELS_VEC_H
#define NN_KERNELS_VEC_H

#include <stdint.h>

#if defined(NN_TARGET_AVX512)
#define NN_LANES 16
#define NN_FN(name) name##_avx512
#elif defined(NN_TARGET_AVX2)
#define NN_LANES 8
#define NN_FN(name) name##_avx2
#else
#define NN_LANES 4
#define NN_FN(name) name##_portable
#endif

#if NN_LANES > 4
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define NN_INLINE static inline __attribute__((always_inline))

/*
 * These stand before a loop over an array of vectors and unroll it, so that the vectors stay in registers.
 * NN_UNROLL_SMALL is for loops whose count is a constant in some of the functions that inline them, but not in all:
 * clang unrolls the former by itself and would report an error for the latter.
 */
#if defined(__clang__)
#define NN_UNROLL _Pragma("clang loop unroll(full)")
#define NN_UNROLL_SMALL
#else
#define NN_UNROLL _Pragma("GCC unroll 32")
#define NN_UNROLL_SMALL _Pragma("GCC unroll 32")
#endif

typedef float vec __attribute__((vector_size(4 * NN_LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * NN_LANES)));
typedef float uvec __attribute__((vector_size(4 * NN_LANES), aligned(4), may_alias));

/* Load NN_LANES floats from p, which need not be aligned. */
NN_INLINE vec
vec_load(const float *p)
{
	return *(const uvec *) p;
}

NN_INLINE void
vec_store(float *p, vec v)
{
	*(uvec *) p = v;
}

/* x in every lane. */
NN_INLINE vec
vec_splat(float x)
{
	return x - (vec){0};
}

/* a * b + c, rounded once if the instruction set can: explicit, so that results do not depend on the compiler. */
NN_INLINE vec
vec_fma(vec a, vec b, vec c)
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

/* The greater of a and b in each lane; b if they are equal or either is not a number. */
NN_INLINE vec
vec_max(vec a, vec b)
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
vec_if_equal(vec a, vec b, vec x)
{
#if NN_LANES == 16
	return (vec) _mm512_maskz_mov_ps(_mm512_cmp_ps_mask((__m512) a, (__m512) b, _CMP_EQ_OQ), (__m512) x);
#else
	return (vec) ((ivec) x & (ivec) (a == b));
#endif
}

/* x where a > b, else 0. */
NN_INLINE vec
vec_if_greater(vec a, vec b, vec x)
{
#if NN_LANES == 16
	return (vec) _mm512_maskz_mov_ps(_mm512_cmp_ps_mask((__m512) a, (__m512) b, _CMP_GT_OQ), (__m512) x);
#else
	return (vec) ((ivec) x & (ivec) (a > b));
#endif
}

NN_INLINE vec
vec_sqrt(vec a)
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

#endif /* NN_KERNELS_VEC_H */
