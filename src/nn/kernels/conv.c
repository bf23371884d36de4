/*
 * conv.c: the convolution of training: forward, gradient of the input, gradients of weights and bias.
 *
 * Forward works in tiles (tile.h) of up to TILE_MAX neighbouring pixels of one output row times one, two or four
 * vectors of output channels.  Because channels are last, the kernel's columns and input channels are one contiguous
 * run of the input row.  The gradient of the input is the same with flipped and transposed weights.
 *
 * For the gradient of the weights, a tile is one position of the kernel, up to TILE_MAX input channels times one or
 * two vectors of output channels.  It stays in registers while the loop runs over all pixels of a few images.
 *
 * Inference (affine.c) has the same packed weights and the same inner loop (tile.h), but its own loops around it.  It
 * takes one image, or the rows of a dense layer, and applies ReLU and pooling to each tile in registers.  Training
 * must store the numbers before ReLU and pooling, and walks over groups of images whose maps have borders and padded
 * channels.  Four input strides are frequent, and each has its own copy of the tile functions.  With strides known
 * only at run time a training step of the default network was 1 to 2 % slower, little more than the noise: 2,790
 * images a second against 2,814 in batches of 64, 2,762 against 2,814 in batches of 128 (AVX-512, medians of five
 * runs, in turn).
 */
#include "nn/kernels/conv.h"
#include "nn/kernels/tile.h"
#include "nn/kernels/vec.h"

#include <stdbool.h>

/* The longest rows, in pixels, that are computed in tiles of four vectors of channels. */
#if NN_LANES == 16
#define WIDE_MAX 6
#else
#define WIDE_MAX 0
#endif

/* Vectors of channels to take at once when "left" channels remain (a multiple of 16), for rows of "width" pixels. */
static int
choose_vectors(int left, int width)
{
	if (width <= WIDE_MAX && left >= 4 * NN_LANES)
		return 4;
	return left >= 2 * NN_LANES ? 2 : 1;
}

/* One tile: pixels x (vectors * NN_LANES) channels.  in_px is a constant for the frequent strides. */
NN_INLINE void
conv_tile(const NnConvArgs *a, float *out, const float *in, const float *const *packed, const float *bias,
		  size_t in_px, const int pixels, const int vectors)
{
	vec sum[TILE_MAX][TILE_VECS];
	const float *weights[TILE_VECS];
	bool runs = (size_t) a->cin == in_px;
	int length = runs ? a->kernel_w * a->cin : a->cin;
	int nruns = runs ? 1 : a->kernel_w;

	NN_UNROLL
	for (int v = 0; v < vectors; v++)
		weights[v] = packed[v];
	tile_begin(pixels, vectors, sum, bias);
	for (int ky = 0; ky < a->kernel_h; ky++)
	{
		for (int r = 0; r < nruns; r++)
			tile_run(pixels, vectors, sum, in + (size_t) ky * a->in_row + (size_t) r * in_px, in_px, length, weights);
	}
	NN_UNROLL
	for (int p = 0; p < pixels; p++)
	{
		NN_UNROLL
		for (int v = 0; v < vectors; v++)
			vec_store(out + (size_t) p * a->out_px + v * NN_LANES, sum[p][v]);
	}
}

typedef void (*TileFunction)(const NnConvArgs *a, float *out, const float *in, const float *const *weight,
							 const float *bias, int pixels);

/* The tile functions of one input stride, so that the compiler sees both it and the number of pixels as constants. */
#define TILE_CASE(P, STRIDE, VECTORS)                            \
	case P:                                                      \
		conv_tile(a, out, in, weight, bias, STRIDE, P, VECTORS); \
		break;
#if TILE_MAX > 6
#define TILE_REST(STRIDE, VECTORS) \
	TILE_CASE(7, STRIDE, VECTORS)  \
	TILE_CASE(8, STRIDE, VECTORS)  \
	TILE_CASE(9, STRIDE, VECTORS)  \
	TILE_CASE(10, STRIDE, VECTORS) \
	TILE_CASE(11, STRIDE, VECTORS) \
	TILE_CASE(12, STRIDE, VECTORS) TILE_CASE(13, STRIDE, VECTORS) TILE_CASE(14, STRIDE, VECTORS)
#else
#define TILE_REST(STRIDE, VECTORS)
#endif
#define TILE_FUNCTION(NAME, STRIDE, VECTORS, REST)                                                         \
	static void NAME(const NnConvArgs *a, float *out, const float *in, const float *const *weight,         \
					 const float *bias, int pixels)                                                        \
	{                                                                                                      \
		switch (pixels)                                                                                    \
		{                                                                                                  \
			TILE_CASE(1, STRIDE, VECTORS)                                                                  \
			TILE_CASE(2, STRIDE, VECTORS)                                                                  \
			TILE_CASE(3, STRIDE, VECTORS)                                                                  \
			TILE_CASE(4, STRIDE, VECTORS) TILE_CASE(5, STRIDE, VECTORS) TILE_CASE(6, STRIDE, VECTORS) REST \
		}                                                                                                  \
	}

TILE_FUNCTION(tile1_any, a->in_px, 1, TILE_REST(a->in_px, 1))
TILE_FUNCTION(tile2_any, a->in_px, 2, TILE_REST(a->in_px, 2))
TILE_FUNCTION(tile2_16, 16, 2, TILE_REST(16, 2))
TILE_FUNCTION(tile2_32, 32, 2, TILE_REST(32, 2))
TILE_FUNCTION(tile2_64, 64, 2, TILE_REST(64, 2))
TILE_FUNCTION(tile2_128, 128, 2, TILE_REST(128, 2))
#if WIDE_MAX > 0
TILE_FUNCTION(tile4_any, a->in_px, 4, )
#endif

/* A convolution of n images.  The loops, from outside: channels of a tile, images, rows, tiles. */
void
NN_FN(nn_conv_product)(const NnConvArgs *a, int n)
{
	const size_t rows = (size_t) a->kernel_h * (size_t) a->kernel_w * (size_t) a->cin;
	int ntiles = (a->width + TILE_MAX - 1) / TILE_MAX;
	int c = 0;

	while (c < a->out_c)
	{
		int vectors = choose_vectors(a->out_c - c, a->width);
		const float *weight[TILE_VECS];
		TileFunction tile = tile1_any;

		if (vectors == 2)
			tile = a->in_px == 16	 ? tile2_16
				   : a->in_px == 32	 ? tile2_32
				   : a->in_px == 64	 ? tile2_64
				   : a->in_px == 128 ? tile2_128
									 : tile2_any;
#if WIDE_MAX > 0
		if (vectors == 4)
			tile = tile4_any;
#endif
		tile_weights(weight, a->weight, rows, c, vectors);
		for (int i = 0; i < n; i++)
		{
			for (int y = 0; y < a->height; y++)
			{
				const float *in = a->in + i * a->in_image + y * a->in_row;
				float *out = a->out + i * a->out_image + y * a->out_row + c;
				int x = 0;

				for (int t = 0; t < ntiles; t++)
				{
					int end = a->width * (t + 1) / ntiles;

					tile(a, out + x * a->out_px, in + x * a->in_px, weight, a->bias + c, end - x);
					x = end;
				}
			}
		}
		c += vectors * NN_LANES;
	}
}

/* Add n images to a tile of the weights' gradient: "channels" of the input x (vectors * NN_LANES) of dout. */
NN_INLINE void
outer_tile(const NnConvArgs *a, float *dweight, const float *in, const float *dout, int n, const int channels,
		   const int vectors)
{
	vec acc[TILE_MAX][2];

	NN_UNROLL
	for (int p = 0; p < channels; p++)
	{
		NN_UNROLL
		for (int v = 0; v < vectors; v++)
			acc[p][v] = vec_load(dweight + (size_t) p * a->out_c + v * NN_LANES);
	}
	for (int i = 0; i < n; i++)
	{
		for (int y = 0; y < a->height; y++)
		{
			const float *x = in + i * a->in_image + y * a->in_row;
			const float *d = dout + i * a->out_image + y * a->out_row;

			for (int j = 0; j < a->width; j++, x += a->in_px, d += a->out_px)
			{
				vec g[2];

				NN_UNROLL
				for (int v = 0; v < vectors; v++)
					g[v] = vec_load(d + v * NN_LANES);
				NN_UNROLL
				for (int p = 0; p < channels; p++)
				{
					vec b = vec_splat(x[p]);

					NN_UNROLL
					for (int v = 0; v < vectors; v++)
						acc[p][v] += b * g[v];
				}
			}
		}
	}
	NN_UNROLL
	for (int p = 0; p < channels; p++)
	{
		NN_UNROLL
		for (int v = 0; v < vectors; v++)
			vec_store(dweight + (size_t) p * a->out_c + v * NN_LANES, acc[p][v]);
	}
}

#define OUTER_CASE(P, VECTORS)                           \
	case P:                                              \
		outer_tile(a, dweight, in, dout, n, P, VECTORS); \
		break;
#if TILE_MAX > 6
#define OUTER_REST(VECTORS) \
	OUTER_CASE(7, VECTORS)  \
	OUTER_CASE(8, VECTORS)  \
	OUTER_CASE(9, VECTORS)  \
	OUTER_CASE(10, VECTORS) \
	OUTER_CASE(11, VECTORS) OUTER_CASE(12, VECTORS) OUTER_CASE(13, VECTORS) OUTER_CASE(14, VECTORS)
#else
#define OUTER_REST(VECTORS)
#endif
#define OUTER_FUNCTION(NAME, VECTORS)                                                                              \
	static void NAME(const NnConvArgs *a, float *dweight, const float *in, const float *dout, int n, int channels) \
	{                                                                                                              \
		switch (channels)                                                                                          \
		{                                                                                                          \
			OUTER_CASE(1, VECTORS)                                                                                 \
			OUTER_CASE(2, VECTORS)                                                                                 \
			OUTER_CASE(3, VECTORS)                                                                                 \
			OUTER_CASE(4, VECTORS) OUTER_CASE(5, VECTORS) OUTER_CASE(6, VECTORS) OUTER_REST(VECTORS)               \
		}                                                                                                          \
	}

OUTER_FUNCTION(outer1, 1)
OUTER_FUNCTION(outer2, 2)

/* dweight (kernel_h, kernel_w, cin, out_c) += in x dout over images [0, n); a->out is dout. */
void
NN_FN(nn_conv_outer_product)(const NnConvArgs *a, float *dweight, int n)
{
	int ntiles = (a->cin + TILE_MAX - 1) / TILE_MAX;

	for (int k = 0; k < a->kernel_h * a->kernel_w; k++)
	{
		const float *in = a->in + k / a->kernel_w * a->in_row + k % a->kernel_w * a->in_px;
		int from = 0;

		for (int t = 0; t < ntiles; t++)
		{
			int end = a->cin * (t + 1) / ntiles;
			float *dw = dweight + ((size_t) k * a->cin + from) * a->out_c;
			int c = 0;

			while (c < a->out_c)
			{
				int vectors = a->out_c - c >= 2 * NN_LANES ? 2 : 1;

				(vectors == 2 ? outer2 : outer1)(a, dw + c, in + from, a->out + c, n, end - from);
				c += vectors * NN_LANES;
			}
			from = end;
		}
	}
}

/* dbias (out_c) += dout, summed over the pixels of images [0, n). */
void
NN_FN(nn_conv_bias_gradient)(const NnConvArgs *a, float *dbias, int n)
{
	for (int c = 0; c < a->out_c; c += NN_LANES)
	{
		vec even = vec_load(dbias + c);
		vec odd = vec_splat(0.0f);

		for (int i = 0; i < n; i++)
		{
			for (int y = 0; y < a->height; y++)
			{
				const float *d = a->out + i * a->out_image + y * a->out_row + c;
				int x = 0;

				for (; x + 1 < a->width; x += 2, d += 2 * a->out_px)
				{
					even += vec_load(d);
					odd += vec_load(d + a->out_px);
				}
				if (x < a->width)
					even += vec_load(d);
			}
		}
		vec_store(dbias + c, even + odd);
	}
}
