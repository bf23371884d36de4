/*
 * network_fixture.h: shared by the tests of networks: aligned memory, images, networks from their text, and plans.
 */
#ifndef NETWORK_FIXTURE_H
#define NETWORK_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "nn/infer/plan.h"
#include "nn/nn.h"

/* Memory aligned for the kernels.  The caller frees it. */
extern void *allocate(size_t size);

/* Fill n bytes with random pixels, some of them 0. */
extern void fill_images(uint8_t *pixels, size_t n, uint64_t seed);

/* The network of a description that must be valid. */
extern NnNet parse(const char *text);

/* A plan of the network with these values.  The caller frees it. */
extern NnPlan *make_plan(const NnNet *net, const float *values);

/* Use an instruction set that this machine must have. */
extern void force_isa(int isa);

#endif /* NETWORK_FIXTURE_H */
