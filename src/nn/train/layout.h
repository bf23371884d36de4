/*
 * layout.h: maps, and memory for what lies in them.
 */
#ifndef NN_TRAIN_LAYOUT_H
#define NN_TRAIN_LAYOUT_H

#include <stddef.h>

#include "nn/kernels/map.h"

/* Memory handed out piece by piece; with base NULL it is only counted. */
typedef struct NnArena
{
	char *base;
	size_t used;
} NnArena;

/* The next piece, aligned to NN_ALIGN. */
extern void *nn_arena_take(NnArena *arena, size_t bytes);

/*
 * A map of the given shape with a border of pad_h rows above and below and pad_w columns left and right, and
 * "more" rows below and columns right.
 */
extern NnMap nn_map(int h, int w, int c, int stride, int pad_h, int pad_w, int more);

#endif /* NN_TRAIN_LAYOUT_H */
