/*
 * layout.h: maps of a batch's numbers, and memory for them.
 */
#ifndef NN_TRAIN_LAYOUT_H
#define NN_TRAIN_LAYOUT_H

#include <stddef.h>

#include "nn/kernels/map.h"

/* Memory that is handed out piece by piece; with base NULL it is only counted. */
typedef struct NnArena
{
	char *base;
	size_t used;
} NnArena;

/* The next piece, aligned to NN_ALIGN. */
extern void *nn_arena_take(NnArena *arena, size_t bytes);

/*
 * A map of the given shape.  Its border has pad_h rows above and below, pad_w columns on the left and right, and
 * "more" additional rows below and columns on the right.
 */
extern NnMap nn_map(int h, int w, int c, int stride, int pad_h, int pad_w, int more);

#endif /* NN_TRAIN_LAYOUT_H */
