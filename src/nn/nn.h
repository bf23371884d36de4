/*
 * nn.h: a small convolutional network library.
 *
 * Plain C11: no PostgreSQL, no threads, no I/O, no allocation of its own (the caller hands in memory), no
 * global state but the choice of kernels for the CPU.  Functions that can fail return an NnStatus and fill
 * in an NnError, whose message reads like a PostgreSQL primary message: lower case, no full stop.
 *
 * Shapes.  Images are 28 x 28, one channel.  Activations are channels-last, (N, H, W, C).  Convolution weights
 * are (KH, KW, Cin, Cout), dense weights (in, out): both are (fan-in, Cout) matrices, row-major.  A dense layer
 * flattens its input in (H, W, C) order.
 *
 * A network's numbers are one flat vector of floats, "values": first the nparams trainable parameters, layer by
 * layer (weights, then bias; for batch norm: gamma, then beta), then the nstats running statistics (for each batch
 * norm: mean, then variance).  A gradient is a vector of the same length: its tail carries the batch's statistics,
 * so that averaging gradients over processes averages these too.
 */
#ifndef NN_H
#define NN_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

#define NN_SIDE 28
#define NN_PIXELS (NN_SIDE * NN_SIDE)
#define NN_CLASSES 10
#define NN_HIDDEN 4 /* numbers that the last hidden layer is boiled down to */

/* Limits on what is parsed; everything beyond is an error before anything is allocated. */
#define NN_MAX_TEXT 2048 /* bytes in a network's description */
#define NN_MAX_LAYERS 64
#define NN_MAX_CHANNELS 1024						  /* channels of a convolution */
#define NN_MAX_UNITS 4096							  /* units of a dense layer */
#define NN_MAX_VALUES (4 * 1024 * 1024)				  /* floats in "values" */
#define NN_MAX_FILE (NN_MAX_VALUES * 4 + 1024 * 1024) /* bytes of them as a blob or a file, headers included */
#define NN_MAX_ACTIVATIONS (1024 * 1024)			  /* floats of one layer's output for one image */
#define NN_MAX_MACS (200 * 1000 * 1000)				  /* multiply-adds of one image's forward pass */
#define NN_BN_EPSILON 1e-5f							  /* added to a batch norm's variance */
#define NN_ALIGN 64 /* alignment of every block of memory that the caller hands in */

typedef enum NnStatus
{
	NN_OK = 0,
	NN_ERR_SYNTAX,	   /* a description that cannot be parsed, or shapes that do not fit */
	NN_ERR_LIMIT,	   /* well formed, but beyond a limit above */
	NN_ERR_CORRUPT,	   /* a blob that is truncated, of the wrong magic, or fails its checksum */
	NN_ERR_VERSION,	   /* a blob of a format version that this code does not know */
	NN_ERR_UNAVAILABLE /* what was asked for does not exist on this machine (kernels, BLAS) */
} NnStatus;

typedef struct NnError
{
	NnStatus status;
	char message[256]; /* primary message: lower case, no full stop */
} NnError;

/* The most probable class of probabilities (NN_CLASSES); of several the lowest. */
static inline int
nn_best_class(const float *probabilities)
{
	int best = 0;

	for (int c = 1; c < NN_CLASSES; c++)
	{
		if (probabilities[c] > probabilities[best])
			best = c;
	}
	return best;
}

/* ---- description: net.c ---- */

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
	size_t nweight;			/* how many; 0 for layers without parameters */
	size_t bias;			/* offset of bias or beta, out_c of them */
	size_t mean;			/* NN_BATCHNORM: offset of the running mean, out_c of them */
	size_t var;				/* NN_BATCHNORM: offset of the running variance */
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

/* The i-th preset's name, or NULL past the end. */
extern const char *nn_preset_name(int i);

/* Parse a description (len bytes, need not be terminated) or a preset's name into *net. */
extern NnStatus nn_net_parse(NnNet *net, const char *text, size_t len, NnError *error);

/* Write the canonical description, which parses back to the same net; returns its length (< NN_MAX_TEXT * 2). */
extern size_t nn_net_format(const NnNet *net, char *out, size_t size);

/* He-normal weights, zero biases, gamma 1, beta 0, mean 0, variance 1. */
extern void nn_net_init(const NnNet *net, float *values, uint64_t seed);

/* ---- weights as bytes: blob.c ---- */

/*
 * Self-describing: magic, format version, checksum, the canonical description, the values as little-endian
 * float32.  The same net and values give the same bytes.
 */
extern size_t nn_blob_size(const NnNet *net);
extern void nn_blob_write(const NnNet *net, const float *values, void *blob);

/* Check everything about a blob and parse its description; *values then points into it (may be unaligned). */
extern NnStatus nn_blob_read(const void *blob, size_t size, NnNet *net, const void **values, NnError *error);

/* Copy the values found by nn_blob_read to out (net->nvalues floats), in the machine's byte order. */
extern void nn_blob_values(const NnNet *net, const void *values, float *out);

/* ---- for other programs: onnx.c, safetensors.c ---- */

/* Where a model comes from, for its file. */
typedef struct NnOrigin
{
	const char *software_version; /* of mnist_hil */
	int64_t model_version;
} NnOrigin;

/*
 * An ONNX model (operator set 13): "image" float (N, 1, 28, 28), a pixel of 0..255 divided by 255; "probabilities"
 * float (N, 10).  The same net, values and origin give the same bytes.
 */
extern size_t nn_onnx_size(const NnNet *net, const NnOrigin *origin);
extern void nn_onnx_write(const NnNet *net, const float *values, const NnOrigin *origin, void *out);

/*
 * A safetensors file: tensors layers.N.weight, .bias (batch norm: .gamma, .beta, .mean, .var), F32, in the layouts
 * above; N counts all layers from 0.  Its metadata name the format's version and the description.
 */
extern size_t nn_safetensors_size(const NnNet *net);
extern void nn_safetensors_write(const NnNet *net, const float *values, void *out);

/*
 * Check everything about such a file, that it is of this net included, and read its values (net->nvalues floats).
 * NN_ERR_CORRUPT, NN_ERR_VERSION; NN_ERR_SYNTAX if the file is sound but of another net.
 */
extern NnStatus nn_safetensors_read(const NnNet *net, const void *file, size_t size, float *values, NnError *error);

/* ---- CPU dispatch: cpu.c ---- */

typedef enum NnIsa
{
	NN_ISA_PORTABLE,
	NN_ISA_AVX2,  /* AVX2 and FMA */
	NN_ISA_AVX512 /* AVX-512 F, BW, DQ, VL */
} NnIsa;

extern NnIsa nn_isa_best(void);							 /* of this CPU */
extern NnIsa nn_isa(void);								 /* in use; the best unless nn_isa_force was called */
extern NnStatus nn_isa_force(NnIsa isa, NnError *error); /* for tests and comparisons */
extern const char *nn_isa_name(NnIsa isa);

/* ---- inference: plan.c, forward.c ---- */

/*
 * A plan is a net with its weights made ready for the kernels (batch norm folded into the convolution or dense
 * layer before it, weights packed), in one relocatable block: offsets only, so that it may lie in
 * shared memory at different addresses.  It depends on the CPU, not on the process.
 */
typedef struct NnPlan NnPlan;

extern size_t nn_plan_size(const NnNet *net);
extern void nn_plan_build(NnPlan *plan, const NnNet *net, const float *values);

/*
 * How many images, of so many, to read between two looks for interrupts: reading these takes some tens of
 * milliseconds at most, or they are one.
 */
extern int nn_step(const NnPlan *plan, int n);

/* Bytes of scratch for nn_forward on up to n images at once; aligned to NN_ALIGN. */
extern size_t nn_scratch_size(const NnPlan *plan, int n);

/*
 * Read n images: pixels (n, 28, 28) of 0..255, probabilities (n, 10).  The result of an image depends neither
 * on its neighbours nor on n: row by row and batch agree bit for bit.
 */
extern void nn_forward(const NnPlan *plan, const uint8_t *pixels, int n, float *probabilities, void *scratch);

/*
 * The same, and of each image a few numbers that stand for what the last hidden layer says of it: hidden (n,
 * NN_HIDDEN), random projections (Achlioptas 2003) of the input of the last dense layer.  They cost nothing: the
 * projections are further channels of that layer, in what would else be padding.  A net without a hidden layer
 * projects the pixels, 0..1.  hidden may be NULL.
 */
extern void nn_forward_hidden(const NnPlan *plan, const uint8_t *pixels, int n, float *probabilities, float *hidden,
							  void *scratch);

/*
 * The weight of input k, of so many, in projection j: plus or minus one over the root of their number.  It depends on
 * nothing else, so that the projections of a model are the same whenever and wherever they are computed.
 */
extern float nn_projection(int j, size_t k, size_t inputs);

/* ---- which pixels speak for a digit: occlusion.c ---- */

/* An explanation under way. */
typedef struct NnOcclusion NnOcclusion;

/* Bytes of memory for one, aligned to NN_ALIGN. */
extern size_t nn_occlusion_size(const NnPlan *plan);

/* Begin: pixels (28, 28) of 0..255, which are copied; label -1: the digit read.  The plan must stay. */
extern NnOcclusion *nn_occlusion_init(void *memory, const NnPlan *plan, const uint8_t *pixels, int label);

/* Read some pictures more, as many as nn_step says of 32; false when there is nothing left to do. */
extern bool nn_occlusion_step(NnOcclusion *o);

/*
 * (28, 28): by how much erasing the pixel lowers the label's log odds, as its share of what erasing squares around
 * it does.  Positive: it speaks for the label; 0 where there is no ink.  Zeiler and Fergus 2014, over three sizes.
 */
extern const float *nn_occlusion_result(const NnOcclusion *o);

/* ---- training: train.c and the layers' files ---- */

/* Activations, masks and gradients of activations for one mini-batch, in memory the caller gives. */
typedef struct NnTrainer NnTrainer;

extern size_t nn_trainer_size(const NnNet *net, int max_batch);
extern NnTrainer *nn_trainer_init(void *memory, const NnNet *net, int max_batch);

typedef struct NnBatch
{
	int n;
	const float *images;  /* (n, 28, 28), 0..1 */
	const float *targets; /* (n, 10), each row sums to 1 (soft labels are welcome) */
	const float *weights; /* (n): the image's weight in the loss; for a mean over the batch, 1/n */
	uint64_t seed;		  /* for dropout; masks depend on nothing else */
	bool frozen;		  /* batch norm goes by its running statistics, and leaves them as they are */
	bool keep_all;		  /* no dropout */
} NnBatch;

typedef struct NnLoss
{
	double loss; /* weighted sum of cross-entropies */
	int correct; /* images whose arg max agrees with their target's */
} NnLoss;

/* One forward and backward pass in training mode.  grads (nvalues) is overwritten. */
extern NnLoss nn_train_step(NnTrainer *trainer, const float *values, float *grads, const NnBatch *batch);

/*
 * The batch's statistics alone, by a forward pass: every batch norm's mean and unbiased variance go to the tail of
 * grads (nvalues), whose head is left as it is.  With keep_all and plain images this is what inference meets (Wu
 * and Johnson 2021, "precise" statistics).  Of the batch only n, images, seed and keep_all matter.
 */
extern void nn_train_statistics(NnTrainer *trainer, const float *values, float *grads, const NnBatch *batch);

typedef struct NnAdam
{
	float learning_rate;
	float beta1, beta2, epsilon;
	float weight_decay;	  /* decoupled (AdamW), on weights only: not on biases, gamma, beta */
	float stats_momentum; /* share of the batch's statistics that enters the running ones */
	int64_t step;		  /* 1, 2, ... for the bias correction */
} NnAdam;

/*
 * AdamW (Loshchilov and Hutter 2019) on values[from, to), with the sum of ngrads gradients, added in the order
 * given; running statistics get the mean of theirs.  Slices may be stepped by different processes.
 */
extern void nn_adam_step(const NnNet *net, float *values, float *m, float *v, const float *const *grads, int ngrads,
						 size_t from, size_t to, const NnAdam *adam);

/* average = decay * average + (1 - decay) * values, on [from, to). */
extern void nn_average_step(float *average, const float *values, float decay, size_t from, size_t to);

/* Learning rate at step (0-based) of steps as a share of its peak: linear warm-up, then cosine to zero. */
extern float nn_one_cycle(int64_t step, int64_t steps, float warmup);

/* ---- augmentation: augment.c ---- */

typedef struct NnAugment
{
	float rotate;		 /* degrees, uniform in [-rotate, rotate] */
	float scale;		 /* each axis by a factor uniform in [1 - scale, 1 + scale] */
	float shear;		 /* uniform in [-shear, shear] */
	float translate;	 /* pixels, uniform in [-translate, translate] */
	float elastic_alpha; /* amplitude in pixels of the elastic field (Simard et al. 2003) */
	float elastic_sigma; /* its smoothness, in pixels */
} NnAugment;

/* out (28, 28) in 0..1 from pixels 0..255; the same key gives the same image.  NULL or all zero: only scaled. */
extern void nn_augment(float *out, const uint8_t *pixels, const NnAugment *augment, uint64_t key);

/* ---- the matrix product: gemm.c ---- */

/*
 * Load OpenBLAS by dlopen.  To be called at the start of a process that trains and only there: it sets
 * OPENBLAS_NUM_THREADS=1 and the core type that fits the CPU first, because the library reads both when it is
 * loaded and must never start a thread.  Without it the built-in product is used.  Returns NN_ERR_UNAVAILABLE
 * where it is not installed.
 */
extern NnStatus nn_blas_load(NnError *error);

/* Name of what multiplies: the library's own configuration string, or "built-in". */
extern const char *nn_blas_name(void);

#endif /* NN_H */
