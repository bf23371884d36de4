/*
 * winograd.c: F(2x2, 3x3) and F(4x4, 3x3) of Lavin and Gray 2016, "Fast algorithms for convolutional neural
 * networks".
 *
 * A tile of m x m outputs is computed from n x n inputs, n = m + 2, with n * n multiplications for each pair of
 * channels instead of 9 * m * m: 16 instead of 36, or 36 instead of 144.  Inputs are transformed by a few additions.
 * Kernels are transformed once, when the plan is built.  Each of the n * n elements is then a matrix product
 * (tiles, Cin) x (Cin, Cout), which nn_affine computes, and the sums are transformed back.  The edges of tiles are
 * also edges of pooling windows of 2.
 *
 * The transforms evaluate polynomials at the points 0, -a, a and infinity for m = 2, and also at -b and b for
 * m = 4.  Tiles of both sizes share the transformed kernels: the four points of m = 2 are among the six of m = 4, and
 * only the output's transform has the divisors of the interpolation.  So rows and columns of the output are divided
 * into fours, and one or two that are left over become a two.  Tiles are then 4 x 4, 4 x 2, 2 x 4 or 2 x 2, and the
 * product of an element has one row for each tile that has both of its points.
 *
 * With a * b = 1 the powers of the points stay near 1, which keeps the rounding error small.  a = 1/sqrt(2) and
 * b = sqrt(2) have a smaller error than the usual 1 and 2; it is a few times that of the direct sum.  Barabasz et al.
 * 2020, "Error analysis and improving the accuracy of Winograd convolution", discuss the choice.
 */
#include "nn/infer/winograd.h"
#include "nn/kernels/winograd.h"
#include "nn/nn.h"

/* The transforms of an element cost about as much as this many multiply-adds, with loads and stores; measured. */
#define TRANSFORM_COST 6

/* The inputs of an edge tile outside the map; also the bias of the products. */
static const float zeros[NN_MAX_CHANNELS];

/* Divide n outputs into tiles of at most m. */
static NnDivision
divide(int n, int m)
{
	NnDivision division = {0, (n + 1) / 2};

	if (m == 4)
	{
		division.fours = (n + 1) / 4; /* a remainder of three becomes a four, too */
		division.all = division.fours + (n - 4 * division.fours > 0 ? 1 : 0);
	}
	return division;
}

/* How many tiles of a division have point i, in the order of the transforms: all have the first four points. */
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

/* The cost of tiles of at most m x m outputs, in multiply-adds. */
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
