/*
 * nn.h: a small convolutional network library.
 *
 * Plain C11: no PostgreSQL, no threads, no I/O.  The caller provides all memory (naive.c, for tests, allocates some).
 * The only global state is the choice of kernels for the CPU and of the BLAS library.  Functions that can fail return
 * an NnStatus and fill in an NnError, whose message reads like a PostgreSQL primary message: lower case, no full
 * stop.
 *
 * Shapes.  Images are 28 x 28, one channel.  Activations are channels-last, (N, H, W, C).  Convolution weights
 * are (KH, KW, Cin, Cout), dense weights (in, out): both are (fan-in, Cout) matrices, row-major.  A dense layer
 * flattens its input in (H, W, C) order.
 *
 * A network's numbers are one flat vector of floats, "values".  First come the nparams trainable parameters, layer by
 * layer: weights, then bias; for batch norm gamma, then beta.  The running statistics follow: for each batch norm the
 * mean, then the variance.  A gradient is a vector of the same length.  Its tail has the batch's statistics, so
 * averaging gradients over processes averages the statistics, too.
 */
#ifndef NN_H
#define NN_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

#include "nn/error.h"

#define NN_SIDE 28
#define NN_PIXELS (NN_SIDE * NN_SIDE)
#define NN_CLASSES 10
#define NN_HIDDEN 4 /* numbers that summarise the output of the last hidden layer, see infer/forward.h */

/* Limits of networks; exceeding one is an error before anything is allocated. */
#define NN_MAX_TEXT 2048 /* bytes in a network's description */
#define NN_MAX_LAYERS 64
#define NN_MAX_CHANNELS 1024						  /* channels of a convolution */
#define NN_MAX_UNITS 4096							  /* units of a dense layer */
#define NN_MAX_VALUES (4 * 1024 * 1024)				  /* floats in "values" */
#define NN_MAX_FILE (NN_MAX_VALUES * 4 + 1024 * 1024) /* bytes of a blob or a file, headers included */
#define NN_MAX_ACTIVATIONS (1024 * 1024)			  /* floats of one layer's output for one image */
#define NN_MAX_MACS (200 * 1000 * 1000)				  /* multiply-adds of one image's forward pass */
#define NN_BN_EPSILON 1e-5f							  /* added to a batch norm's variance */
#define NN_ALIGN 64 /* alignment of every block of memory that the caller provides */

/* The class with the highest score (NN_CLASSES probabilities or logits); the lowest class in a tie. */
static inline int
nn_best_class(const float *scores)
{
	int best = 0;

	for (int c = 1; c < NN_CLASSES; c++)
	{
		if (scores[c] > scores[best])
			best = c;
	}
	return best;
}

typedef enum NnLayerKind
{
	NN_CONV,	  /* "conv OUT KHxKW [same|valid]", default valid; has a bias; stride 1 */
	NN_BATCHNORM, /* "bn" */
	NN_RELU,	  /* "relu" */
	NN_MAXPOOL,	  /* "maxpool P": PxP window, stride P, floor */
	NN_DROPOUT,	  /* "dropout RATE", 0 <= RATE < 1 */
	NN_DENSE	  /* "dense UNITS"; the last layer of all is "dense 10" */
} NnLayerKind;

typedef struct NnLayer
{
	NnLayerKind kind;
	int in_h, in_w, in_c; /* input shape; after a dense layer: 1, 1, units */
	int out_h, out_w, out_c;
	int kernel_h, kernel_w; /* NN_CONV */
	int pad_h, pad_w;		/* NN_CONV: zero rows and columns on each side (same: (K-1)/2, odd K only) */
	int pool;				/* NN_MAXPOOL */
	float rate;				/* NN_DROPOUT */
	size_t weight;			/* offset in values of weights or gamma */
	size_t nweight;			/* number of weights or gammas; 0 for layers without parameters */
	size_t bias;			/* offset in values of bias or beta, out_c floats */
	size_t mean;			/* NN_BATCHNORM: offset of the running means, out_c floats */
	size_t var;				/* NN_BATCHNORM: offset of the running variances, out_c floats */
} NnLayer;

typedef struct NnNet
{
	int nlayers;
	NnLayer layers[NN_MAX_LAYERS];
	size_t nparams; /* trainable */
	size_t nvalues; /* nparams + running statistics */
	size_t macs;	/* multiply-adds of one image's forward pass */
} NnNet;

/* The description of a named architecture (softmax, mlp, lenet5, keras_cnn, default), or NULL. */
extern const char *nn_preset(const char *name);

/* The name of the i-th named architecture, or NULL past the end. */
extern const char *nn_preset_name(int i);

/* Parse a description or the name of an architecture (len bytes, need not be terminated) into *net. */
extern NnStatus nn_net_parse(NnNet *net, const char *text, size_t len, NnError *error);

/* Write the canonical description, which parses back to the same net; returns its length (< NN_MAX_TEXT * 2). */
extern size_t nn_net_format(const NnNet *net, char *out, size_t size);

/* He-normal weights, zero biases, gamma 1, beta 0, mean 0, variance 1. */
extern void nn_net_init(const NnNet *net, float *values, uint64_t seed);

#endif /* NN_H */
