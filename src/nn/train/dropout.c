/*
 * dropout.c: inverted dropout (Srivastava et al. 2014): numbers that are kept are multiplied by 1 / (1 - rate).
 *
 * The mask is a function of the step's seed, the layer and the image's place in the batch.  It is not stored:
 * backward draws it again.
 */
#include "nn/train/dropout.h"
#include "util/rng.h"

void
nn_dropout(const NnTrainOp *op, float *out, const NnMap *out_map, const float *in, const NnMap *in_map, int n,
		   int first, uint64_t key)
{
	uint32_t threshold = (uint32_t) (op->layer->rate * 65536.0f);
	float factor = 1.0f / (1.0f - op->layer->rate);

	for (int i = 0; i < n; i++)
	{
		Rng rng = rng_start(rng_key(key, (uint64_t) (first + i)));

		for (int y = 0; y < in_map->h; y++)
		{
			for (int x = 0; x < in_map->w; x++)
			{
				const float *from = in + i * in_map->image + y * in_map->row + (size_t) x * in_map->stride;
				float *to = out + i * out_map->image + y * out_map->row + (size_t) x * out_map->stride;

				for (int c = 0; c < in_map->c; c += 4)
				{
					uint64_t draw = rng_next(&rng);

					for (int k = 0; k < 4 && c + k < in_map->c; k++)
						to[c + k] = ((draw >> (16 * k)) & 0xffff) >= threshold ? from[c + k] * factor : 0.0f;
				}
			}
		}
	}
}
