/*
 * tile.h: the inner loop of convolutions and dense layers, of inference (affine.c) and of training (conv.c); not for
 * others.
 *
 * A tile of outputs, some pixels by some vectors of channels, stays in registers while the inputs run past: at each
 * step the vectors of weights are loaded, and every pixel's one input is broadcast and multiplied with them.
 */
#ifndef NN_KERNELS_TILE_H
#define NN_KERNELS_TILE_H

#include <stddef.h>

#include "nn/kernels/pack.h"
#include "nn/kernels/vec.h"

/* How many pixels by two vectors of channels the registers hold as sums: there are 32 registers, or 16. */
#if NN_LANES == 16 || defined(__aarch64__)
#define TILE_MAX NN_MAX_TILE
#else
#define TILE_MAX 6
#endif

#define TILE_VECS 8 /* vectors of channels at most, for a lone pixel */

/* Where the weights of each of a tile's vectors begin: those of channels from "channel" on. */
NN_INLINE void
tile_weights(const float *weights[TILE_VECS], const float *packed, size_t rows, int channel, int vecs)
{
	for (int v = 0; v < vecs; v++)
	{
		int first = channel + v * NN_LANES;

		weights[v] = packed + (size_t) (first / NN_BLOCK) * rows * NN_BLOCK + first % NN_BLOCK;
	}
}

/* Every pixel's sums begin with the bias. */
NN_INLINE void
tile_begin(const int pixels, const int vecs, vec (*sum)[TILE_VECS], const float *bias)
{
	NN_UNROLL
	for (int t = 0; t < pixels; t++)
	{
		NN_UNROLL
		for (int v = 0; v < vecs; v++)
			sum[t][v] = vec_load(bias + v * NN_LANES);
	}
}

/*
 * Add a run of len inputs times weights; a pixel's run begins "pixel" floats after that of the one before.  The
 * weights are left behind the run.  pixels and vecs are constants where this is inlined.
 */
NN_INLINE void
tile_run(const int pixels, const int vecs, vec (*sum)[TILE_VECS], const float *in, const size_t pixel, int len,
		 const float *weights[TILE_VECS])
{
	for (int k = 0; k < len; k++)
	{
		vec w[TILE_VECS];

		NN_UNROLL
		for (int v = 0; v < vecs; v++)
		{
			w[v] = vec_load(weights[v]);
			weights[v] += NN_BLOCK;
		}
		NN_UNROLL
		for (int t = 0; t < pixels; t++)
		{
			vec x = vec_splat(in[(size_t) t * pixel + (size_t) k]);

			NN_UNROLL
			for (int v = 0; v < vecs; v++)
				sum[t][v] = vec_fma(x, w[v], sum[t][v]);
		}
	}
}

#endif /* NN_KERNELS_TILE_H */
