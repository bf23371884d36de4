/*
 * network.c: prediction by a model's network, for all serving functions.
 *
 * A backend keeps the network's scratch memory between statements.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "nn/infer/forward.h"
#include "pg/memory.h"
#include "serve/network.h"

#define BATCH_SCRATCH (512 * 1024) /* bytes of scratch memory; a larger batch is split, down to single images */

/* Scratch memory for n images, kept from call to call. */
static void *
scratch(const NnPlan *plan, int n)
{
	static MemoryContext context;
	static void *memory;
	static Size available;
	Size needed = nn_scratch_size(plan, n);

	if (needed > available)
	{
		if (context == NULL)
			context = AllocSetContextCreate(TopMemoryContext, "mnist_hil scratch", ALLOCSET_SMALL_SIZES);
		available = 0;
		MemoryContextReset(context);
		memory = nn_alloc(context, needed);
		available = needed;
	}
	return memory;
}

static bool
is_blank(const uint8 *pixels)
{
	return pixels[0] == 0 && memcmp(pixels, pixels + 1, NN_PIXELS - 1) == 0;
}

/* How many images to predict at once, between two checks for interrupts. */
static int
batch_size(const NnPlan *plan)
{
	int n = nn_step(plan, PREDICT_BATCH);

	while (n > 1 && nn_scratch_size(plan, n) > BATCH_SCRATCH)
		n /= 2;
	return n;
}

/* A blank image could be any digit: by rule, all digits get the same probability. */
void
network_predict(const NnPlan *plan, const uint8 *pixels, int n, float *probabilities, float *hidden)
{
	int step = n == 1 ? 1 : batch_size(plan);

	for (int start = 0; start < n; start += step)
	{
		int count = Min(step, n - start);

		CHECK_FOR_INTERRUPTS();
		nn_forward_hidden(plan, pixels + (Size) start * NN_PIXELS, count, probabilities + start * NN_CLASSES,
						  hidden + start * NN_HIDDEN, scratch(plan, count));
	}
	for (int i = 0; i < n; i++)
	{
		if (!is_blank(pixels + (Size) i * NN_PIXELS))
			continue;
		for (int digit = 0; digit < NN_CLASSES; digit++)
			probabilities[i * NN_CLASSES + digit] = 1.0f / NN_CLASSES;
	}
}
