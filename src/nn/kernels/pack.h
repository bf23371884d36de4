/*
 * pack.h: how the weights of convolutions and dense layers lie, for inference and for training.
 */
#ifndef NN_KERNELS_PACK_H
#define NN_KERNELS_PACK_H

/*
 * Weights are packed in blocks of this many output channels, (Cout / NN_BLOCK, rows, NN_BLOCK), where a row is the
 * weights of one input of the kernel; the last block is filled up with zeros, and so is the bias.
 */
#define NN_BLOCK 16

/* The widest tile of outputs that any kernel computes at once. */
#define NN_MAX_TILE 14

#endif /* NN_KERNELS_PACK_H */
