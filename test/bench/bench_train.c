/*
 * bench_train.c: the speed of training on one core, and how the time is spent.
 *
 * 		bench_train [ARCHITECTURE...]
 * 		bench_train peak		measure only the matrix product
 *
 * For each architecture (a preset's name or a description; default: keras_cnn and default) and batches of 64 and 128,
 * it prints images a second, GFLOP/s, and these as a percentage of the peak.  The peak is the speed of OpenBLAS's
 * matrix product (without OpenBLAS, of the built-in one) on 1024 x 1024 in the same run.  Then it prints the time of
 * each operation and of the other work of an epoch: optimizer, averaging, augmentation.  Times are CPU times: of
 * steps and operations the best of several rounds, of the other work the mean.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nn/kernels/blas.h"
#include "nn/kernels/cpu.h"
#include "nn/nn.h"
#include "nn/train/activation.h"
#include "nn/train/augment.h"
#include "nn/train/batch.h"
#include "nn/train/op.h"
#include "nn/train/optimizer.h"
#include "nn/train/train.h"
#include "nn/train/trainer.h"
#include "util/rng.h"

#define PEAK_SIZE 1024
#define SECONDS 1.0 /* measuring time for each figure of a whole step */
#define ROUNDS 10	/* rounds for each operation */
#define PEAK_ROUNDS 40
#define MAX_BATCH 128

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

static void *
take(size_t bytes)
{
	void *memory = aligned_alloc(NN_ALIGN, (bytes / NN_ALIGN + 1) * NN_ALIGN);

	if (memory == NULL)
	{
		fprintf(stderr, "bench_train: out of memory\n");
		exit(1);
	}
	memset(memory, 0, bytes);
	return memory;
}

static double
measure_peak(void)
{
	size_t size = (size_t) PEAK_SIZE * PEAK_SIZE;
	float *a = take(size * sizeof(float));
	float *b = take(size * sizeof(float));
	float *c = take(size * sizeof(float));
	double best = 1e9;

	for (size_t i = 0; i < size; i++)
		a[i] = b[i] = 1.0f;
	for (int r = 0; r < PEAK_ROUNDS; r++)
	{
		double start = now();

		nn_sgemm(false, false, PEAK_SIZE, PEAK_SIZE, PEAK_SIZE, a, PEAK_SIZE, b, PEAK_SIZE, 0.0f, c, PEAK_SIZE);
		best = now() - start < best ? now() - start : best;
	}
	free(a);
	free(b);
	free(c);
	return 2e-9 * PEAK_SIZE * PEAK_SIZE * PEAK_SIZE / best;
}

typedef struct Bench
{
	NnNet net;
	NnTrainer *trainer;
	float *values;
	float *grads;
	NnBatch batch;
} Bench;

/* Microseconds an image for operation k alone, forward or backward, group by group as in a step. */
static double
time_operation(Bench *b, int k, bool backward)
{
	NnTrainer *t = b->trainer;
	/* The gradient of a batch norm belongs to the stage before it. */
	int group = t->groups[backward && t->ops[k].bn != NULL ? k - 1 : k];
	double best = 1e9;

	for (int r = 0; r < ROUNDS; r++)
	{
		double start = now();

		for (int first = 0; first < b->batch.n; first += group)
		{
			int n = b->batch.n - first < group ? b->batch.n - first : group;
			NnTrainOp *op = &t->ops[k];

			if (backward)
			{
				if (op->bn != NULL)
					nn_batchnorm_reduce(op, nn_data_at(&t->boundaries[k], first),
										nn_grad_at(&t->boundaries[k + 1], first), n);
				nn_op_backward(t, k, b->values, b->grads, &b->batch, first, n);
			}
			else
			{
				if (op->bn != NULL)
					nn_batchnorm_observe(op, nn_data_at(&t->boundaries[k], first), n);
				nn_op_forward(t, k, b->values, &b->batch, first, n);
			}
		}
		best = now() - start < best ? now() - start : best;
	}
	return best * 1e6 / b->batch.n;
}

static const char *
operation_name(const NnTrainOp *op, char *name, size_t size)
{
	switch (op->kind)
	{
		case NN_TRAIN_CONV:
			snprintf(name, size, "conv %d %dx%d to %dx%dx%d", op->layer->out_c, op->layer->kernel_h,
					 op->layer->kernel_w, op->out.h, op->out.w, op->out.c);
			break;
		case NN_TRAIN_ACTIVATION:
			snprintf(name, size, "%s%s%s", op->bn != NULL ? "bn " : "", op->relu ? "relu " : "",
					 op->pool > 1 ? "maxpool" : "");
			break;
		case NN_TRAIN_DENSE:
			snprintf(name, size, "dense %d", op->out.c);
			break;
		case NN_TRAIN_DROPOUT:
			snprintf(name, size, "dropout");
			break;
		case NN_TRAIN_COPY:
			snprintf(name, size, "copy");
			break;
	}
	return name;
}

/* Print the time of each operation and of the work around a step, in microseconds an image. */
static void
print_phases(Bench *b, double whole)
{
	size_t bytes = b->net.nvalues * sizeof(float);
	float *m = take(bytes);
	float *v = take(bytes);
	const float *grads[2] = {b->grads, b->grads};
	NnAdam adam = {1e-6f, 0.9f, 0.999f, 1e-8f, 0.01f, 0.1f, 1};
	NnAugment augment = {10.0f, 0.1f, 0.1f, 2.0f, 1.0f, 4.0f};
	uint8_t pixels[NN_PIXELS];
	float image[NN_PIXELS];
	char name[80];
	double start;

	for (int k = 0; k < b->trainer->nops; k++)
		printf("    %-28s forward %7.2f  backward %7.2f us an image\n",
			   operation_name(&b->trainer->ops[k], name, sizeof(name)), time_operation(b, k, false),
			   time_operation(b, k, true));
	start = now();
	for (int r = 0; r < ROUNDS; r++)
		nn_adam_step(&b->net, b->values, m, v, grads, 2, 0, b->net.nvalues, &adam);
	printf("    %-28s %.2f us an image\n", "adam, two gradients", (now() - start) * 1e6 / ROUNDS / b->batch.n);
	start = now();
	for (int r = 0; r < ROUNDS; r++)
		nn_average_step(m, b->values, 0.99f, 0, b->net.nvalues);
	printf("    %-28s %.2f us an image\n", "averaging", (now() - start) * 1e6 / ROUNDS / b->batch.n);
	for (int i = 0; i < NN_PIXELS; i++)
		pixels[i] = (uint8_t) i;
	start = now();
	for (int i = 0; i < 100 * ROUNDS; i++)
		nn_augment(image, pixels, &augment, (uint64_t) i);
	start = (now() - start) * 1e6 / (100 * ROUNDS);
	printf("    %-28s %.2f us an image, %.1f %% of a step\n", "augmentation, elastic too", start,
		   100.0 * start / whole);
	free(m);
	free(v);
}

/* Make a batch of noise: the time does not depend on the contents of the images. */
static void
bench_init(Bench *b, int n, float *images, float *targets, float *weights)
{
	Rng rng = rng_start(1);

	b->values = take(b->net.nvalues * sizeof(float));
	b->grads = take(b->net.nvalues * sizeof(float));
	nn_net_init(&b->net, b->values, 1);
	b->trainer = nn_trainer_init(take(nn_trainer_size(&b->net, n)), &b->net, n);
	for (int i = 0; i < n * NN_PIXELS; i++)
		images[i] = rng_uniform(&rng);
	memset(targets, 0, (size_t) n * NN_CLASSES * sizeof(float));
	for (int i = 0; i < n; i++)
	{
		targets[i * NN_CLASSES + i % NN_CLASSES] = 1.0f;
		weights[i] = 1.0f / (float) n;
	}
	b->batch = (NnBatch){.n = n, .images = images, .targets = targets, .weights = weights, .seed = 1};
}

static void
bench(const char *text, int n, double peak)
{
	static float images[MAX_BATCH * NN_PIXELS];
	static float targets[MAX_BATCH * NN_CLASSES];
	static float weights[MAX_BATCH];
	Bench b;
	NnError error;
	double best = 1e9;
	double begin;
	double rate;

	if (nn_net_parse(&b.net, text, strlen(text), &error) != NN_OK)
	{
		fprintf(stderr, "bench_train: %s\n", error.message);
		exit(1);
	}
	bench_init(&b, n, images, targets, weights);
	for (begin = now(); now() - begin < SECONDS;)
	{
		double start = now();

		nn_train_step(b.trainer, b.values, b.grads, &b.batch);
		best = now() - start < best ? now() - start : best;
	}
	/* Three products: forward, gradient of the input, gradient of the weights.  A multiply-add is two operations. */
	rate = 6e-9 * (double) b.net.macs * n / best;
	printf("%s\n  batch %d: %.0f images/s, %.1f us an image, %.1f GFLOP/s, %.0f %% of the peak; %.1f MB\n", text, n,
		   n / best, best * 1e6 / n, rate, 100.0 * rate / peak, (double) nn_trainer_size(&b.net, n) / 1e6);
	print_phases(&b, best * 1e6 / n);
	free(b.values);
	free(b.grads);
	free(b.trainer);
}

int
main(int argc, char **argv)
{
	static char *defaults[] = {NULL, "keras_cnn", "default"};
	NnError error;
	double peak;

	if (nn_blas_load(&error) != NN_OK)
		fprintf(stderr, "bench_train: %s\n", error.message);
	peak = measure_peak();
	printf("%s, product by %s\npeak %.1f GFLOP/s (matrix product of %d x %d)\n", nn_isa_name(nn_isa()),
		   nn_blas_name(), peak, PEAK_SIZE, PEAK_SIZE);
	if (argc == 2 && strcmp(argv[1], "peak") == 0)
		return 0;
	if (argc < 2)
	{
		argv = defaults;
		argc = 3;
	}
	for (int i = 1; i < argc; i++)
	{
		bench(argv[i], 64, peak);
		bench(argv[i], 128, peak);
	}
	return 0;
}
