/*
 * pack.h: the layout of the weights of convolutions and dense layers, for inference and training.
 */
#ifndef NN_KERNELS_PACK_H
#define NN_KERNELS_PACK_H

/*
 * Weights are packed in blocks of this many output channels, (Cout / NN_BLOCK, rows, NN_BLOCK).  A row has the
 * weights of one input of the kernel.  The last block and the bias are padded with zeros.
 */
#define NN_BLOCK 16

/* The widest tile of outputs that any kernel computes at once. */
#define NN_MAX_TILE 14

#endif /* NN_KERNELS_PACK_H */
