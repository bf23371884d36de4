/*
 * bench_features.c: the cost of what is measured for drift at a prediction: the features of the image, and the
 * projections of the hidden layer, which the forward pass computes.  Prints microseconds, medians of several rounds.
 *
 *     bench_features [ARCHITECTURE]
 */
#include "image/features.h"
#include "image/preprocess.h"
#include "image/synthetic.h"
#include "nn/infer/forward.h"
#include "nn/infer/plan.h"
#include "nn/nn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IMAGES 100
#define ROUNDS 15

static uint8_t pixels[IMAGES][IMAGE_PIXELS];

static void *
allocate(void *context, size_t size)
{
	(void) context;
	return malloc(size);
}

static void
release(void *context, void *pointer)
{
	(void) context;
	free(pointer);
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
}

static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *) a;
	double y = *(const double *) b;

	return (x > y) - (x < y);
}

static double
median(double *taken)
{
	qsort(taken, ROUNDS, sizeof(double), compare_doubles);
	return taken[ROUNDS / 2];
}

/* Microseconds to compute the features of an image. */
static double
time_image(int repeats)
{
	const ImageSource source = {IMAGE_SIDE, IMAGE_SIDE, false, IMAGE_PIXELS};
	double taken[ROUNDS];
	volatile uint64_t sink = 0;

	for (int round = 0; round < ROUNDS; round++)
	{
		double begun = seconds();

		for (int i = 0; i < repeats * IMAGES; i++)
		{
			float features[IMAGE_FEATURES];

			image_features(pixels[i % IMAGES], &source, features);
			sink += (uint64_t) features[IMAGE_BOX_WIDTH];
		}
		taken[round] = (seconds() - begun) * 1e6 / (repeats * IMAGES);
	}
	return median(taken);
}

/* Microseconds an image for the forward pass with and without the projections, in alternating rounds. */
static void
time_forward(const NnPlan *plan, void *scratch, int repeats, double *without, double *with)
{
	double taken[2][ROUNDS];

	for (int round = 0; round < ROUNDS; round++)
		for (int kind = 0; kind < 2; kind++)
		{
			double begun = seconds();

			for (int i = 0; i < repeats * IMAGES; i++)
			{
				float probabilities[NN_CLASSES];
				float hidden[NN_HIDDEN];

				nn_forward_hidden(plan, pixels[i % IMAGES], 1, probabilities, kind ? hidden : NULL, scratch);
			}
			taken[kind][round] = (seconds() - begun) * 1e6 / (repeats * IMAGES);
		}
	*without = median(taken[0]);
	*with = median(taken[1]);
}

int
main(int argc, char **argv)
{
	const char *architecture = argc > 1 ? argv[1] : "default";
	const int repeats = argc > 1 ? 1 : 5;
	const ImageAllocator allocator = {allocate, release, NULL, NULL};
	ImageError image_error;
	NnError error;
	NnNet net;
	NnPlan *plan;
	float *values;
	void *scratch;
	double without;
	double with;

	if (nn_net_parse(&net, architecture, strlen(architecture), &error) != NN_OK)
	{
		fprintf(stderr, "%s\n", error.message);
		return 1;
	}
	for (int i = 0; i < IMAGES; i++)
		if (image_synthetic(i % 10, (uint64_t) i, &allocator, pixels[i], &image_error) != IMAGE_OK)
			return 1;
	values = malloc(net.nvalues * sizeof(float));
	nn_net_init(&net, values, 1);
	plan = aligned_alloc(NN_ALIGN, (nn_plan_size(&net) + NN_ALIGN - 1) / NN_ALIGN * NN_ALIGN);
	nn_plan_build(plan, &net, values);
	scratch = aligned_alloc(NN_ALIGN, (nn_scratch_size(plan, 1) + NN_ALIGN - 1) / NN_ALIGN * NN_ALIGN);

	time_forward(plan, scratch, repeats, &without, &with);
	printf("image's features %.2f us\n", time_image(50 * repeats));
	printf("%s, one image: %.2f us, with the projections handed out %.2f us\n", architecture, without, with);
	free(scratch);
	free(plan);
	free(values);
	return 0;
}
