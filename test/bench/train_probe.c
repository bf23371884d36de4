/*
 * train_probe.c: train a network on MNIST's files from the command line, without a server: for experiments.
 *
 *     train_probe [options] DIRECTORY DESCRIPTION
 *
 * DIRECTORY holds the four IDX files as published, plain or gzip; DESCRIPTION is a network's description or a
 * preset's name.  The first 55,000 training images train, the last 5,000 are validation.  Options with their
 * defaults are in the table below.
 *
 * Data-parallel as the server does it: --workers processes share values, gradients and optimizer state in
 * anonymous shared memory.  Each computes the gradient of its share of every batch; after a barrier each steps
 * its own slice of the values with the sum of all gradients, added in the order of the workers; after another
 * barrier the next step begins.  The same options give the same bits.
 */
#include "nn/nn.h"
#include "nn/rng.h"

#include <getopt.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define NTRAIN 55000
#define NVALIDATION 5000
#define NTEST 10000
#define MAX_WORKERS 16
#define EVAL_BATCH 100

typedef struct Images
{
	int n;
	uint8_t *pixels; /* (n, 784) */
	uint8_t *labels; /* (n) */
} Images;

typedef struct Options
{
	const char *dir;
	const char *description;
	const char *out;
	int workers;
	int epochs;
	int batch;
	uint64_t seed;
	bool quiet_test;
	float lr;
	float wd;
	float warmup;
	float ema;
	float smooth;
	float momentum;
	NnAugment augment;
} Options;

/* What the workers share. */
typedef struct Shared
{
	pthread_barrier_t barrier;
	double loss[MAX_WORKERS];
	int correct[MAX_WORKERS];
	int hits[MAX_WORKERS];
} Shared;

typedef struct Worker
{
	int id;
	const Options *options;
	const NnNet *net;
	const Images *train;
	const Images *test;
	Shared *shared;
	float *values;
	float *average;
	float *m;
	float *v;
	float *grads[MAX_WORKERS];
	NnTrainer *trainer;
	NnPlan *plan;
	void *scratch;
	float *images;
	float *targets;
	float *weights;
	int *order;
	int64_t step;
	int64_t steps;
} Worker;

static void
die(const char *message, const char *detail)
{
	fprintf(stderr, "train_probe: %s: %s\n", message, detail);
	exit(1);
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

static void *
take(size_t bytes)
{
	void *memory = aligned_alloc(NN_ALIGN, (bytes + NN_ALIGN - 1) / NN_ALIGN * NN_ALIGN);

	if (memory == NULL)
		die("out of memory", "aligned_alloc");
	memset(memory, 0, bytes);
	return memory;
}

static void *
take_shared(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("out of memory", "mmap");
	return memory;
}

/* Read n items of an IDX file whose header has header bytes. */
static uint8_t *
read_idx(const char *dir, const char *name, size_t header, size_t size, size_t n)
{
	char path[1024];
	uint8_t *data = take(header + size * n);
	gzFile file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (access(path, R_OK) != 0)
		snprintf(path, sizeof(path), "%s/%s.gz", dir, name);
	file = gzopen(path, "rb");
	if (file == NULL)
		die("could not open", path);
	if (gzread(file, data, (unsigned) (header + size * n)) != (int) (header + size * n))
		die("could not read", path);
	gzclose(file);
	return data + header;
}

static int
label_of(const float *probabilities)
{
	int best = 0;

	for (int c = 1; c < NN_CLASSES; c++)
		best = probabilities[c] > probabilities[best] ? c : best;
	return best;
}

/* The share of images [from, from + n) that are read correctly; all workers take part, and all get the answer. */
static double
evaluate(Worker *w, const Images *set, int from, int n)
{
	float probabilities[EVAL_BATCH][NN_CLASSES];
	int workers = w->options->workers;
	int begin = n * w->id / workers;
	int end = n * (w->id + 1) / workers;
	int hits = 0;

	nn_plan_build(w->plan, w->net, w->options->ema > 0.0f ? w->average : w->values);
	for (int i = begin; i < end; i += EVAL_BATCH)
	{
		int count = end - i < EVAL_BATCH ? end - i : EVAL_BATCH;

		nn_forward(w->plan, set->pixels + (size_t) (from + i) * NN_PIXELS, count, probabilities[0], w->scratch);
		for (int k = 0; k < count; k++)
			hits += label_of(probabilities[k]) == set->labels[from + i + k];
	}
	w->shared->hits[w->id] = hits;
	pthread_barrier_wait(&w->shared->barrier);
	hits = 0;
	for (int k = 0; k < workers; k++)
		hits += w->shared->hits[k];
	pthread_barrier_wait(&w->shared->barrier);
	return (double) hits / n;
}

/* One step: this worker's share of the batch, then its slice of the values. */
static NnLoss
step(Worker *w, const int *samples, int epoch)
{
	const Options *o = w->options;
	int local = o->batch / o->workers;
	uint64_t key = nn_key(nn_key(o->seed, 1), (uint64_t) epoch);
	NnBatch batch = {.n = local, .images = w->images, .targets = w->targets, .weights = w->weights};
	NnAdam adam = {0.0f, 0.9f, 0.999f, 1e-8f, o->wd, o->momentum, w->step + 1};
	size_t from = w->net->nvalues * w->id / o->workers;
	size_t to = w->net->nvalues * (w->id + 1) / o->workers;
	NnLoss loss;

	samples += w->id * local;
	batch.seed = nn_key(nn_key(o->seed, 2), (uint64_t) (w->step * o->workers + w->id));
	for (int i = 0; i < local; i++)
	{
		nn_augment(w->images + (size_t) i * NN_PIXELS, w->train->pixels + (size_t) samples[i] * NN_PIXELS,
				   &o->augment, nn_key(key, (uint64_t) samples[i]));
		for (int c = 0; c < NN_CLASSES; c++)
			w->targets[i * NN_CLASSES + c] =
				o->smooth / NN_CLASSES + (c == w->train->labels[samples[i]] ? 1.0f - o->smooth : 0.0f);
	}
	loss = nn_train_step(w->trainer, w->values, w->grads[w->id], &batch);
	pthread_barrier_wait(&w->shared->barrier);

	adam.learning_rate = o->lr * nn_one_cycle(w->step, w->steps, o->warmup);
	nn_adam_step(w->net, w->values, w->m, w->v, (const float *const *) w->grads, o->workers, from, to, &adam);
	if (o->ema > 0.0f)
	{
		float young = (1.0f + (float) w->step) / (10.0f + (float) w->step);

		nn_average_step(w->average, w->values, fminf(o->ema, young), from, to);
	}
	pthread_barrier_wait(&w->shared->barrier);
	w->step++;
	return loss;
}

/* One pass over the training images in an order of its own; returns the mean loss, *accuracy that of the training. */
static double
run_epoch(Worker *w, int epoch, double *accuracy)
{
	const Options *o = w->options;
	int nbatches = NTRAIN / o->batch;
	NnRng rng = nn_rng(nn_key(nn_key(o->seed, 3), (uint64_t) epoch));
	double loss = 0.0;
	int correct = 0;

	for (int i = 0; i < NTRAIN; i++)
		w->order[i] = i;
	for (int i = NTRAIN - 1; i > 0; i--)
	{
		int k = (int) nn_rng_below(&rng, (uint32_t) i + 1);
		int swap = w->order[i];

		w->order[i] = w->order[k];
		w->order[k] = swap;
	}
	for (int b = 0; b < nbatches; b++)
	{
		NnLoss result = step(w, w->order + b * o->batch, epoch);

		loss += result.loss;
		correct += result.correct;
	}
	w->shared->loss[w->id] = loss;
	w->shared->correct[w->id] = correct;
	pthread_barrier_wait(&w->shared->barrier);
	loss = 0.0;
	correct = 0;
	for (int k = 0; k < o->workers; k++)
	{
		loss += w->shared->loss[k];
		correct += w->shared->correct[k];
	}
	*accuracy = (double) correct / ((double) nbatches * o->batch);
	return loss / nbatches;
}

static void
run_worker(Worker *w)
{
	const Options *o = w->options;
	int local = o->batch / o->workers;
	double start = seconds();
	double accuracy = 0.0;
	NnError error;

	if (nn_blas_load(&error) != NN_OK)
		fprintf(stderr, "train_probe: %s; using the built-in product\n", error.message);
	w->trainer = nn_trainer_init(take(nn_trainer_size(w->net, local)), w->net, local);
	w->plan = take(nn_plan_size(w->net));
	nn_plan_build(w->plan, w->net, w->values);
	w->scratch = take(nn_scratch_size(w->plan, EVAL_BATCH));
	w->images = take((size_t) local * NN_PIXELS * sizeof(float));
	w->targets = take((size_t) local * NN_CLASSES * sizeof(float));
	w->weights = take((size_t) local * sizeof(float));
	w->order = take(NTRAIN * sizeof(int));
	for (int i = 0; i < local; i++)
		w->weights[i] = 1.0f / (float) o->batch;
	w->steps = (int64_t) o->epochs * (NTRAIN / o->batch);

	for (int epoch = 0; epoch < o->epochs; epoch++)
	{
		double begin = seconds();
		double training;
		double loss = run_epoch(w, epoch, &training);
		double spent = seconds() - begin;

		accuracy = evaluate(w, w->train, NTRAIN, NVALIDATION);
		if (w->id == 0)
		{
			printf("epoch %d: loss %.5f, training %.3f %%, validation %.2f %%, %.2f s\n", epoch + 1, loss,
				   100.0 * training, 100.0 * accuracy, spent);
			fflush(stdout);
		}
	}
	if (w->id == 0)
		printf("validation %.2f %%, %.1f s in all\n", 100.0 * accuracy, seconds() - start);
	if (!o->quiet_test)
	{
		accuracy = evaluate(w, w->test, 0, NTEST);
		if (w->id == 0)
			printf("test %.2f %%\n", 100.0 * accuracy);
	}
}

static void
write_blob(const Options *o, const NnNet *net, const float *values)
{
	size_t size = nn_blob_size(net);
	void *blob = take(size);
	FILE *file = fopen(o->out, "wb");

	nn_blob_write(net, values, blob);
	if (file == NULL || fwrite(blob, 1, size, file) != size || fclose(file) != 0)
		die("could not write", o->out);
	free(blob);
}

static void
parse_options(Options *o, int argc, char **argv)
{
	static const struct option names[] = {{"workers", required_argument, NULL, 'j'},
										  {"epochs", required_argument, NULL, 'e'},
										  {"batch", required_argument, NULL, 'b'},
										  {"lr", required_argument, NULL, 'l'},
										  {"wd", required_argument, NULL, 'w'},
										  {"warmup", required_argument, NULL, 'u'},
										  {"rotate", required_argument, NULL, 'r'},
										  {"scale", required_argument, NULL, 's'},
										  {"shear", required_argument, NULL, 'h'},
										  {"translate", required_argument, NULL, 't'},
										  {"alpha", required_argument, NULL, 'a'},
										  {"sigma", required_argument, NULL, 'g'},
										  {"ema", required_argument, NULL, 'm'},
										  {"smooth", required_argument, NULL, 'k'},
										  {"momentum", required_argument, NULL, 'n'},
										  {"seed", required_argument, NULL, 'd'},
										  {"quiet-test", no_argument, NULL, 'q'},
										  {"out", required_argument, NULL, 'o'},
										  {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1)
	{
		switch (c)
		{
			case 'j':
				o->workers = atoi(optarg);
				break;
			case 'e':
				o->epochs = atoi(optarg);
				break;
			case 'b':
				o->batch = atoi(optarg);
				break;
			case 'l':
				o->lr = strtof(optarg, NULL);
				break;
			case 'w':
				o->wd = strtof(optarg, NULL);
				break;
			case 'u':
				o->warmup = strtof(optarg, NULL);
				break;
			case 'r':
				o->augment.rotate = strtof(optarg, NULL);
				break;
			case 's':
				o->augment.scale = strtof(optarg, NULL);
				break;
			case 'h':
				o->augment.shear = strtof(optarg, NULL);
				break;
			case 't':
				o->augment.translate = strtof(optarg, NULL);
				break;
			case 'a':
				o->augment.elastic_alpha = strtof(optarg, NULL);
				break;
			case 'g':
				o->augment.elastic_sigma = strtof(optarg, NULL);
				break;
			case 'm':
				o->ema = strtof(optarg, NULL);
				break;
			case 'k':
				o->smooth = strtof(optarg, NULL);
				break;
			case 'n':
				o->momentum = strtof(optarg, NULL);
				break;
			case 'd':
				o->seed = strtoull(optarg, NULL, 10);
				break;
			case 'q':
				o->quiet_test = true;
				break;
			case 'o':
				o->out = optarg;
				break;
			default:
				exit(2);
		}
	}
	if (argc - optind != 2)
		die("usage", "train_probe [options] DIRECTORY DESCRIPTION");
	o->dir = argv[optind];
	o->description = argv[optind + 1];
	if (o->workers < 1 || o->workers > MAX_WORKERS || o->batch < o->workers || o->batch > NTRAIN || o->epochs < 1)
		die("usage", "out of range: --workers, --batch or --epochs");
	o->batch -= o->batch % o->workers;
}

int
main(int argc, char **argv)
{
	Options o = {.workers = 2,
				 .epochs = 10,
				 .batch = 128,
				 .seed = 1,
				 .lr = 2e-3f,
				 .wd = 0.0f,
				 .warmup = 0.1f,
				 .momentum = 0.1f};
	Worker w = {0};
	NnNet net;
	NnError error;
	Images train;
	Images test;
	pthread_barrierattr_t attributes;
	pid_t children[MAX_WORKERS];
	int failed = 0;

	parse_options(&o, argc, argv);
	if (nn_net_parse(&net, o.description, strlen(o.description), &error) != NN_OK)
		die("could not parse the description", error.message);
	train.n = NTRAIN + NVALIDATION;
	train.pixels = read_idx(o.dir, "train-images-idx3-ubyte", 16, NN_PIXELS, (size_t) train.n);
	train.labels = read_idx(o.dir, "train-labels-idx1-ubyte", 8, 1, (size_t) train.n);
	test.n = NTEST;
	test.pixels = read_idx(o.dir, "t10k-images-idx3-ubyte", 16, NN_PIXELS, (size_t) test.n);
	test.labels = read_idx(o.dir, "t10k-labels-idx1-ubyte", 8, 1, (size_t) test.n);
	printf("%zu parameters, %zu multiply-adds an image, %s\n", net.nparams, net.macs, nn_isa_name(nn_isa()));
	fflush(stdout);

	w.options = &o;
	w.net = &net;
	w.train = &train;
	w.test = &test;
	w.shared = take_shared(sizeof(Shared));
	w.values = take_shared(net.nvalues * sizeof(float));
	w.average = take_shared(net.nvalues * sizeof(float));
	w.m = take_shared(net.nvalues * sizeof(float));
	w.v = take_shared(net.nvalues * sizeof(float));
	for (int k = 0; k < o.workers; k++)
		w.grads[k] = take_shared(net.nvalues * sizeof(float));
	pthread_barrierattr_init(&attributes);
	pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&w.shared->barrier, &attributes, (unsigned) o.workers);
	nn_net_init(&net, w.values, nn_key(o.seed, 0));
	memcpy(w.average, w.values, net.nvalues * sizeof(float));

	for (int k = 0; k < o.workers; k++)
	{
		children[k] = fork();
		if (children[k] == 0)
		{
			w.id = k;
			run_worker(&w);
			exit(0);
		}
	}
	for (int k = 0; k < o.workers; k++)
	{
		int status;

		waitpid(children[k], &status, 0);
		failed |= status != 0;
	}
	if (failed)
		die("a worker failed", "see above");
	if (o.out != NULL)
		write_blob(&o, &net, o.ema > 0.0f ? w.average : w.values);
	return 0;
}
