/*
 * winograd_train.c: the transforms of training's Winograd convolution; see nn/train/winograd_train.c.
 *
 * The functions work on one vector of channels at a time.  A transformed tile's 16 numbers lie "plane" floats apart.
 */
#include "nn/kernels/winograd_train.h"
#include "nn/kernels/pack.h"
#include "nn/kernels/vec.h"

#include <stdbool.h>

/* (B^T d B): transform a 4 x 4 tile of the input to its 16 points. */
NN_INLINE void
input_tile(float *points, size_t plane, const float *in, size_t row, size_t px)
{
	vec t[4][4];

	NN_UNROLL
	for (int x = 0; x < 4; x++)
	{
		vec d0 = vec_load(in + (size_t) x * px);
		vec d1 = vec_load(in + row + (size_t) x * px);
		vec d2 = vec_load(in + 2 * row + (size_t) x * px);
		vec d3 = vec_load(in + 3 * row + (size_t) x * px);

		t[0][x] = d0 - d2;
		t[1][x] = d1 + d2;
		t[2][x] = d2 - d1;
		t[3][x] = d1 - d3;
	}
	NN_UNROLL
	for (int y = 0; y < 4; y++)
	{
		float *p = points + (size_t) y * 4 * plane;

		vec_store(p, t[y][0] - t[y][2]);
		vec_store(p + plane, t[y][1] + t[y][2]);
		vec_store(p + 2 * plane, t[y][2] - t[y][1]);
		vec_store(p + 3 * plane, t[y][1] - t[y][3]);
	}
}

/* (A d A^T): transform a 2 x 2 tile of the output's gradient to its 16 points. */
NN_INLINE void
gradient_tile(float *points, size_t plane, const float *dout, size_t row, size_t px)
{
	vec t[4][2];

	NN_UNROLL
	for (int x = 0; x < 2; x++)
	{
		vec d0 = vec_load(dout + (size_t) x * px);
		vec d1 = vec_load(dout + row + (size_t) x * px);

		t[0][x] = d0;
		t[1][x] = d0 + d1;
		t[2][x] = d0 - d1;
		t[3][x] = -d1;
	}
	NN_UNROLL
	for (int y = 0; y < 4; y++)
	{
		float *p = points + (size_t) y * 4 * plane;

		vec_store(p, t[y][0]);
		vec_store(p + plane, t[y][0] + t[y][1]);
		vec_store(p + 2 * plane, t[y][0] - t[y][1]);
		vec_store(p + 3 * plane, -t[y][1]);
	}
}

/* (A^T m A + bias): transform 16 points to a 2 x 2 tile of the output, of which rows x columns lie in the map. */
NN_INLINE void
output_tile(float *out, size_t row, size_t px, const float *points, size_t plane, vec bias, int rows, int columns)
{
	vec t[2][4];

	NN_UNROLL
	for (int x = 0; x < 4; x++)
	{
		const float *p = points + (size_t) x * plane;
		vec m0 = vec_load(p);
		vec m1 = vec_load(p + 4 * plane);
		vec m2 = vec_load(p + 8 * plane);
		vec m3 = vec_load(p + 12 * plane);

		t[0][x] = m0 + m1 + m2;
		t[1][x] = m1 - m2 - m3;
	}
	vec_store(out, t[0][0] + t[0][1] + t[0][2] + bias);
	if (columns > 1)
		vec_store(out + px, t[0][1] - t[0][2] - t[0][3] + bias);
	if (rows > 1)
	{
		vec_store(out + row, t[1][0] + t[1][1] + t[1][2] + bias);
		if (columns > 1)
			vec_store(out + row + px, t[1][1] - t[1][2] - t[1][3] + bias);
	}
}

/* Transform all tiles of n images: of the output's gradient or of the input.  Callers pass a constant "gradient". */
NN_INLINE void
tiles_to_points(const NnWinogradTiles *w, float *points, const float *tiles, const NnMap *map, int n,
				const bool gradient)
{
	for (int i = 0; i < n * w->down; i++)
	{
		const float *row = tiles + i / w->down * map->image + (size_t) (i % w->down) * 2 * map->row;

		for (int x = 0; x < w->across; x++, points += map->stride, row += 2 * map->stride)
		{
			for (int c = 0; c < map->stride; c += NN_LANES)
			{
				if (gradient)
					gradient_tile(points + c, w->out_plane, row + c, map->row, map->stride);
				else
					input_tile(points + c, w->in_plane, row + c, map->row, map->stride);
			}
		}
	}
}

/* Transform all input tiles of n images; in points to the first number of the first tile, border included. */
void
NN_FN(nn_winograd_to_points)(const NnWinogradTiles *w, float *points, const float *in, const NnMap *map, int n)
{
	tiles_to_points(w, points, in, map, n, false);
}

/* Transform all tiles of the output's gradient for n images. */
void
NN_FN(nn_winograd_gradient_to_points)(const NnWinogradTiles *w, float *points, const float *dout, const NnMap *map,
									  int n)
{
	tiles_to_points(w, points, dout, map, n, true);
}

/* Compute all output tiles of n images, with the bias. */
void
NN_FN(nn_winograd_from_points)(const NnWinogradTiles *w, float *out, const NnMap *map, const float *points,
							   const float *bias, int n)
{
	for (int i = 0; i < n * w->down; i++)
	{
		int y = i % w->down * 2;
		float *row = out + i / w->down * map->image + (size_t) y * map->row;

		for (int x = 0; x < map->w; x += 2, points += map->stride, row += 2 * map->stride)
		{
			for (int c = 0; c < map->stride; c += NN_LANES)
				output_tile(row + c, map->row, map->stride, points + c, w->out_plane, vec_load(bias + c), map->h - y,
							map->w - x);
		}
	}
}

/*
 * (G g G^T): transform plain weights (9, rows, stride) to packed ones: for each of the 16 points a matrix (rows,
 * stride), packed as in pack.h.
 */
void
NN_FN(nn_winograd_weights_to_points)(float *packed, const float *plain, int rows, int stride)
{
	size_t matrix = (size_t) rows * stride;

	for (int first = 0; first < stride; first += NN_BLOCK)
	{
		for (int r = 0; r < rows; r++)
		{
			for (int c = 0; c < NN_BLOCK; c += NN_LANES)
			{
				const float *g = plain + (size_t) r * stride + first + c;
				float *to = packed + (size_t) first * rows + (size_t) r * NN_BLOCK + c;
				vec t[4][3];

				NN_UNROLL
				for (int x = 0; x < 3; x++)
				{
					vec g0 = vec_load(g + (size_t) x * matrix);
					vec g1 = vec_load(g + (size_t) (3 + x) * matrix);
					vec g2 = vec_load(g + (size_t) (6 + x) * matrix);

					t[0][x] = g0;
					t[1][x] = (g0 + g1 + g2) * 0.5f;
					t[2][x] = (g0 - g1 + g2) * 0.5f;
					t[3][x] = g2;
				}
				NN_UNROLL
				for (int y = 0; y < 4; y++)
				{
					float *p = to + (size_t) y * 4 * matrix;

					vec_store(p, t[y][0]);
					vec_store(p + matrix, (t[y][0] + t[y][1] + t[y][2]) * 0.5f);
					vec_store(p + 2 * matrix, (t[y][0] - t[y][1] + t[y][2]) * 0.5f);
					vec_store(p + 3 * matrix, t[y][2]);
				}
			}
		}
	}
}

/* (G^T u G): transform the gradient of the 16 matrices (n numbers each) to that of the 9 plain ones. */
void
NN_FN(nn_winograd_weights_from_points)(float *plain, const float *points, size_t n)
{
	for (size_t i = 0; i < n; i += NN_LANES)
	{
		vec t[3][4];

		NN_UNROLL
		for (int x = 0; x < 4; x++)
		{
			vec u0 = vec_load(points + (size_t) x * n + i);
			vec u1 = vec_load(points + (size_t) (4 + x) * n + i);
			vec u2 = vec_load(points + (size_t) (8 + x) * n + i);
			vec u3 = vec_load(points + (size_t) (12 + x) * n + i);

			t[0][x] = u0 + (u1 + u2) * 0.5f;
			t[1][x] = (u1 - u2) * 0.5f;
			t[2][x] = (u1 + u2) * 0.5f + u3;
		}
		NN_UNROLL
		for (int y = 0; y < 3; y++)
		{
			float *p = plain + (size_t) y * 3 * n + i;

			vec_store(p, t[y][0] + (t[y][1] + t[y][2]) * 0.5f);
			vec_store(p + n, (t[y][1] - t[y][2]) * 0.5f);
			vec_store(p + 2 * n, (t[y][1] + t[y][2]) * 0.5f + t[y][3]);
		}
	}
}
