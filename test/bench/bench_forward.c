/*
 * bench_forward.c: the speed of prediction on one core.
 *
 *		bench_forward [ARCHITECTURE...]
 *
 * For every architecture (default: all presets), instruction set and batch size, it prints microseconds an image and
 * GFLOP/s, medians of several repetitions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nn/infer/forward.h"
#include "nn/infer/plan.h"
#include "nn/kernels/cpu.h"
#include "nn/nn.h"
#include "util/rng.h"

#define REPETITIONS 15
#define IMAGES 64
#define SECONDS_A_REPETITION 0.02

/* CPU time of this process in seconds: other processes do not count. */
static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *) a;
	double y = *(const double *) b;

	return (x > y) - (x < y);
}

static void *
allocate(size_t size)
{
	void *memory = aligned_alloc(NN_ALIGN, (size + NN_ALIGN - 1) / NN_ALIGN * NN_ALIGN);

	if (memory == NULL)
	{
		perror("aligned_alloc");
		exit(1);
	}
	return memory;
}

/* Seconds an image, the median over the repetitions. */
static double
measure(const NnPlan *plan, const uint8_t *pixels, int batch, void *scratch)
{
	static float probabilities[IMAGES * NN_CLASSES];
	double times[REPETITIONS];

	for (int r = 0; r < REPETITIONS; r++)
	{
		double start = now();
		double elapsed;
		int images = 0;

		do
		{
			for (int i = 0; i + batch <= IMAGES; i += batch)
				nn_forward(plan, pixels + i * NN_PIXELS, batch, probabilities + i * NN_CLASSES, scratch);
			images += IMAGES;
			elapsed = now() - start;
		} while (elapsed < SECONDS_A_REPETITION);
		times[r] = elapsed / images;
	}
	qsort(times, REPETITIONS, sizeof(times[0]), compare);
	return times[REPETITIONS / 2];
}

static void
bench(const char *architecture)
{
	static uint8_t pixels[IMAGES * NN_PIXELS];
	static const int batches[] = {1, IMAGES};
	Rng rng = rng_start(1);
	NnNet net;
	NnError error;
	float *values;

	if (nn_net_parse(&net, architecture, strlen(architecture), &error) != NN_OK)
	{
		fprintf(stderr, "%s: %s\n", architecture, error.message);
		exit(1);
	}
	values = allocate(net.nvalues * sizeof(float));
	nn_net_init(&net, values, 1);
	for (int i = 0; i < IMAGES * NN_PIXELS; i++)
		pixels[i] = (uint8_t) rng_below(&rng, 256);

	for (int isa = (int) nn_isa_best(); isa >= (int) NN_ISA_PORTABLE; isa--)
	{
		NnPlan *plan;
		void *scratch;

		if (nn_isa_force((NnIsa) isa, &error) != NN_OK)
			continue;
		plan = allocate(nn_plan_size(&net));
		nn_plan_build(plan, &net, values);
		scratch = allocate(nn_scratch_size(plan, IMAGES));
		for (size_t b = 0; b < sizeof(batches) / sizeof(batches[0]); b++)
		{
			double seconds = measure(plan, pixels, batches[b], scratch);

			printf("%-12s %-8s batch %2d: %8.2f microseconds an image, %6.1f GFLOP/s\n", architecture,
				   nn_isa_name((NnIsa) isa), batches[b], seconds * 1e6, 2e-9 * (double) net.macs / seconds);
		}
		free(scratch);
		free(plan);
	}
	free(values);
}

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		bench(argv[i]);
	if (argc == 1)
	{
		for (int i = 0; nn_preset_name(i) != NULL; i++)
			bench(nn_preset_name(i));
	}
	return 0;
}
