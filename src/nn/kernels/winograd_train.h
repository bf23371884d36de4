/*
 * winograd_train.h: the transforms of training's Winograd convolution; see nn/train/winograd_train.c.
 */
#ifndef NN_KERNELS_WINOGRAD_TRAIN_H
#define NN_KERNELS_WINOGRAD_TRAIN_H

#include "nn/kernels/dispatch.h"
#include "nn/kernels/map.h"

/* The tiles of some images. */
typedef struct NnWinogradTiles
{
	int down;		  /* tiles in a column of an image */
	int across;		  /* tiles in a row of an image */
	size_t in_plane;  /* floats from one point of the transformed input to the next */
	size_t out_plane; /* the same for the output */
} NnWinogradTiles;

/* Transform all input tiles of n images; in points to the first number of the first tile, border included. */
NN_KERNEL(void, nn_winograd_to_points,
		  (const NnWinogradTiles *w, float *points, const float *in, const NnMap *map, int n));

static inline void
nn_winograd_to_points(const NnWinogradTiles *w, float *points, const float *in, const NnMap *map, int n)
{
	NN_DISPATCH(nn_winograd_to_points)(w, points, in, map, n);
}

/* Transform all tiles of the output's gradient for n images. */
NN_KERNEL(void, nn_winograd_gradient_to_points,
		  (const NnWinogradTiles *w, float *points, const float *dout, const NnMap *map, int n));

static inline void
nn_winograd_gradient_to_points(const NnWinogradTiles *w, float *points, const float *dout, const NnMap *map, int n)
{
	NN_DISPATCH(nn_winograd_gradient_to_points)(w, points, dout, map, n);
}

/* Compute all output tiles of n images, with the bias. */
NN_KERNEL(void, nn_winograd_from_points,
		  (const NnWinogradTiles *w, float *out, const NnMap *map, const float *points, const float *bias, int n));

static inline void
nn_winograd_from_points(const NnWinogradTiles *w, float *out, const NnMap *map, const float *points,
						const float *bias, int n)
{
	NN_DISPATCH(nn_winograd_from_points)(w, out, map, points, bias, n);
}

/*
 * (G g G^T): transform plain weights (9, rows, stride) to packed ones: for each of the 16 points a matrix (rows,
 * stride), packed as in pack.h.
 */
NN_KERNEL(void, nn_winograd_weights_to_points, (float *packed, const float *plain, int rows, int stride));

static inline void
nn_winograd_weights_to_points(float *packed, const float *plain, int rows, int stride)
{
	NN_DISPATCH(nn_winograd_weights_to_points)(packed, plain, rows, stride);
}

/* (G^T u G): transform the gradient of the 16 matrices (n numbers each) to that of the 9 plain ones. */
NN_KERNEL(void, nn_winograd_weights_from_points, (float *plain, const float *points, size_t n));

static inline void
nn_winograd_weights_from_points(float *plain, const float *points, size_t n)
{
	NN_DISPATCH(nn_winograd_weights_from_points)(plain, points, n);
}

#endif /* NN_KERNELS_WINOGRAD_TRAIN_H */
