/*
 * winograd_train.c: 3 x 3 convolution by Winograd's minimal filtering F(2 x 2, 3 x 3) (Lavin and Gray 2016).
 *
 * With the weights g and a 4 x 4 tile d of the input, a 2 x 2 tile of the output is A^T [(G g G^T) * (B^T d B)] A:
 * 16 multiplications instead of 36.  For all tiles and channels together these are 16 matrix products, one for each
 * point of the transformed tiles: (tiles, Cin) x (Cin, Cout).  Each is a convolution of one row with a 1 x 1 kernel,
 * which the kernels of conv.c compute, so only the transforms are needed besides.  They cost little.  Their factors
 * are 1 and 1/2, so the rounding error is about that of the direct sum.
 *
 * The gradient of the input is the same with flipped, transposed weights.  The gradient of the weights is G^T [sum
 * over tiles (B^T d B) * (A dy A^T)] G: 16 products (Cin, tiles) x (tiles, Cout).
 *
 * If a map has an odd size, its last tiles reach one row or column beyond it.  The maps have that row and column, of
 * zeros (nn_map's "more"), and outputs there are not written.
 */
#include "nn/train/winograd_train.h"
#include "nn/kernels/conv.h"
#include "nn/kernels/winograd_train.h"

#include <string.h>

#define POINTS 16
#define TAPS 9
#define MIN_TILES 48 /* with fewer rows in a matrix product, loading the weights costs too much */

/* Tiles of n images of h x w outputs.  Each plane is a cache line longer, so that the 16 use different cache sets. */
static NnWinogradTiles
make_tiles(int h, int w, int in_stride, int out_stride, int n)
{
	NnWinogradTiles tiles;
	size_t count;

	tiles.down = (h + 1) / 2;
	tiles.across = (w + 1) / 2;
	count = (size_t) n * tiles.down * tiles.across;
	tiles.in_plane = count * in_stride + NN_GRAIN;
	tiles.out_plane = count * out_stride + NN_GRAIN;
	return tiles;
}

/* How many images of h x w outputs to take at once. */
static int
images_at_once(int h, int w)
{
	int tiles = ((h + 1) / 2) * ((w + 1) / 2);

	return (MIN_TILES + tiles - 1) / tiles;
}

bool
nn_winograd_train_fits(const NnLayer *layer)
{
	return layer->kernel_h == 3 && layer->kernel_w == 3 && layer->in_c >= NN_GRAIN && layer->out_c >= NN_GRAIN;
}

void
nn_winograd_train_init(NnTrainOp *op, NnArena *arena)
{
	const NnLayer *layer = op->layer;
	size_t in_stride = (size_t) op->in.stride;
	size_t out_stride = (size_t) op->out.stride;
	size_t larger = in_stride > out_stride ? in_stride : out_stride;
	size_t matrix = layer->in_c * out_stride;
	int n = images_at_once(layer->out_h, layer->out_w);
	int m = images_at_once(layer->in_h, layer->in_w);
	NnWinogradTiles forward = make_tiles(layer->out_h, layer->out_w, (int) larger, (int) larger, n);
	NnWinogradTiles backward = make_tiles(layer->in_h, layer->in_w, (int) larger, (int) larger, m);
	size_t plane = forward.in_plane > backward.in_plane ? forward.in_plane : backward.in_plane;
	size_t matrix_flipped = layer->out_c * in_stride;

	op->packed = nn_arena_take(arena, POINTS * matrix * sizeof(float));
	op->flipped = nn_arena_take(arena, POINTS * matrix_flipped * sizeof(float));
	op->dweight = nn_arena_take(arena, POINTS * matrix * sizeof(float));
	op->plain = nn_arena_take(arena, TAPS * (matrix > matrix_flipped ? matrix : matrix_flipped) * sizeof(float));
	op->in_points = nn_arena_take(arena, POINTS * plane * sizeof(float));
	op->out_points = nn_arena_take(arena, POINTS * plane * sizeof(float));
}

void
nn_winograd_train_begin(NnTrainOp *op, const float *values)
{
	const NnLayer *layer = op->layer;
	const float *weights = values + layer->weight;
	int cin = layer->in_c;
	int cout = layer->out_c;
	int in_stride = op->in.stride;
	int out_stride = op->out.stride;

	for (int r = 0; r < TAPS * cin; r++)
	{
		memcpy(op->plain + (size_t) r * out_stride, weights + (size_t) r * cout, cout * sizeof(float));
		memset(op->plain + (size_t) r * out_stride + cout, 0, (out_stride - cout) * sizeof(float));
	}
	nn_winograd_weights_to_points(op->packed, op->plain, cin, out_stride);

	for (int k = 0; k < TAPS; k++)
	{
		const float *tap = weights + (size_t) (TAPS - 1 - k) * cin * cout;

		for (int o = 0; o < cout; o++)
		{
			float *row = op->plain + ((size_t) k * cout + o) * in_stride;

			for (int i = 0; i < in_stride; i++)
				row[i] = i < cin ? tap[(size_t) i * cout + o] : 0.0f;
		}
	}
	nn_winograd_weights_to_points(op->flipped, op->plain, cout, in_stride);
	memset(op->dweight, 0, POINTS * (size_t) cin * out_stride * sizeof(float));
}

/* The arguments of one point's product, a convolution of one row of tiles. */
static NnConvArgs
product_args(const NnTrainOp *op, const NnWinogradTiles *tiles, int n, int in_stride, int cin, int out_stride)
{
	NnConvArgs args;

	memset(&args, 0, sizeof(args));
	args.bias = op->zero;
	args.height = 1;
	args.width = n * tiles->down * tiles->across;
	args.out_c = out_stride;
	args.cin = cin;
	args.kernel_h = args.kernel_w = 1;
	args.in_px = in_stride;
	args.out_px = out_stride;
	return args;
}

/* out = in * weights + bias for n images; in points to the first number that the first tile reads. */
static void
convolve(const NnTrainOp *op, float *out, const NnMap *out_map, const float *in, const NnMap *in_map, int cin,
		 const float *weights, const float *bias, int n)
{
	int step = images_at_once(out_map->h, out_map->w);

	for (int first = 0; first < n; first += step)
	{
		int count = n - first < step ? n - first : step;
		NnWinogradTiles tiles = make_tiles(out_map->h, out_map->w, in_map->stride, out_map->stride, count);
		NnConvArgs args = product_args(op, &tiles, count, in_map->stride, cin, out_map->stride);

		nn_winograd_to_points(&tiles, op->in_points, in + first * in_map->image, in_map, count);
		for (int p = 0; p < POINTS; p++)
		{
			args.in = op->in_points + p * tiles.in_plane;
			args.out = op->out_points + p * tiles.out_plane;
			args.weight = weights + (size_t) p * cin * out_map->stride;
			nn_conv_product(&args, 1);
		}
		nn_winograd_from_points(&tiles, out + first * out_map->image, out_map, op->out_points, bias, count);
	}
}

void
nn_winograd_train_forward(NnTrainOp *op, float *out, const float *in, int n)
{
	const NnLayer *layer = op->layer;

	convolve(op, out, &op->out, in - layer->pad_h * op->in.row - (size_t) layer->pad_w * op->in.stride, &op->in,
			 layer->in_c, op->packed, op->bias, n);
}

void
nn_winograd_train_backward(NnTrainOp *op, float *din, const float *in, const float *dout, int n)
{
	const NnLayer *layer = op->layer;
	const float *corner = in - layer->pad_h * op->in.row - (size_t) layer->pad_w * op->in.stride;
	int step = images_at_once(layer->out_h, layer->out_w);

	for (int first = 0; first < n; first += step)
	{
		int count = n - first < step ? n - first : step;
		NnWinogradTiles tiles = make_tiles(layer->out_h, layer->out_w, op->in.stride, op->out.stride, count);
		NnConvArgs args = product_args(op, &tiles, count, op->in.stride, layer->in_c, op->out.stride);

		nn_winograd_to_points(&tiles, op->in_points, corner + first * op->in.image, &op->in, count);
		nn_winograd_gradient_to_points(&tiles, op->out_points, dout + first * op->dout.image, &op->dout, count);
		for (int p = 0; p < POINTS; p++)
		{
			args.in = op->in_points + p * tiles.in_plane;
			args.out = op->out_points + p * tiles.out_plane;
			nn_conv_outer_product(&args, op->dweight + (size_t) p * layer->in_c * op->out.stride, 1);
		}
	}
	convolve(op, din, &op->din,
			 dout - (size_t) (2 - layer->pad_h) * op->dout.row - (size_t) (2 - layer->pad_w) * op->dout.stride,
			 &op->dout, layer->out_c, op->flipped, op->zero, n);
}

const float *
nn_winograd_train_finish(const NnTrainOp *op)
{
	nn_winograd_weights_from_points(op->plain, op->dweight, (size_t) op->layer->in_c * op->out.stride);
	return op->plain;
}
