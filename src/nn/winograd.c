/*
 * winograd.c: F(2x2, 3x3) of Lavin and Gray 2016, "Fast algorithms for convolutional neural networks".
 *
 * A tile of 2 x 2 outputs is computed from 4 x 4 inputs with 16 multiplications for each pair of channels instead of
 * 36.  Inputs are transformed by additions alone, kernels once, when the plan is made; each of the 16 elements then
 * is a product of matrices, tiles by channels in times channels out, which is what nn_affine computes; and the sums
 * are transformed back.  The tile is also what a pooling of 2 takes its maximum of.
 *
 * The numbers grow little on the way (at this size the transforms add up no more than four of them), so that
 * rounding is of the same order as that of the direct sum.
 */
#include "winograd.h"

#include <math.h>

/* Where an edge tile reaches over the input; also the bias of the products. */
static const float zeros[NN_MAX_CHANNELS];

/* Tiles in a row and rows of tiles: the last ones may stick out. */
static int
tiles_w(const NnAffine *op)
{
	return (op->width + 1) / 2;
}

static int
tiles_h(const NnAffine *op)
{
	return (op->height + 1) / 2;
}

#define NN_KERNELS "winograd_kernels.h"
#include "each_isa.h"

bool
nn_winograd_suits(const NnAffine *op, int kernel_w)
{
	int64_t fast = (int64_t) tiles_h(op) * tiles_w(op) * NN_WINOGRAD_TILE;
	int64_t direct = (int64_t) op->height * op->width * 9;

	return op->rows == 3 && kernel_w == 3 && op->in_pixel % NN_BLOCK == 0 && op->channels % NN_BLOCK == 0 &&
		   op->pool <= 2 && 4 * fast < 3 * direct;
}

size_t
nn_winograd_work(const NnAffine *op)
{
	return (size_t) NN_WINOGRAD_TILE * (size_t) tiles_h(op) * (size_t) tiles_w(op) *
		   (op->in_pixel + (size_t) op->channels);
}

void
nn_winograd_kernel(const double *kernel, double *u)
{
	static const double g[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};

	for (int i = 0; i < 4; i++)
	{
		for (int j = 0; j < 4; j++)
		{
			double sum = 0;

			for (int y = 0; y < 3; y++)
			{
				for (int x = 0; x < 3; x++)
					sum += g[i][y] * kernel[y * 3 + x] * g[j][x];
			}
			u[i * 4 + j] = sum;
		}
	}
}

void
nn_winograd(const NnAffine *op, const float *in, const float *weights, const float *bias, float *out, float *work)
{
	const int tiles = tiles_h(op) * tiles_w(op);
	const int cin = (int) op->in_pixel;
	const size_t in_plane = (size_t) tiles * (size_t) cin;
	const size_t out_plane = (size_t) tiles * (size_t) op->channels;
	const NnAffine product = {
		.rows = 1,
		.len = cin,
		.height = 1,
		.width = tiles,
		.channels = op->channels,
		.pool = 1,
		.in_pixel = (size_t) cin,
		.out_pixel = (size_t) op->channels,
	};
	float *sums = work + NN_WINOGRAD_TILE * in_plane;

	NN_DISPATCH(winograd_in)(op, in, work);
	for (int i = 0; i < NN_WINOGRAD_TILE; i++)
		nn_affine(&product, work + (size_t) i * in_plane, weights + (size_t) i * (size_t) cin * (size_t) op->channels,
				  zeros, sums + (size_t) i * out_plane);
	NN_DISPATCH(winograd_out)(op, sums, bias, out);
}
