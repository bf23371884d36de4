/*
 * network_fixture.c: see network_fixture.h.
 */
#include "network_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "nn/kernels/cpu.h"
#include "util/rng.h"

void *
allocate(size_t size)
{
	void *memory = aligned_alloc(NN_ALIGN, (size + NN_ALIGN - 1) / NN_ALIGN * NN_ALIGN);

	assert_non_null(memory);
	return memory;
}

void
fill_images(uint8_t *pixels, size_t n, uint64_t seed)
{
	Rng rng = rng_start(seed);

	for (size_t i = 0; i < n; i++)
		pixels[i] = rng_below(&rng, 3) == 0 ? (uint8_t) rng_below(&rng, 256) : 0;
}

NnNet
parse(const char *text)
{
	NnNet net;
	NnError error;

	if (nn_net_parse(&net, text, strlen(text), &error) != NN_OK)
		fail_msg("%s: %s", text, error.message);
	assert_int_equal(error.status, NN_OK);
	return net;
}

NnPlan *
make_plan(const NnNet *net, const float *values)
{
	NnPlan *plan = allocate(nn_plan_size(net));

	nn_plan_build(plan, net, values);
	return plan;
}

void
force_isa(int isa)
{
	NnError error;

	assert_int_equal(nn_isa_force((NnIsa) isa, &error), NN_OK);
	assert_int_equal(nn_isa(), isa);
}
