/*
 * affine.c: convolution and dense layers of inference, with the ReLU and pooling that follow.
 *
 * A tile of outputs, some pixels by one or two vectors of channels, stays in registers while the inputs run past:
 * at each step the vectors of weights are loaded, and every pixel's one input is broadcast and multiplied with
 * them.  A lone pixel (one image's dense layer) has up to eight vectors of channels instead, so that there are always
 * enough independent sums to hide the latency of a multiply-add.  Weights pass once for all pixels of a tile,
 * inputs once for all its channels, and outputs are written once, pooled.
 *
 * The tiles are in affine_kernels.h, compiled for each instruction set.
 */
#include "nn/kernels/affine.h"

#include <math.h>

#if defined(__aarch64__)
#include <arm_neon.h>
#endif

#define WIDE_VECS 8 /* vectors of channels for a lone pixel */

/* What a tile needs besides the operation: where it is. */
typedef struct Tile
{
	const float *in;				 /* inputs of its first pixel */
	const float *weights[WIDE_VECS]; /* of each vector of channels */
	const float *bias;				 /* of its first channel */
	float *out;						 /* its first channel, first column, in its row of outputs */
	int x;							 /* its first pixel, before pooling */
	int y;
	int channels; /* real channels from its first on */
} Tile;

typedef void (*TileFunction)(const NnAffine *op, const Tile *tile);

#define NN_KERNELS "affine_kernels.h"
#include "nn/kernels/each_isa.h"

void
nn_affine(const NnAffine *op, const float *in, const float *weights, const float *bias, float *out)
{
	NN_DISPATCH(affine)(op, in, weights, bias, out);
}
