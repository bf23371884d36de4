/*
 * layout.c: maps of a batch's numbers, and memory for them.
 */
#include "nn/train/layout.h"
#include "nn/nn.h"

void *
nn_arena_take(NnArena *arena, size_t bytes)
{
	char *piece = arena->base != NULL ? arena->base + arena->used : NULL;

	arena->used += (bytes + NN_ALIGN - 1) / NN_ALIGN * NN_ALIGN;
	return piece;
}

NnMap
nn_map(int h, int w, int c, int stride, int pad_h, int pad_w, int more)
{
	NnMap map;

	map.h = h;
	map.w = w;
	map.c = c;
	map.stride = stride;
	map.row = (size_t) stride * (w + 2 * pad_w + more);
	map.image = map.row * (h + 2 * pad_h + more);
	map.origin = map.row * pad_h + (size_t) stride * pad_w;
	return map;
}
