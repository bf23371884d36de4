/*
 * network_fixture.h: what the tests of networks share: aligned memory, images, networks from their text, and plans.
 */
#ifndef NETWORK_FIXTURE_H
#define NETWORK_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "nn/infer/plan.h"
#include "nn/nn.h"

/* Memory aligned for the kernels.  The caller frees it. */
extern void *allocate(size_t size);

/* Fill n bytes with pixels that are neither dense nor empty, different from image to image. */
extern void fill_images(uint8_t *pixels, size_t n, uint64_t seed);

/* The network of a text that must be valid. */
extern NnNet parse(const char *text);

/* A plan of the network with these values.  The caller frees it. */
extern NnPlan *make_plan(const NnNet *net, const float *values);

/* Use an instruction set that this machine must have. */
extern void force_isa(int isa);

#endif /* NETWORK_FIXTURE_H */
