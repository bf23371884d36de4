/*
 * cpu.c: which kernels this CPU can run.
 */
#include "nn/kernels/cpu.h"

#define ISA_UNKNOWN (-1)

/* The result of nn_isa(), set by its first call.  No lock is needed: processes that use nn have one thread. */
static int isa_in_use = ISA_UNKNOWN;

NnIsa
nn_isa_best(void)
{
#if defined(__x86_64__)
	/* These also ask the operating system whether it saves the wide registers. */
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx2") &&
		__builtin_cpu_supports("fma"))
		return NN_ISA_AVX512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return NN_ISA_AVX2;
#endif
	return NN_ISA_PORTABLE;
}

NnIsa
nn_isa(void)
{
	if (isa_in_use == ISA_UNKNOWN)
		isa_in_use = (int) nn_isa_best();
	return (NnIsa) isa_in_use;
}

NnStatus
nn_isa_force(NnIsa isa, NnError *error)
{
	if (isa > nn_isa_best())
		return nn_fail(error, NN_ERR_UNAVAILABLE, "this CPU has no %s", nn_isa_name(isa));
	nn_error_clear(error);
	isa_in_use = (int) isa;
	return NN_OK;
}

const char *
nn_isa_name(NnIsa isa)
{
	switch (isa)
	{
		case NN_ISA_AVX512:
			return "AVX-512";
		case NN_ISA_AVX2:
			return "AVX2";
		case NN_ISA_PORTABLE:
			break;
	}
	return "portable";
}
