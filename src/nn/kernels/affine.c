/*
 * affine.c: convolution and dense layers of inference, with the ReLU and pooling after them.
 *
 * A tile (tile.h) is some pixels by one or two vectors of channels.  A single pixel (the dense layer of one image)
 * has up to eight vectors of channels instead, so that there are always enough independent sums to hide the latency
 * of a multiply-add.  A weight is loaded once for all pixels of a tile, and an input once for all its channels.
 * Outputs are pooled before they are written.
 */
#include "nn/kernels/affine.h"
#include "nn/kernels/tile.h"
#include "nn/kernels/vec.h"

#include <math.h>

/* The position of a tile. */
typedef struct Tile
{
	const float *in;				 /* inputs of its first pixel */
	const float *weights[TILE_VECS]; /* of each vector of channels */
	const float *bias;				 /* of its first channel */
	float *out;						 /* its first channel in the first column of its row of outputs */
	int x;							 /* its first pixel, before pooling */
	int y;
	int channels; /* channels from its first on, without padding */
} Tile;

typedef void (*TileFunction)(const NnAffine *op, const Tile *tile);

/* The mask of the first n lanes, for loads and stores that touch no others. */
#if NN_LANES == 16
#define FIRST_LANES(n) ((__mmask16) ((1u << (n)) - 1))
#elif NN_LANES == 8
#define FIRST_LANES(n) _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
#endif

NN_INLINE vec
load_first(const float *p, int n)
{
#if NN_LANES == 16
	return (vec) _mm512_maskz_loadu_ps(FIRST_LANES(n), p);
#elif NN_LANES == 8
	return (vec) _mm256_maskload_ps(p, FIRST_LANES(n));
#else
	vec v = {0};

	for (int i = 0; i < n; i++)
		v[i] = p[i];
	return v;
#endif
}

NN_INLINE void
store_first(float *p, vec v, int n)
{
#if NN_LANES == 16
	_mm512_mask_storeu_ps(p, FIRST_LANES(n), (__m512) v);
#elif NN_LANES == 8
	_mm256_maskstore_ps(p, FIRST_LANES(n), (__m256) v);
#else
	for (int i = 0; i < n; i++)
		p[i] = v[i];
#endif
}

/* Finish a tile in the general case, slowly: any pooling, and channels that end within a vector. */
static __attribute__((noinline)) void
finish_any(const NnAffine *op, const Tile *tile, int pixels, int vecs, const float *sums)
{
	const vec least = vec_splat(op->relu ? 0.0f : -INFINITY);

	for (int t = 0; t < pixels; t++)
	{
		bool first = tile->y % op->pool == 0 && (tile->x + t) % op->pool == 0;

		for (int v = 0; v < vecs; v++)
		{
			float *out = tile->out + (size_t) ((tile->x + t) / op->pool) * op->out_pixel + v * NN_LANES;
			int n = tile->channels - v * NN_LANES;
			vec best = vec_max(vec_load(sums + (t * vecs + v) * NN_LANES), least);

			if (n > NN_LANES)
				n = NN_LANES;
			if (!first)
				best = vec_max(best, load_first(out, n));
			store_first(out, best, n);
		}
	}
}

/*
 * Finish a tile: ReLU and pooling are both maxima, so their order does not matter.  A pooled output is complete
 * when the last row of its window has been merged into it.
 */
NN_INLINE void
finish_tile(const NnAffine *op, const Tile *tile, const int pixels, const int vecs, vec (*sum)[TILE_VECS])
{
	const vec least = vec_splat(op->relu ? 0.0f : -INFINITY);
	bool whole = tile->channels >= vecs * NN_LANES;

	if (whole && op->pool == 1)
	{
		float *out = tile->out + (size_t) tile->x * op->out_pixel;

		NN_UNROLL
		for (int t = 0; t < pixels; t++)
		{
			NN_UNROLL
			for (int v = 0; v < vecs; v++)
				vec_store(out + v * NN_LANES, vec_max(sum[t][v], least));
			out += op->out_pixel;
		}
	}
	else if (whole && op->pool == 2 && pixels % 2 == 0)
	{
		float *out = tile->out + (size_t) (tile->x / 2) * op->out_pixel;
		bool merge = tile->y % 2 != 0;

		NN_UNROLL
		for (int t = 0; t + 1 < pixels; t += 2)
		{
			NN_UNROLL
			for (int v = 0; v < vecs; v++)
			{
				vec best = vec_max(sum[t][v], sum[t + 1][v]);

				best = vec_max(best, merge ? vec_load(out + v * NN_LANES) : least);
				vec_store(out + v * NN_LANES, best);
			}
			out += op->out_pixel;
		}
	}
	else
	{
		float sums[NN_MAX_TILE * 2 * NN_LANES];

		NN_UNROLL
		for (int t = 0; t < pixels; t++)
		{
			NN_UNROLL
			for (int v = 0; v < vecs; v++)
				vec_store(sums + (t * vecs + v) * NN_LANES, sum[t][v]);
		}
		finish_any(op, tile, pixels, vecs, sums);
	}
}

/* Compute a tile of pixels by vecs vectors; callers pass constants, and this is inlined. */
NN_INLINE void
run_tile(const NnAffine *op, const Tile *tile, const int pixels, const int vecs)
{
	vec sum[NN_MAX_TILE][TILE_VECS];
	const float *weights[TILE_VECS];
	const float *in = tile->in;

	NN_UNROLL
	for (int v = 0; v < vecs; v++)
		weights[v] = tile->weights[v];
	tile_begin(pixels, vecs, sum, tile->bias);
	for (int row = 0; row < op->rows; row++, in += op->in_row)
		tile_run(pixels, vecs, sum, in, op->in_pixel, op->len, weights);
	finish_tile(op, tile, pixels, vecs, sum);
}

/* clang-format off */
#define TILE(pixels, vecs) \
	static void tile_##pixels##_##vecs(const NnAffine *op, const Tile *tile) \
	{ \
		run_tile(op, tile, pixels, vecs); \
	}
#define PAIR(pixels) TILE(pixels, 1) TILE(pixels, 2)
#define ENTRY(pixels) {tile_##pixels##_1, tile_##pixels##_2}

TILE(1, 4) TILE(1, 8)
PAIR(1) PAIR(2) PAIR(3) PAIR(4) PAIR(5) PAIR(6)
#if TILE_MAX > 6
PAIR(7) PAIR(8) PAIR(9) PAIR(10) PAIR(11) PAIR(12) PAIR(13) PAIR(14)
#endif

/* Indexed by the number of pixels, then by one or two vectors. */
static const TileFunction tiles[TILE_MAX + 1][2] =
{
	{NULL, NULL}, ENTRY(1), ENTRY(2), ENTRY(3), ENTRY(4), ENTRY(5), ENTRY(6),
#if TILE_MAX > 6
	ENTRY(7), ENTRY(8), ENTRY(9), ENTRY(10), ENTRY(11), ENTRY(12), ENTRY(13), ENTRY(14),
#endif
};
/* clang-format on */

static TileFunction
choose_tile(int pixels, int vecs)
{
	if (vecs <= 2)
		return tiles[pixels][vecs - 1];
	return vecs == 4 ? tile_1_4 : tile_1_8;
}

/* The number of vectors of channels to take at once when "left" of them are left. */
static int
choose_vecs(int left, int width)
{
	if (width > 1 || left < 4)
		return left < 2 ? 1 : 2;
	return left < 8 ? 4 : 8;
}

/* Compute all outputs of some vectors of channels, row by row, in tiles of nearly equal width. */
static void
run_channels(const NnAffine *op, Tile *tile, int vecs, const float *in, float *out)
{
	const int unit = op->pool == 2 ? 2 : 1; /* pixels that must be in the same tile: a window of two */
	const int units = op->width / unit;
	const int ntiles = (units + TILE_MAX / unit - 1) / (TILE_MAX / unit);

	for (int y = 0; y < op->height; y++)
	{
		int x = 0;

		tile->y = y;
		tile->out = out + (size_t) (y / op->pool) * op->out_row;
		for (int i = 0; i < ntiles; i++)
		{
			int pixels = (units / ntiles + (i < units % ntiles ? 1 : 0)) * unit;

			tile->x = x;
			tile->in = in + (size_t) y * op->in_row + (size_t) x * op->in_pixel;
			choose_tile(pixels, vecs)(op, tile);
			x += pixels;
		}
	}
}

void
NN_FN(nn_affine)(const NnAffine *op, const float *in, const float *weights, const float *bias, float *out)
{
	const size_t rows = (size_t) op->rows * (size_t) op->len;
	int vecs;

	for (int channel = 0; channel < op->channels; channel += vecs * NN_LANES)
	{
		Tile tile = {.bias = bias + channel, .channels = op->channels - channel};

		vecs = choose_vecs((tile.channels + NN_LANES - 1) / NN_LANES, op->width);
		tile_weights(tile.weights, weights, rows, channel, vecs);
		run_channels(op, &tile, vecs, in, out + channel);
	}
}
