/*
 * gemm.c: the built-in matrix product.
 *
 * A panel of op(b), GEMM_DEPTH rows of two vectors, is copied to the stack.  Each tile of GEMM_ROWS rows of c stays
 * in registers while the loop runs over the panel; remaining rows are computed one by one.
 */
#include "nn/kernels/gemm.h"
#include "nn/kernels/vec.h"

#include <string.h>

#define GEMM_ROWS (NN_LANES == 16 ? 12 : 6)
#define GEMM_DEPTH 256

/* One tile: tile (rows, 2 * NN_LANES) += a (rows, depth) * panel (depth, 2 * NN_LANES). */
NN_INLINE void
gemm_tile(float *tile, const float *a, size_t a_row, size_t a_column, const float *panel, int depth, const int rows)
{
	vec acc[12][2];

	NN_UNROLL
	for (int r = 0; r < rows; r++)
	{
		acc[r][0] = vec_load(tile + r * 2 * NN_LANES);
		acc[r][1] = vec_load(tile + (r * 2 + 1) * NN_LANES);
	}
	for (int k = 0; k < depth; k++, a += a_column, panel += 2 * NN_LANES)
	{
		vec b0 = vec_load(panel);
		vec b1 = vec_load(panel + NN_LANES);

		NN_UNROLL
		for (int r = 0; r < rows; r++)
		{
			vec x = vec_splat(a[(size_t) r * a_row]);

			acc[r][0] += x * b0;
			acc[r][1] += x * b1;
		}
	}
	NN_UNROLL
	for (int r = 0; r < rows; r++)
	{
		vec_store(tile + r * 2 * NN_LANES, acc[r][0]);
		vec_store(tile + (r * 2 + 1) * NN_LANES, acc[r][1]);
	}
}

/* Copy rows [k, k + depth) and columns [j, j + width) of op(b) to the panel; its other columns become zero. */
static void
gemm_pack(float *panel, bool transpose, const float *b, int ldb, int k, int depth, int j, int width)
{
	for (int r = 0; r < depth; r++, panel += 2 * NN_LANES)
	{
		for (int c = 0; c < 2 * NN_LANES; c++)
			panel[c] = c >= width  ? 0.0f
					   : transpose ? b[(size_t) (j + c) * ldb + k + r]
								   : b[(size_t) (k + r) * ldb + j + c];
	}
}

void
NN_FN(nn_gemm)(bool transpose_a, bool transpose_b, int m, int n, int depth, const float *a, int lda, const float *b,
			   int ldb, float beta, float *c, int ldc)
{
	float panel[GEMM_DEPTH * 2 * NN_LANES] __attribute__((aligned(64)));
	float tile[12 * 2 * NN_LANES] __attribute__((aligned(64)));
	size_t a_row = transpose_a ? 1 : (size_t) lda;
	size_t a_column = transpose_a ? (size_t) lda : 1;

	for (int j = 0; j < n; j += 2 * NN_LANES)
	{
		int width = n - j < 2 * NN_LANES ? n - j : 2 * NN_LANES;

		for (int k = 0; k < depth; k += GEMM_DEPTH)
		{
			int chunk = depth - k < GEMM_DEPTH ? depth - k : GEMM_DEPTH;
			bool fresh = k == 0 && beta == 0.0f;

			gemm_pack(panel, transpose_b, b, ldb, k, chunk, j, width);
			for (int i = 0; i < m; i += GEMM_ROWS)
			{
				int rows = m - i < GEMM_ROWS ? m - i : GEMM_ROWS;
				const float *block = a + i * a_row + k * a_column;

				memset(tile, 0, sizeof(tile));
				for (int r = 0; r < rows && !fresh; r++)
					memcpy(tile + r * 2 * NN_LANES, c + (size_t) (i + r) * ldc + j, width * sizeof(float));
				if (rows == GEMM_ROWS)
					gemm_tile(tile, block, a_row, a_column, panel, chunk, GEMM_ROWS);
				else
				{
					for (int r = 0; r < rows; r++)
						gemm_tile(tile + r * 2 * NN_LANES, block + r * a_row, a_row, a_column, panel, chunk, 1);
				}
				for (int r = 0; r < rows; r++)
					memcpy(c + (size_t) (i + r) * ldc + j, tile + r * 2 * NN_LANES, width * sizeof(float));
			}
		}
	}
}
