/*
 * map.h: where the numbers of a batch of images lie in training.
 *
 * The channels of a pixel lie next to each other, padded to a multiple of NN_GRAIN floats, so that kernels have no
 * remainder to handle.  The padding is zero and stays zero.  A map may have a border of zero pixels, which is written
 * once, so that a convolution need not check where an image ends.  Every pointer to a map's data points to the first
 * pixel of the first image inside the border.
 */
#ifndef NN_KERNELS_MAP_H
#define NN_KERNELS_MAP_H

#include <stddef.h>

#define NN_GRAIN 16 /* floats: the widest vector */
#define NN_STRIDE(c) (((c) + NN_GRAIN - 1) / NN_GRAIN * NN_GRAIN)

typedef struct NnMap
{
	int h, w, c;
	int stride;	   /* floats from one pixel to the next */
	size_t row;	   /* floats from one row to the next */
	size_t image;  /* floats from one image to the next */
	size_t origin; /* floats of border before the first pixel */
} NnMap;

#endif /* NN_KERNELS_MAP_H */
