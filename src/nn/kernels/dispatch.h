/*
 * dispatch.h: calling the kernels that fit this CPU.
 *
 * An operation's kernels are one .c file, which the Makefile compiles once for each instruction set (see vec.h).  Its
 * header declares each entry point for all instruction sets with NN_KERNEL.  It also defines a function of the same
 * name, which calls the one for this CPU through NN_DISPATCH.  So one binary runs on any CPU.  Architectures other
 * than x86-64 have only the portable kernels.
 */
#ifndef NN_KERNELS_DISPATCH_H
#define NN_KERNELS_DISPATCH_H

#include "nn/kernels/cpu.h"

#if defined(__x86_64__)
#define NN_KERNEL(type, name, parameters)   \
	extern type name##_portable parameters; \
	extern type name##_avx2 parameters;     \
	extern type name##_avx512 parameters
#define NN_DISPATCH(name) \
	(nn_isa() == NN_ISA_AVX512 ? name##_avx512 : nn_isa() == NN_ISA_AVX2 ? name##_avx2 : name##_portable)
#else
#define NN_KERNEL(type, name, parameters) extern type name##_portable parameters
#define NN_DISPATCH(name) name##_portable
#endif

#endif /* NN_KERNELS_DISPATCH_H */
