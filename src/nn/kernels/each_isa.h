/*
 * each_isa.h: compile the file named by NN_KERNELS once for each instruction set; see isa.h.  No include guard.
 */
#include "nn/kernels/isa.h"

#define NN_LANES 4
#define NN_FN(name) name##_portable
#include "nn/kernels/vec.h"
#include NN_KERNELS
#undef NN_LANES
#undef NN_FN

#ifdef NN_X86

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define NN_LANES 8
#define NN_FN(name) name##_avx2
#include "nn/kernels/vec.h"
#include NN_KERNELS
#undef NN_LANES
#undef NN_FN
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), \
							 apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#endif
#define NN_LANES 16
#define NN_FN(name) name##_avx512
#include "nn/kernels/vec.h"
#include NN_KERNELS
#undef NN_LANES
#undef NN_FN
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif /* NN_X86 */

#undef NN_KERNELS
