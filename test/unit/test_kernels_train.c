/*
 * test_kernels_train.c: the kernels of training, one family at a time, against plain loops in double precision,
 * in odd sizes and on every instruction set of this machine.
 *
 * test_gradient.c compares the whole step with its definition.  Here each family is run with the sizes at which its
 * code takes another branch: one more or less than a tile, a vector or a panel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/kernels/blas.h"
#include "nn/kernels/cpu.h"
#include "nn/nn.h"
#include "nn/train/activation.h"
#include "nn/train/conv.h"
#include "nn/train/dropout.h"
#include "nn/train/layout.h"
#include "nn/train/loss.h"
#include "nn/train/op.h"
#include "nn/train/winograd_train.h"
#include "util/rng.h"

#define IMAGES 3
#define TOLERANCE 3e-5

static Rng rng = {1};

static void *
allocate(size_t bytes)
{
	size_t size = (bytes / NN_ALIGN + 1) * NN_ALIGN;
	void *memory = aligned_alloc(NN_ALIGN, size);

	assert_non_null(memory);
	memset(memory, 0, size);
	return memory;
}

static float *
allocate_random(size_t n)
{
	float *x = allocate(n * sizeof(float));

	for (size_t i = 0; i < n; i++)
		x[i] = rng_normal(&rng);
	return x;
}

/* A batch in the layout of a map: zeros or, except for the border and the padding of channels, random numbers. */
static float *
allocate_batch(const NnMap *map, bool random)
{
	float *batch = allocate(IMAGES * map->image * sizeof(float));

	for (int i = 0; i < IMAGES * map->h * map->w * map->c && random; i++)
	{
		int pixel = i / map->c;
		int image = pixel / (map->h * map->w);
		int y = pixel / map->w % map->h;

		batch[map->origin + image * map->image + y * map->row + (size_t) (pixel % map->w) * map->stride +
			  i % map->c] = rng_normal(&rng);
	}
	return batch;
}

/* The number at (image, y, x, c), 0 outside; batch points to the start of the memory. */
static float
at(const float *batch, const NnMap *map, int image, int y, int x, int c)
{
	if (y < 0 || y >= map->h || x < 0 || x >= map->w)
		return 0.0f;
	return batch[map->origin + image * map->image + y * map->row + (size_t) x * map->stride + c];
}

static void
check(const char *what, double got, double expected, double scale)
{
	if (!(fabs(got - expected) <= TOLERANCE * scale))
		fail_msg("%s, %s: %.9g, should be %.9g", nn_isa_name(nn_isa()), what, got, expected);
}

static void
for_each_isa(void (*run)(void))
{
	for (int isa = NN_ISA_PORTABLE; isa <= (int) nn_isa_best(); isa++)
	{
		NnError error;

		assert_int_equal(nn_isa_force((NnIsa) isa, &error), NN_OK);
		run();
	}
}

/* ---- the matrix product ---- */

static void
check_gemm(bool ta, bool tb, int m, int n, int k, float beta)
{
	int lda = (ta ? m : k) + 3;
	int ldb = (tb ? k : n) + 1;
	int ldc = n + 2;
	float *a = allocate_random((size_t) lda * (ta ? k : m));
	float *b = allocate_random((size_t) ldb * (tb ? n : k));
	float *c = allocate_random((size_t) ldc * m);
	float *before = allocate((size_t) ldc * m * sizeof(float));

	memcpy(before, c, (size_t) ldc * m * sizeof(float));
	nn_sgemm(ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc);
	for (int i = 0; i < m; i++)
	{
		for (int j = 0; j < ldc; j++)
		{
			double sum = beta * before[i * ldc + j];

			if (j >= n)
			{
				assert_true(c[i * ldc + j] == before[i * ldc + j]);
				continue;
			}
			for (int l = 0; l < k; l++)
				sum += (double) a[ta ? l * lda + i : i * lda + l] * (double) b[tb ? j * ldb + l : l * ldb + j];
			check("product", c[i * ldc + j], sum, 1.0 + sqrt(k));
		}
	}
	free(a);
	free(b);
	free(c);
	free(before);
}

static void
run_gemm(void)
{
	static const int sizes[] = {1, 5, 12, 13, 31, 64, 65};

	for (int i = 0; i < 7 * 7; i++)
	{
		int k = i % 4 == 0 ? 300 : 1 + i;

		check_gemm(i & 1, i & 2, sizes[i / 7], sizes[i % 7], k, (float) (i / 4 % 2));
	}
}

static void
test_gemm(void **state)
{
	(void) state;
	assert_string_equal(nn_blas_name(), "built-in");
	for_each_isa(run_gemm);
}

static int
count_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	int n = 0;

	assert_non_null(dir);
	for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

/*
 * OpenBLAS starts no thread, neither when it is loaded nor when it multiplies, and its results are those of the
 * built-in product.
 */
static void
test_blas(void **state)
{
	NnError error;

	(void) state;
	if (nn_blas_load(&error) != NN_OK)
	{
		assert_int_equal(error.status, NN_ERR_UNAVAILABLE);
		print_message("skipped: %s\n", error.message);
		skip();
	}
	assert_string_not_equal(nn_blas_name(), "built-in");
	assert_int_equal(count_threads(), 1);
	run_gemm();
	check_gemm(false, false, 256, 200, 300, 0.0f);
	assert_int_equal(count_threads(), 1);
	assert_int_equal(nn_blas_load(&error), NN_OK);
}

/* ---- convolution ---- */

typedef struct ConvCase
{
	int h, w, cin, cout, kh, kw;
	bool same;
	bool first; /* the input is the raw images */
} ConvCase;

static const ConvCase convs[] = {
	{28, 28, 1, 32, 3, 3, false, true},	 {28, 28, 1, 6, 5, 5, true, true},	  {28, 28, 1, 17, 1, 4, false, true},
	{5, 7, 1, 1, 3, 3, false, false},	 {13, 13, 16, 16, 3, 3, true, false}, {13, 13, 32, 64, 3, 3, false, false},
	{6, 6, 64, 130, 3, 3, true, false},	 {7, 15, 33, 48, 3, 1, true, false},  {3, 29, 5, 31, 2, 2, false, false},
	{4, 4, 128, 20, 1, 1, false, false}, {9, 3, 14, 96, 5, 3, true, false},	  {5, 5, 65, 64, 5, 5, false, false},
	{3, 3, 16, 16, 3, 3, false, false},	 {3, 3, 64, 70, 3, 3, true, false},	  {1, 2, 16, 128, 3, 3, true, false},
	{5, 5, 64, 16, 3, 3, false, false},	 {4, 7, 20, 19, 3, 3, false, false},  {1, 2, 16, 33, 3, 3, true, false},
};

typedef struct ConvSetup
{
	NnLayer layer;
	NnTrainOp op;
	float *values;
	float *grads;
	float *in;
	float *out;
	float *din;
	float *dout;
	void *memory;
} ConvSetup;

static void
conv_setup(ConvSetup *s, const ConvCase *c)
{
	NnLayer *layer = &s->layer;
	NnArena arena = {NULL, 0};
	int more;

	memset(s, 0, sizeof(*s));
	layer->kind = NN_CONV;
	layer->in_h = c->h;
	layer->in_w = c->w;
	layer->in_c = c->cin;
	layer->kernel_h = c->kh;
	layer->kernel_w = c->kw;
	layer->pad_h = c->same ? (c->kh - 1) / 2 : 0;
	layer->pad_w = c->same ? (c->kw - 1) / 2 : 0;
	layer->out_h = c->h + 2 * layer->pad_h - c->kh + 1;
	layer->out_w = c->w + 2 * layer->pad_w - c->kw + 1;
	layer->out_c = c->cout;
	layer->weight = 1; /* not aligned, as weights in the middle of a net may be */
	layer->nweight = (size_t) c->kh * c->kw * c->cin * c->cout;
	layer->bias = 1 + layer->nweight;

	more = !c->first && nn_winograd_train_fits(layer);
	s->op.kind = NN_TRAIN_CONV;
	s->op.layer = layer;
	s->op.in = c->first ? nn_map(c->h, c->w, 1, 1, 0, 0, 0)
						: nn_map(c->h, c->w, c->cin, NN_STRIDE(c->cin), layer->pad_h, layer->pad_w, more);
	s->op.out = nn_map(layer->out_h, layer->out_w, c->cout, NN_STRIDE(c->cout), 2, 1, 0);
	s->op.din = nn_map(c->h, c->w, c->cin, NN_STRIDE(c->cin), 1, 0, 0);
	s->op.dout = nn_map(layer->out_h, layer->out_w, c->cout, NN_STRIDE(c->cout), c->kh - 1 - layer->pad_h,
						c->kw - 1 - layer->pad_w, more);
	nn_conv_init(&s->op, &arena, IMAGES);
	s->memory = allocate(arena.used);
	arena = (NnArena){s->memory, 0};
	nn_conv_init(&s->op, &arena, IMAGES);
	s->values = allocate_random(layer->bias + c->cout);
	s->grads = allocate_random(layer->bias + c->cout);
	s->in = allocate_batch(&s->op.in, true);
	s->out = allocate_batch(&s->op.out, false);
	s->din = allocate_batch(&s->op.din, false);
	s->dout = allocate_batch(&s->op.dout, true);
}

static void
conv_free(ConvSetup *s)
{
	free(s->memory);
	free(s->values);
	free(s->grads);
	free(s->in);
	free(s->out);
	free(s->din);
	free(s->dout);
}

static void
check_conv_forward(const ConvSetup *s)
{
	const NnLayer *l = &s->layer;

	for (int p = 0; p < IMAGES * l->out_h * l->out_w * l->out_c; p++)
	{
		int c = p % l->out_c;
		int x = p / l->out_c % l->out_w;
		int y = p / l->out_c / l->out_w % l->out_h;
		int i = p / l->out_c / l->out_w / l->out_h;
		double sum = s->values[l->bias + c];

		for (int t = 0; t < l->kernel_h * l->kernel_w * l->in_c; t++)
			sum += (double) s->values[l->weight + (size_t) t * l->out_c + c] *
				   at(s->in, &s->op.in, i, y + t / l->in_c / l->kernel_w - l->pad_h,
					  x + t / l->in_c % l->kernel_w - l->pad_w, t % l->in_c);
		check("convolution", at(s->out, &s->op.out, i, y, x, c), sum, 30.0);
	}
}

static void
check_conv_din(const ConvSetup *s)
{
	const NnLayer *l = &s->layer;

	for (int p = 0; p < IMAGES * l->in_h * l->in_w * l->in_c; p++)
	{
		int ci = p % l->in_c;
		int x = p / l->in_c % l->in_w;
		int y = p / l->in_c / l->in_w % l->in_h;
		int i = p / l->in_c / l->in_w / l->in_h;
		double sum = 0.0;

		for (int t = 0; t < l->kernel_h * l->kernel_w * l->out_c; t++)
		{
			int tap = t / l->out_c;

			sum += (double) s->values[l->weight + ((size_t) tap * l->in_c + ci) * l->out_c + t % l->out_c] *
				   at(s->dout, &s->op.dout, i, y - tap / l->kernel_w + l->pad_h, x - tap % l->kernel_w + l->pad_w,
					  t % l->out_c);
		}
		check("gradient of the input", at(s->din, &s->op.din, i, y, x, ci), sum, 30.0);
	}
}

static void
check_conv_dweight(const ConvSetup *s)
{
	const NnLayer *l = &s->layer;
	int pixels = l->out_h * l->out_w;

	for (int t = 0; t < l->kernel_h * l->kernel_w * l->in_c * l->out_c; t++)
	{
		int c = t % l->out_c;
		int ci = t / l->out_c % l->in_c;
		int tap = t / l->out_c / l->in_c;
		double sum = 0.0;
		double bias = 0.0;

		for (int p = 0; p < IMAGES * pixels; p++)
		{
			int x = p % l->out_w;
			int y = p / l->out_w % l->out_h;
			double d = at(s->dout, &s->op.dout, p / pixels, y, x, c);

			bias += d;
			sum += d * at(s->in, &s->op.in, p / pixels, y + tap / l->kernel_w - l->pad_h,
						  x + tap % l->kernel_w - l->pad_w, ci);
		}
		check("gradient of a weight", s->grads[l->weight + t], sum, 30.0);
		check("gradient of a bias", s->grads[l->bias + c], bias, 30.0);
	}
}

static void
run_conv(void)
{
	for (size_t k = 0; k < sizeof(convs) / sizeof(convs[0]); k++)
	{
		ConvSetup s;

		conv_setup(&s, &convs[k]);
		nn_conv_begin(&s.op, s.values);
		nn_conv_forward(&s.op, s.out + s.op.out.origin, s.in + s.op.in.origin, IMAGES);
		/* Two calls, as with two groups of images. */
		nn_conv_backward(&s.op, convs[k].first ? NULL : s.din + s.op.din.origin, s.in + s.op.in.origin,
						 s.dout + s.op.dout.origin, 1);
		nn_conv_backward(&s.op, convs[k].first ? NULL : s.din + s.op.din.origin + s.op.din.image,
						 s.in + s.op.in.origin + s.op.in.image, s.dout + s.op.dout.origin + s.op.dout.image,
						 IMAGES - 1);
		nn_conv_finish(&s.op, s.grads);
		check_conv_forward(&s);
		check_conv_dweight(&s);
		if (!convs[k].first)
			check_conv_din(&s);
		conv_free(&s);
	}
}

static void
test_conv(void **state)
{
	(void) state;
	for_each_isa(run_conv);
}

/* ---- activation ---- */

/* Forward and backward with one size of window, with or without ReLU, on a 7 x 9 map of 19 channels. */
static void
check_activation(int pool, bool relu)
{
	NnTrainOp op;
	NnArena arena = {NULL, 0};
	void *memory;
	float *in;
	float *out;
	float *din;
	float *dout;

	memset(&op, 0, sizeof(op));
	op.kind = NN_TRAIN_ACTIVATION;
	op.pool = pool;
	op.relu = relu;
	op.in = nn_map(7, 9, 19, 32, 0, 0, 0);
	op.out = nn_map(7 / pool, 9 / pool, 19, 32, 1, 1, 0);
	op.din = nn_map(7, 9, 19, 32, 2, 2, 0);
	op.dout = nn_map(7 / pool, 9 / pool, 19, 32, 0, 0, 0);
	nn_activation_init(&op, &arena);
	memory = allocate(arena.used);
	arena = (NnArena){memory, 0};
	nn_activation_init(&op, &arena);
	for (int c = 0; c < op.in.c; c++)
	{
		op.scale[c] = rng_normal(&rng);
		op.shift[c] = rng_normal(&rng);
		op.slope[c] = rng_normal(&rng);
		op.offset[c] = rng_normal(&rng);
	}
	in = allocate_batch(&op.in, true);
	out = allocate_batch(&op.out, false);
	din = allocate_batch(&op.din, false);
	dout = allocate_batch(&op.dout, true);
	nn_activation_forward(&op, out + op.out.origin, in + op.in.origin, IMAGES);
	nn_activation_backward(&op, din + op.din.origin, in + op.in.origin, dout + op.dout.origin, IMAGES);

	for (int p = 0; p < IMAGES * 7 * 9 * 19; p++)
	{
		int c = p % 19;
		int x = p / 19 % 9;
		int y = p / 19 / 9 % 7;
		int i = p / 19 / 9 / 7;
		double expected = (double) at(in, &op.in, i, y, x, c) * op.slope[c] + op.offset[c];
		double z = (double) at(in, &op.in, i, y, x, c) * op.scale[c] + op.shift[c];
		double top = relu ? 0.0 : -INFINITY;

		if (y / pool < op.out.h && x / pool < op.out.w)
		{
			for (int t = 0; t < pool * pool; t++)
				top =
					fmax(top, (double) at(in, &op.in, i, y / pool * pool + t / pool, x / pool * pool + t % pool, c) *
									  op.scale[c] +
								  op.shift[c]);
			check("activation", at(out, &op.out, i, y / pool, x / pool, c), top, 10.0);
			if (z == top)
				expected += (double) at(dout, &op.dout, i, y / pool, x / pool, c) * op.scale[c];
		}
		check("gradient of an activation", at(din, &op.din, i, y, x, c), expected, 10.0);
	}
	free(in);
	free(out);
	free(din);
	free(dout);
	free(memory);
}

static void
run_activation(void)
{
	for (int pool = 1; pool <= 4; pool++)
	{
		check_activation(pool, false);
		check_activation(pool, true);
	}
}

static void
test_activation(void **state)
{
	(void) state;
	for_each_isa(run_activation);
}

/* If a window has equal maxima, only the first gets the gradient. */
static void
run_ties(void)
{
	static const float in[4 * 16] = {[0] = 1.0f, [16] = 1.0f, [32] = 1.0f, [48] = 1.0f};
	static const float dout[16] = {5.0f};
	float din[4 * 16];
	float ones[16] = {1.0f};
	float zeros[16] = {0.0f};
	NnTrainOp op;

	memset(&op, 0, sizeof(op));
	op.pool = 2;
	op.in = op.din = nn_map(2, 2, 1, 16, 0, 0, 0);
	op.out = op.dout = nn_map(1, 1, 1, 16, 0, 0, 0);
	op.scale = ones;
	op.shift = op.slope = op.offset = zeros;
	nn_activation_backward(&op, din, in, dout, 1);
	assert_true(din[0] == 5.0f && din[16] == 0.0f && din[32] == 0.0f && din[48] == 0.0f);
}

static void
test_ties(void **state)
{
	(void) state;
	for_each_isa(run_ties);
}

/* ---- dropout and loss ---- */

/* The fraction of numbers that is dropped is the rate, the mean stays, and backward has forward's mask. */
static void
test_dropout(void **state)
{
	NnLayer layer = {.kind = NN_DROPOUT, .rate = 0.3f};
	NnTrainOp op;
	float *in;
	float *out;
	float *back;
	float *other;
	int kept = 0;
	int moved = 0;
	int total = IMAGES * 50 * 40 * 30;

	(void) state;
	memset(&op, 0, sizeof(op));
	op.layer = &layer;
	op.in = nn_map(50, 40, 30, 32, 0, 0, 0);
	op.out = nn_map(50, 40, 30, 32, 1, 1, 0);
	in = allocate_batch(&op.in, false);
	for (size_t i = 0; i < IMAGES * op.in.image; i++)
		in[i] = 1.0f;
	out = allocate_batch(&op.out, false);
	back = allocate_batch(&op.in, false);
	other = allocate_batch(&op.in, false);
	nn_dropout(&op, out + op.out.origin, &op.out, in, &op.in, IMAGES, 0, 5);
	/* The first image and the others in separate calls: the mask depends on the place in the batch. */
	nn_dropout(&op, back, &op.in, in, &op.in, 1, 0, 5);
	nn_dropout(&op, back + op.in.image, &op.in, in, &op.in, IMAGES - 1, 1, 5);
	nn_dropout(&op, other, &op.in, in, &op.in, IMAGES, 0, 6);
	for (int p = 0; p < total; p++)
	{
		int i = p / (50 * 40 * 30);
		int y = p / (40 * 30) % 50;
		float o = at(out, &op.out, i, y, p / 30 % 40, p % 30);

		assert_true(o == 0.0f || fabsf(o - 1.0f / 0.7f) < 1e-6f);
		assert_true(o == at(back, &op.in, i, y, p / 30 % 40, p % 30));
		kept += o != 0.0f;
		moved += o != at(other, &op.in, i, y, p / 30 % 40, p % 30);
	}
	/* Five standard deviations. */
	assert_true(fabs((double) kept / total - 0.7) < 5.0 * sqrt(0.21 / total));
	assert_true(moved > total / 3);
	free(in);
	free(out);
	free(back);
	free(other);
}

/* Two images that were computed by hand, one of them with logits that would overflow exp(). */
static void
test_loss(void **state)
{
	static const float logits[2 * 16] = {[3] = 1.0f, [16] = 1000.0f, [17] = 1000.0f};
	static const float targets[2 * NN_CLASSES] = {[3] = 0.75f, [4] = 0.25f, [NN_CLASSES + 9] = 1.0f};
	static const float weights[2] = {2.0f, 0.5f};
	NnBatch batch = {.n = 2, .targets = targets, .weights = weights};
	double sum = 9.0 + exp(1.0);
	float dlogits[2 * 16] = {0};
	NnLoss loss;

	(void) state;
	loss = nn_softmax_loss(dlogits, logits, 16, &batch);
	check("loss", loss.loss, 2.0 * (log(sum) - 0.75) + 0.5 * (1000.0 + log(2.0)), 100.0);
	assert_int_equal(loss.correct, 1);
	check("gradient", dlogits[3], 2.0 * (exp(1.0) / sum - 0.75), 1.0);
	check("gradient", dlogits[4], 2.0 * (1.0 / sum - 0.25), 1.0);
	check("gradient", dlogits[0], 2.0 / sum, 1.0);
	check("gradient", dlogits[16], 0.25, 1.0);
	check("gradient", dlogits[16 + 9], -0.5, 1.0);
	assert_true(dlogits[NN_CLASSES] == 0.0f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gemm), cmocka_unit_test(test_conv),	 cmocka_unit_test(test_activation),
		cmocka_unit_test(test_ties), cmocka_unit_test(test_dropout), cmocka_unit_test(test_loss),
		cmocka_unit_test(test_blas), /* last: from then on nn_sgemm is OpenBLAS */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
