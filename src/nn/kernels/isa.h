/*
 * isa.h: what the kernels of one instruction set are written in.
 *
 * A family of kernels lives in a file <family>_kernels.h, which is compiled three times by its .c file, each
 * time through this file's sibling each_isa.h, which sets NN_LANES (floats in a vector), NN_FN (the name's
 * suffix) and the compiler's target.  NN_DISPATCH picks one by nn_isa().  Nothing here needs special compiler
 * flags, so one binary runs on any CPU; other than x86-64 has the portable kernels alone.
 */
#ifndef NN_ISA_H
#define NN_ISA_H

#include "nn/nn.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define NN_X86 1
#endif

#define NN_INLINE static inline __attribute__((always_inline))

/*
 * Before a loop over an array of vectors that shall stay in registers: unroll it.  NN_UNROLL_SMALL is for loops
 * whose count is a constant in some of the functions they are compiled into: clang unrolls those by itself, and
 * takes a demand that it cannot meet for an error.
 */
#if defined(__clang__)
#define NN_UNROLL _Pragma("clang loop unroll(full)")
#define NN_UNROLL_SMALL
#else
#define NN_UNROLL _Pragma("GCC unroll 32")
#define NN_UNROLL_SMALL _Pragma("GCC unroll 32")
#endif

#ifdef NN_X86
#define NN_DISPATCH(name) \
	(nn_isa() == NN_ISA_AVX512 ? name##_avx512 : nn_isa() == NN_ISA_AVX2 ? name##_avx2 : name##_portable)
#else
#define NN_DISPATCH(name) name##_portable
#endif

#endif /* NN_ISA_H */
