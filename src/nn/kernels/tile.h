/*
 * tile.h: the inner loop of convolutions and dense layers, for inference (affine.c) and training (conv.c) only.
 *
 * A tile of outputs, some pixels by some vectors of channels, stays in registers while the loop runs over the inputs.
 * Each step loads the vectors of weights, broadcasts one input of every pixel and multiplies it with them.
 */
#ifndef NN_KERNELS_TILE_H
#define NN_KERNELS_TILE_H

#include <stddef.h>

#include "nn/kernels/pack.h"
#include "nn/kernels/vec.h"

/* The most pixels whose sums, two vectors of channels each, fit into the 32 or 16 vector registers. */
#if NN_LANES == 16 || defined(__aarch64__)
#define TILE_MAX NN_MAX_TILE
#else
#define TILE_MAX 6
#endif

#define TILE_VECS 8 /* most vectors of channels, for a single pixel */

/* Find the start of the weights of each of a tile's vectors, for channels from "channel" on. */
NN_INLINE void
tile_weights(const float *weights[TILE_VECS], const float *packed, size_t rows, int channel, int vecs)
{
	for (int v = 0; v < vecs; v++)
	{
		int first = channel + v * NN_LANES;

		weights[v] = packed + (size_t) (first / NN_BLOCK) * rows * NN_BLOCK + first % NN_BLOCK;
	}
}

/* Set every pixel's sums to the bias. */
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
 * Add a run of len inputs times weights.  The runs of neighbouring pixels begin "pixel" floats apart.  On return,
 * weights point behind the run.  Callers pass constants as pixels and vecs, and this is inlined.
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
