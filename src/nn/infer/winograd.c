/*
 * winograd.c: F(2x2, 3x3) and F(4x4, 3x3) of Lavin and Gray 2016, "Fast algorithms for convolutional neural
 * networks".
 *
 * A tile of m x m outputs is computed from n x n inputs, n = m + 2, with n * n multiplications for each pair of
 * channels instead of 9 * m * m: 16 for 36, or 36 for 144.  Inputs are transformed by a few additions, kernels
 * once, when the plan is made; each of the n * n elements then is a product of matrices, tiles by channels in
 * times channels out, which is what nn_affine computes; and the sums are transformed back.  The tiles' edges are
 * also edges of pooling windows of 2.
 *
 * The transforms evaluate polynomials at the points 0, -a, a and infinity for m = 2, and also at -b and b for
 * m = 4.  That m = 2 has four of the six points of m = 4, and that the interpolation's divisors are part of the
 * output's transform alone, lets tiles of different m share transformed kernels.  So rows and columns are divided
 * into fours, and what is left over into a two where that suffices; tiles are then 4 x 4, 4 x 2, 2 x 4 or 2 x 2,
 * and an element's product has as many rows as there are tiles with its two points.
 *
 * With a * b = 1 powers stay near 1 on both sides, and with them the rounding: a = 1/sqrt(2), b = sqrt(2) has a
 * smaller error than the usual 1 and 2 (Barabasz et al. 2020, "Error analysis and improving the accuracy of
 * Winograd convolution", discuss the choice), a few times that of the direct sum.
 */
#include "nn/infer/winograd.h"
#include "nn/kernels/winograd.h"
#include "nn/nn.h"

/* Multiply-adds that an element's part of the transforms is worth, loads and stores included; measured. */
#define TRANSFORM_COST 6

/* Where an edge tile reaches over the input; also the bias of the products. */
static const float zeros[NN_MAX_CHANNELS];

/* Divide n outputs: into twos alone if m is 2. */
static NnDivision
divide(int n, int m)
{
	NnDivision division = {0, (n + 1) / 2};

	if (m == 4)
	{
		division.fours = (n + 1) / 4; /* three left over are as good as four */
		division.all = division.fours + (n - 4 * division.fours > 0 ? 1 : 0);
	}
	return division;
}

/* How many of a division have point i, of those in the order of the transforms: all have the first four. */
static int
having(const NnDivision *division, int i)
{
	return i < 4 ? division->all : division->fours;
}

static NnTiling
tile(const NnAffine *op, int m)
{
	NnTiling tiling = {.rows = divide(op->height, m), .columns = divide(op->width, m)};

	for (int i = 0; i < m + 2; i++)
	{
		for (int j = 0; j < m + 2; j++)
		{
			tiling.stride[j] = having(&tiling.columns, j);
			tiling.start[i][j] = tiling.total;
			tiling.total += having(&tiling.rows, i) * tiling.stride[j];
		}
	}
	return tiling;
}

/* What tiles of at most m x m cost, in multiply-adds. */
static double
cost(const NnAffine *op, int m)
{
	double cin = (double) op->in_pixel;

	return tile(op, m).total * (cin * op->channels + TRANSFORM_COST * (cin + op->channels));
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
	return (size_t) tile(op, m).total * (op->in_pixel + (size_t) op->channels);
}

void
nn_winograd_kernel(int m, const double *kernel, double *u)
{
	static const double a = NN_POINT_A;
	static const double b = NN_POINT_B;
	const double powers[NN_MAX_POINTS][3] = {{1, 0, 0}, {1, a, a * a}, {1, -a, a * a},
											 {0, 0, 1}, {1, b, b * b}, {1, -b, b * b}};
	const int n = m + 2;

	for (int i = 0; i < n; i++)
	{
		for (int j = 0; j < n; j++)
		{
			double sum = 0;

			for (int y = 0; y < 3; y++)
			{
				for (int x = 0; x < 3; x++)
					sum += powers[i][y] * kernel[y * 3 + x] * powers[j][x];
			}
			u[i * n + j] = sum;
		}
	}
}

void
nn_winograd(const NnAffine *op, int m, const float *in, const float *weights, const float *bias, float *out,
			float *work)
{
	const NnTiling tiling = tile(op, m);
	const size_t cin = op->in_pixel;
	const size_t cout = (size_t) op->channels;
	float *sums = work + (size_t) tiling.total * cin;
	NnAffine product = {
		.rows = 1,
		.len = (int) cin,
		.height = 1,
		.channels = op->channels,
		.pool = 1,
		.in_pixel = cin,
		.out_pixel = cout,
	};

	nn_winograd_in(op, &tiling, in, zeros, work);
	for (int i = 0; i < m + 2; i++)
	{
		for (int j = 0; j < m + 2; j++, weights += cin * cout)
		{
			const size_t start = (size_t) tiling.start[i][j];

			product.width = having(&tiling.rows, i) * having(&tiling.columns, j);
			if (product.width > 0)
				nn_affine(&product, work + start * cin, weights, zeros, sums + start * cout);
		}
	}
	nn_winograd_out(op, &tiling, sums, bias, out);
}
