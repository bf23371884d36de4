/*
 * winograd.c: F(2x2, 3x3) and F(4x4, 3x3) of Lavin and Gray 2016, "Fast algorithms for convolutional neural networks".
 *
 * A tile of m x m outputs is computed from n x n inputs, n = m + 2, with n * n multiplications for each pair of channels
 * instead of 9 * m * m: 16 for 36, or 36 for 144.  Inputs are transformed by a few additions, kernels once, when the
 * plan is made; each of the n * n elements then is a product of matrices, tiles by channels in times channels out, which
 * is what nn_affine computes; and the sums are transformed back.  The tiles' edges are also edges of pooling windows of 2.
 *
 * The transforms evaluate polynomials at 0, infinity and, in pairs, at the points -1 and 1 (m = 2) or -a, a, -b, b
 * (m = 4).  With a * b = 1 the powers stay near 1 on both sides, and with them the rounding: a = 1/sqrt(2), b = sqrt(2)
 * has the smaller error than the usual 1 and 2 (Barabasz et al. 2020, "Error analysis and improving the accuracy of
 * Winograd convolution", say why), a few times that of the direct sum.
 */
#include "winograd.h"

#include <math.h>

#define POINT_A M_SQRT1_2
#define POINT_B M_SQRT2
#define MAX_TILE 6 /* n of the larger one */

/* Multiply-adds that an element's share of the transforms is worth, loads and stores included; measured. */
#define TRANSFORM_COST 6

/* Where an edge tile reaches over the input; also the bias of the products. */
static const float zeros[NN_MAX_CHANNELS];

/* Tiles in a row and rows of tiles: the last ones may stick out. */
static int
tiles_w(const NnAffine *op, int m)
{
	return (op->width + m - 1) / m;
}

static int
tiles_h(const NnAffine *op, int m)
{
	return (op->height + m - 1) / m;
}

#define NN_KERNELS "winograd_kernels.h"
#include "each_isa.h"

/* What tiles of m x m cost, in multiply-adds. */
static double
cost(const NnAffine *op, int m)
{
	double elements = (double) tiles_h(op, m) * tiles_w(op, m) * (m + 2) * (m + 2);
	double cin = (double) op->in_pixel;

	return elements * (cin * op->channels + TRANSFORM_COST * (cin + op->channels));
}

int
nn_winograd_tile(const NnAffine *op, int kernel_w)
{
	double direct = (double) op->height * op->width * 9 * (double) op->in_pixel * op->channels;
	int m;

	if (op->rows != 3 || kernel_w != 3 || op->in_pixel % NN_BLOCK != 0 || op->channels % NN_BLOCK != 0 ||
		op->pool > 2)
		return 0;
	m = cost(op, 4) < cost(op, 2) ? 4 : 2;
	return cost(op, m) < direct ? m : 0;
}

size_t
nn_winograd_work(const NnAffine *op, int m)
{
	return nn_winograd_elements(m) * (size_t) tiles_h(op, m) * (size_t) tiles_w(op, m) *
		   (op->in_pixel + (size_t) op->channels);
}

/* The rows of G for tiles of m: a kernel's value at each point, divided by the point's distances to the others. */
static void
kernel_transform(int m, double g[MAX_TILE][3])
{
	static const double points[2][2] = {{1.0, 0.0}, {POINT_A, POINT_B}};
	const double *at = points[m == 4];
	const int pairs = m / 2;
	double all = 1.0; /* distances of 0 to the others */

	for (int i = 0; i < pairs; i++)
	{
		double p = at[i];
		double distances = 2.0 * p * p;

		for (int j = 0; j < pairs; j++)
			if (j != i)
				distances *= p * p - at[j] * at[j];
		all *= -p * p;
		for (int k = 0; k < 3; k++)
		{
			g[2 * i + 1][k] = pow(p, k) / distances;
			g[2 * i + 2][k] = pow(-p, k) / distances;
		}
	}
	g[0][0] = 1.0 / all;
	g[0][1] = g[0][2] = 0.0;
	g[m + 1][0] = g[m + 1][1] = 0.0;
	g[m + 1][2] = 1.0;
}

void
nn_winograd_kernel(int m, const double *kernel, double *u)
{
	const int n = m + 2;
	double g[MAX_TILE][3];

	kernel_transform(m, g);
	for (int i = 0; i < n; i++)
	{
		for (int j = 0; j < n; j++)
		{
			double sum = 0;

			for (int y = 0; y < 3; y++)
			{
				for (int x = 0; x < 3; x++)
					sum += g[i][y] * kernel[y * 3 + x] * g[j][x];
			}
			u[i * n + j] = sum;
		}
	}
}

void
nn_winograd(const NnAffine *op, int m, const float *in, const float *weights, const float *bias, float *out,
			float *work)
{
	const int tiles = tiles_h(op, m) * tiles_w(op, m);
	const size_t elements = nn_winograd_elements(m);
	const size_t cin = op->in_pixel;
	const size_t in_plane = (size_t) tiles * cin;
	const size_t out_plane = (size_t) tiles * (size_t) op->channels;
	const NnAffine product = {
		.rows = 1,
		.len = (int) cin,
		.height = 1,
		.width = tiles,
		.channels = op->channels,
		.pool = 1,
		.in_pixel = cin,
		.out_pixel = (size_t) op->channels,
	};
	float *sums = work + elements * in_plane;

	if (m == 2)
		NN_DISPATCH(winograd_in_2)(op, in, work);
	else
		NN_DISPATCH(winograd_in_4)(op, in, work);
	for (size_t i = 0; i < elements; i++)
		nn_affine(&product, work + i * in_plane, weights + i * cin * (size_t) op->channels, zeros,
				  sums + i * out_plane);
	if (m == 2)
		NN_DISPATCH(winograd_out_2)(op, sums, bias, out);
	else
		NN_DISPATCH(winograd_out_4)(op, sums, bias, out);
}
