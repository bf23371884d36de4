/*
 * onnx_models.c: networks as ONNX models, each with this library's predictions, which onnx/run compares.
 *
 *		onnx_models DIRECTORY IMAGES WEIGHTS
 *
 * It writes NAME.onnx and NAME.probabilities to DIRECTORY, for every preset with random weights, for a network with
 * all kinds of layers in unusual places ("mixed"), and for the model in WEIGHTS (sql/bundled/default.weights,
 * "bundled").  The probabilities, float32 (n, 10), are of the images in the IDX file IMAGES, plain or gzip.
 */
#include "nn/formats/blob.h"
#include "nn/formats/onnx.h"
#include "nn/infer/forward.h"
#include "nn/infer/plan.h"
#include "nn/nn.h"
#include "util/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define IDX_HEADER 16
#define BATCH 100
#define MIXED                                                                            \
	"bn, conv 5 2x3, relu, bn, maxpool 2, dropout 0.2, conv 7 3x5 same, maxpool 3, bn, " \
	"conv 6 1x2, relu, dense 33, bn, relu, dropout 0.5, dense 17, relu, bn, dense 10"

typedef struct Bytes
{
	uint8_t *data;
	size_t size;
} Bytes;

static void
fail(const char *what, const char *why)
{
	fprintf(stderr, "onnx_models: %s: %s\n", what, why);
	exit(1);
}

static void *
allocate(size_t size)
{
	void *memory = aligned_alloc(NN_ALIGN, (size + NN_ALIGN - 1) / NN_ALIGN * NN_ALIGN);

	if (memory == NULL)
		fail("aligned_alloc", "out of memory");
	return memory;
}

/* Read a file; decompress it if it is gzip. */
static Bytes
read_file(const char *path)
{
	const size_t max = (size_t) 256 << 20;
	Bytes bytes = {NULL, 0};
	gzFile file = gzopen(path, "rb");
	int n;

	if (file == NULL)
		fail(path, "cannot be opened");
	do
	{
		bytes.data = realloc(bytes.data, bytes.size + (1 << 20));
		if (bytes.data == NULL || bytes.size > max)
			fail(path, "too large");
		n = gzread(file, bytes.data + bytes.size, 1 << 20);
		if (n < 0)
			fail(path, "cannot be read");
		bytes.size += (size_t) n;
	} while (n > 0);
	gzclose(file);
	return bytes;
}

static void
write_file(const char *directory, const char *name, const char *suffix, const void *data, size_t size)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.%s", directory, name, suffix);
	file = fopen(path, "wb");
	if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0)
		fail(path, "cannot be written");
}

/* Set all values to random ones, even biases, batch norms and their statistics, which nn_net_init sets to 0 or 1. */
static void
randomize(const NnNet *net, float *values)
{
	Rng rng = rng_start(7);

	nn_net_init(net, values, 7);
	for (int i = 0; i < net->nlayers; i++)
	{
		const NnLayer *layer = &net->layers[i];

		for (int c = 0; layer->nweight > 0 && c < layer->out_c; c++)
		{
			values[layer->bias + (size_t) c] = 0.1f * rng_normal(&rng);
			if (layer->kind != NN_BATCHNORM)
				continue;
			values[layer->weight + (size_t) c] = 1.0f + 0.2f * rng_normal(&rng);
			values[layer->mean + (size_t) c] = 0.2f * rng_normal(&rng);
			values[layer->var + (size_t) c] = 0.5f + (float) rng_below(&rng, 1000) / 1000.0f;
		}
	}
}

/* Write the model and its predictions. */
static void
write_model(const char *directory, const char *name, const NnNet *net, const float *values, const Bytes *images)
{
	const NnOrigin origin = {"benchmark", 1};
	int n = (int) ((images->size - IDX_HEADER) / NN_PIXELS);
	NnPlan *plan = allocate(nn_plan_size(net));
	float *probabilities = allocate((size_t) n * NN_CLASSES * sizeof(float));
	size_t size = nn_onnx_size(net, &origin);
	void *model = allocate(size);
	void *scratch;

	nn_plan_build(plan, net, values);
	scratch = allocate(nn_scratch_size(plan, BATCH));
	for (int i = 0; i < n; i += BATCH)
		nn_forward(plan, images->data + IDX_HEADER + (size_t) i * NN_PIXELS, n - i < BATCH ? n - i : BATCH,
				   probabilities + (size_t) i * NN_CLASSES, scratch);
	nn_onnx_write(net, values, &origin, model);
	write_file(directory, name, "onnx", model, size);
	write_file(directory, name, "probabilities", probabilities, (size_t) n * NN_CLASSES * sizeof(float));
	free(scratch);
	free(model);
	free(probabilities);
	free(plan);
}

static void
write_random(const char *directory, const char *name, const char *text, const Bytes *images)
{
	NnNet net;
	NnError error;
	float *values;

	if (nn_net_parse(&net, text, strlen(text), &error) != NN_OK)
		fail(name, error.message);
	values = allocate(net.nvalues * sizeof(float));
	randomize(&net, values);
	write_model(directory, name, &net, values, images);
	free(values);
}

static void
write_bundled(const char *directory, const char *path, const Bytes *images)
{
	Bytes blob = read_file(path);
	NnNet net;
	NnError error;
	const void *stored;
	float *values;

	if (nn_blob_read(blob.data, blob.size, &net, &stored, &error) != NN_OK)
		fail(path, error.message);
	values = allocate(net.nvalues * sizeof(float));
	nn_blob_values(&net, stored, values);
	write_model(directory, "bundled", &net, values, images);
	free(values);
	free(blob.data);
}

int
main(int argc, char **argv)
{
	Bytes images;

	if (argc != 4)
	{
		fprintf(stderr, "usage: onnx_models DIRECTORY IMAGES WEIGHTS\n");
		return 2;
	}
	images = read_file(argv[2]);
	if (images.size < IDX_HEADER || (images.size - IDX_HEADER) % NN_PIXELS != 0)
		fail(argv[2], "not an IDX file of 28 x 28 images");
	for (int i = 0; nn_preset_name(i) != NULL; i++)
		write_random(argv[1], nn_preset_name(i), nn_preset(nn_preset_name(i)), &images);
	write_random(argv[1], "mixed", MIXED, &images);
	write_bundled(argv[1], argv[3], &images);
	free(images.data);
	return 0;
}
