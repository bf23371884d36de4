/*
 * cpu.h: which kernels this CPU can run, and which are in use.
 */
#ifndef NN_KERNELS_CPU_H
#define NN_KERNELS_CPU_H

#include "nn/error.h"

typedef enum NnIsa
{
	NN_ISA_PORTABLE,
	NN_ISA_AVX2,  /* AVX2 and FMA */
	NN_ISA_AVX512 /* AVX-512 F, BW, DQ, VL */
} NnIsa;

/* The best instruction set that this CPU and its operating system support. */
extern NnIsa nn_isa_best(void);

/* The instruction set in use: the best one unless nn_isa_force was called. */
extern NnIsa nn_isa(void);

/* Use these kernels from now on, for tests and comparisons.  NN_ERR_UNAVAILABLE: this CPU cannot run them. */
extern NnStatus nn_isa_force(NnIsa isa, NnError *error);

/* Its name for people: "AVX-512", "AVX2", "portable". */
extern const char *nn_isa_name(NnIsa isa);

#endif /* NN_KERNELS_CPU_H */
