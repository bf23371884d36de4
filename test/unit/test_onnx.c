/*
 * test_onnx.c: an exported model, evaluated as ONNX defines it, gives the same probabilities as the network.
 *
 * The reader here follows ONNX's definitions (onnx.proto, Operators.md), not the writer.  It parses the protocol
 * buffer and evaluates the graph, channels first, in plain loops.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/naive.h"
#include "nn/formats/onnx.h"
#include "nn/nn.h"
#include "util/rng.h"

#define MAX_NODES 80
#define MAX_TENSORS 256
#define MIXED                                                                            \
	"bn, conv 5 2x3, relu, bn, maxpool 2, dropout 0.2, conv 7 3x5 same, maxpool 3, bn, " \
	"conv 6 1x2, relu, dense 33, bn, relu, dropout 0.5, dense 17, relu, bn, dense 10"

static const NnOrigin origin = {"1.2.3", 42};

/* ---- protocol buffers ---- */

typedef struct Bytes
{
	const uint8_t *at;
	size_t left;
} Bytes;

typedef struct Field
{
	int number;
	int wire;
	uint64_t value; /* of a varint or fixed32 */
	Bytes bytes;	/* of a length-delimited field */
} Field;

static uint64_t
take_varint(Bytes *b)
{
	uint64_t value = 0;

	for (int shift = 0; shift < 64; shift += 7)
	{
		uint8_t byte;

		assert_true(b->left > 0);
		byte = *b->at++;
		b->left--;
		value |= (uint64_t) (byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
	fail_msg("a varint of more than ten bytes");
	return 0;
}

/* The next field; false at the end. */
static bool
take_field(Bytes *b, Field *field)
{
	uint64_t key;

	if (b->left == 0)
		return false;
	key = take_varint(b);
	field->number = (int) (key >> 3);
	field->wire = (int) (key & 7);
	assert_true(field->number > 0);
	if (field->wire == 0)
		field->value = take_varint(b);
	else if (field->wire == 2)
	{
		size_t len = (size_t) take_varint(b);

		assert_true(len <= b->left);
		field->bytes = (Bytes){b->at, len};
		b->at += len;
		b->left -= len;
	}
	else
	{
		uint32_t bits = 0;

		assert_int_equal(field->wire, 5);
		assert_true(b->left >= 4);
		for (int i = 0; i < 4; i++)
			bits |= (uint32_t) *b->at++ << (8 * i);
		b->left -= 4;
		field->value = bits;
	}
	return true;
}

static bool
is(Bytes b, const char *text)
{
	return b.left == strlen(text) && memcmp(b.at, text, b.left) == 0;
}

static bool
equal(Bytes a, Bytes b)
{
	return a.left == b.left && memcmp(a.at, b.at, a.left) == 0;
}

/* ---- ONNX ---- */

/* A tensor, (N = 1, ...): an initializer or the output of a node. */
typedef struct Tensor
{
	Bytes name;
	int ndims;
	int dims[4];
	float *data;
	size_t count;
} Tensor;

typedef struct Attribute
{
	Bytes name;
	float f;
	int64_t i;
	int n;
	int ints[4];
} Attribute;

typedef struct Node
{
	Bytes op;
	int ninputs;
	Bytes inputs[5];
	Bytes output;
	int nattributes;
	Attribute attributes[4];
} Node;

typedef struct Graph
{
	int nnodes;
	Node nodes[MAX_NODES];
	int ntensors;
	Tensor tensors[MAX_TENSORS];
	Bytes input;
	Bytes output;
} Graph;

typedef struct Model
{
	int64_t ir_version;
	Bytes producer;
	Bytes producer_version;
	int64_t version;
	int64_t operator_set;
	Bytes network;
	Graph graph;
	uint8_t *file; /* the names point into it */
} Model;

static Tensor *
add_tensor(Graph *g, Bytes name, int ndims, const int *dims)
{
	Tensor *t;

	for (int i = 0; i < g->ntensors; i++)
		assert_false(equal(g->tensors[i].name, name));
	assert_true(g->ntensors < MAX_TENSORS);
	t = &g->tensors[g->ntensors++];
	t->name = name;
	t->ndims = ndims;
	t->count = 1;
	for (int d = 0; d < ndims; d++)
	{
		t->dims[d] = dims[d];
		t->count *= (size_t) dims[d];
	}
	t->data = malloc(t->count * sizeof(float));
	assert_non_null(t->data);
	return t;
}

static const Tensor *
find_tensor(const Graph *g, Bytes name)
{
	for (int i = 0; i < g->ntensors; i++)
	{
		if (equal(g->tensors[i].name, name))
			return &g->tensors[i];
	}
	fail_msg("no value is called %.*s", (int) name.left, (const char *) name.at);
	return NULL;
}

static void
read_initializer(Graph *g, Bytes b)
{
	Field field;
	Bytes name = {0};
	Bytes raw = {0};
	int ndims = 0;
	int dims[4];
	Tensor *t;

	while (take_field(&b, &field))
	{
		if (field.number == 1)
		{
			assert_true(ndims < 4);
			dims[ndims++] = (int) field.value;
		}
		else if (field.number == 2)
			assert_int_equal(field.value, 1); /* FLOAT */
		else if (field.number == 8)
			name = field.bytes;
		else if (field.number == 9)
			raw = field.bytes;
		else
			fail_msg("field %d in a tensor", field.number);
	}
	t = add_tensor(g, name, ndims, dims);
	assert_int_equal(raw.left, t->count * sizeof(float));
	memcpy(t->data, raw.at, raw.left);
}

static void
read_attribute(Node *node, Bytes b)
{
	Attribute *a = &node->attributes[node->nattributes++];
	Field field;
	int type = 0;

	assert_true(node->nattributes <= 4);
	while (take_field(&b, &field))
	{
		uint32_t bits = (uint32_t) field.value;

		if (field.number == 1)
			a->name = field.bytes;
		else if (field.number == 2)
			memcpy(&a->f, &bits, sizeof(bits));
		else if (field.number == 3)
			a->i = (int64_t) field.value;
		else if (field.number == 8)
		{
			assert_true(a->n < 4);
			a->ints[a->n++] = (int) field.value;
		}
		else if (field.number == 20)
			type = (int) field.value;
		else
			fail_msg("field %d in an attribute", field.number);
	}
	assert_true(type == 1 || type == 2 || type == 7);
}

static void
read_node(Graph *g, Bytes b)
{
	Node *node = &g->nodes[g->nnodes++];
	Field field;

	assert_true(g->nnodes <= MAX_NODES);
	while (take_field(&b, &field))
	{
		if (field.number == 1)
		{
			assert_true(node->ninputs < 5);
			node->inputs[node->ninputs++] = field.bytes;
		}
		else if (field.number == 2)
			node->output = field.bytes;
		else if (field.number == 4)
			node->op = field.bytes;
		else if (field.number == 5)
			read_attribute(node, field.bytes);
		else
			assert_int_equal(field.number, 3);
	}
}

/* Read a value's name; check that it is float and has this shape, the bytes of a TensorShapeProto. */
static Bytes
read_value(Bytes b, const char *shape, size_t shape_len)
{
	Field field;
	Bytes name = {0};

	while (take_field(&b, &field))
	{
		if (field.number == 1)
			name = field.bytes;
		else if (field.number == 2)
		{
			Field type = {0};
			Field part = {0};

			assert_true(take_field(&field.bytes, &type));
			assert_int_equal(type.number, 1); /* tensor_type */
			assert_true(take_field(&type.bytes, &part));
			assert_int_equal(part.value, 1); /* FLOAT */
			assert_true(take_field(&type.bytes, &part));
			assert_int_equal(part.number, 2);
			assert_int_equal(part.bytes.left, shape_len);
			assert_memory_equal(part.bytes.at, shape, shape_len);
		}
	}
	return name;
}

static void
read_graph(Graph *g, Bytes b)
{
	Field field;

	while (take_field(&b, &field))
	{
		if (field.number == 1)
			read_node(g, field.bytes);
		else if (field.number == 5)
			read_initializer(g, field.bytes);
		else if (field.number == 11)
			g->input =
				read_value(field.bytes, "\x0a\x03\x12\x01N\x0a\x02\x08\x01\x0a\x02\x08\x1c\x0a\x02\x08\x1c", 17);
		else if (field.number == 12)
			g->output = read_value(field.bytes, "\x0a\x03\x12\x01N\x0a\x02\x08\x0a", 9);
		else
			assert_int_equal(field.number, 2); /* name */
	}
}

static void
read_model(Model *m, const uint8_t *data, size_t size)
{
	Bytes b = {data, size};
	Field field;
	Field part;

	memset(m, 0, sizeof(*m));
	while (take_field(&b, &field))
	{
		if (field.number == 1)
			m->ir_version = (int64_t) field.value;
		else if (field.number == 2)
			m->producer = field.bytes;
		else if (field.number == 3)
			m->producer_version = field.bytes;
		else if (field.number == 5)
			m->version = (int64_t) field.value;
		else if (field.number == 7)
			read_graph(&m->graph, field.bytes);
		else if (field.number == 8)
		{
			while (take_field(&field.bytes, &part))
			{
				if (part.number == 1)
					assert_int_equal(part.bytes.left, 0); /* ONNX's own operators */
				else
					m->operator_set = (int64_t) part.value;
			}
		}
		else if (field.number == 14)
		{
			assert_true(take_field(&field.bytes, &part));
			assert_true(is(part.bytes, "network"));
			assert_true(take_field(&field.bytes, &part));
			m->network = part.bytes;
		}
		else
			assert_int_equal(field.number, 6); /* doc_string */
	}
}

static void
free_model(Model *m)
{
	for (int i = 0; i < m->graph.ntensors; i++)
		free(m->graph.tensors[i].data);
	free(m->file);
	free(m);
}

/* ---- evaluation ---- */

static const Attribute *
attribute(const Node *node, const char *name)
{
	for (int i = 0; i < node->nattributes; i++)
	{
		if (is(node->attributes[i].name, name))
			return &node->attributes[i];
	}
	fail_msg("attribute %s is missing", name);
	return NULL;
}

static void
run_conv(Graph *g, const Node *node, const Tensor *x)
{
	const Tensor *weights = find_tensor(g, node->inputs[1]);
	const Tensor *bias = find_tensor(g, node->inputs[2]);
	const int *pads = attribute(node, "pads")->ints;
	const int *w = weights->dims; /* (M, C, KH, KW) */
	const int dims[4] = {1, w[0], x->dims[2] + pads[0] + pads[2] - w[2] + 1,
						 x->dims[3] + pads[1] + pads[3] - w[3] + 1};
	Tensor *y;

	assert_int_equal(weights->ndims, 4);
	assert_int_equal(w[1], x->dims[1]);
	assert_int_equal(attribute(node, "kernel_shape")->ints[0], w[2]);
	assert_int_equal(attribute(node, "kernel_shape")->ints[1], w[3]);
	assert_int_equal(attribute(node, "strides")->ints[0], 1);
	assert_int_equal(attribute(node, "strides")->ints[1], 1);
	y = add_tensor(g, node->output, 4, dims);
	for (int k = 0; k < (int) y->count; k++)
	{
		int m = k / (dims[2] * dims[3]);
		int top = k / dims[3] % dims[2] - pads[0];
		int left = k % dims[3] - pads[1];
		double sum = bias->data[m];

		for (int i = 0; i < w[1] * w[2] * w[3]; i++)
		{
			int row = top + i / w[3] % w[2];
			int column = left + i % w[3];

			if (row >= 0 && row < x->dims[2] && column >= 0 && column < x->dims[3])
				sum += (double) weights->data[m * w[1] * w[2] * w[3] + i] *
					   x->data[(i / (w[2] * w[3]) * x->dims[2] + row) * x->dims[3] + column];
		}
		y->data[k] = (float) sum;
	}
}

static void
run_norm(Graph *g, const Node *node, const Tensor *x)
{
	const float *gamma = find_tensor(g, node->inputs[1])->data;
	const float *beta = find_tensor(g, node->inputs[2])->data;
	const float *mean = find_tensor(g, node->inputs[3])->data;
	const float *var = find_tensor(g, node->inputs[4])->data;
	const double epsilon = attribute(node, "epsilon")->f;
	const size_t plane = x->count / (size_t) x->dims[1];
	Tensor *y = add_tensor(g, node->output, x->ndims, x->dims);

	for (size_t k = 0; k < y->count; k++)
	{
		size_t c = k / plane;

		y->data[k] = (float) ((x->data[k] - mean[c]) / sqrt(var[c] + epsilon) * gamma[c] + beta[c]);
	}
}

static void
run_maxpool(Graph *g, const Node *node, const Tensor *x)
{
	const int *kernel = attribute(node, "kernel_shape")->ints;
	const int *strides = attribute(node, "strides")->ints;
	const int dims[4] = {1, x->dims[1], (x->dims[2] - kernel[0]) / strides[0] + 1,
						 (x->dims[3] - kernel[1]) / strides[1] + 1};
	Tensor *y = add_tensor(g, node->output, 4, dims);

	for (int k = 0; k < (int) y->count; k++)
	{
		int c = k / (dims[2] * dims[3]);
		int top = k / dims[3] % dims[2] * strides[0];
		int left = k % dims[3] * strides[1];
		float best = -INFINITY;

		for (int i = 0; i < kernel[0] * kernel[1]; i++)
			best = fmaxf(best, x->data[(c * x->dims[2] + top + i / kernel[1]) * x->dims[3] + left + i % kernel[1]]);
		y->data[k] = best;
	}
}

static void
run_gemm(Graph *g, const Node *node, const Tensor *x)
{
	const Tensor *weights = find_tensor(g, node->inputs[1]); /* (out, in), as transB says */
	const Tensor *bias = find_tensor(g, node->inputs[2]);
	const int dims[2] = {1, weights->dims[0]};
	Tensor *y = add_tensor(g, node->output, 2, dims);

	assert_int_equal(attribute(node, "transB")->i, 1);
	assert_int_equal(x->ndims, 2);
	assert_int_equal(x->dims[1], weights->dims[1]);
	for (size_t o = 0; o < y->count; o++)
	{
		double sum = bias->data[o];

		for (size_t i = 0; i < x->count; i++)
			sum += (double) x->data[i] * weights->data[o * x->count + i];
		y->data[o] = (float) sum;
	}
}

static void
run_softmax(Graph *g, const Node *node, const Tensor *x)
{
	Tensor *y = add_tensor(g, node->output, x->ndims, x->dims);
	double sum = 0.0;

	assert_int_equal(attribute(node, "axis")->i, 1);
	for (size_t i = 0; i < x->count; i++)
		sum += exp(x->data[i]);
	for (size_t i = 0; i < x->count; i++)
		y->data[i] = (float) (exp(x->data[i]) / sum);
}

static void
run_node(Graph *g, const Node *node)
{
	const Tensor *x = find_tensor(g, node->inputs[0]);
	Tensor *y;

	if (is(node->op, "Conv"))
		run_conv(g, node, x);
	else if (is(node->op, "BatchNormalization"))
		run_norm(g, node, x);
	else if (is(node->op, "MaxPool"))
		run_maxpool(g, node, x);
	else if (is(node->op, "Gemm"))
		run_gemm(g, node, x);
	else if (is(node->op, "Softmax"))
		run_softmax(g, node, x);
	else if (is(node->op, "Relu"))
	{
		y = add_tensor(g, node->output, x->ndims, x->dims);
		for (size_t i = 0; i < x->count; i++)
			y->data[i] = fmaxf(x->data[i], 0.0f);
	}
	else if (is(node->op, "Flatten"))
	{
		const int dims[2] = {1, (int) x->count};

		assert_int_equal(attribute(node, "axis")->i, 1);
		y = add_tensor(g, node->output, 2, dims);
		memcpy(y->data, x->data, x->count * sizeof(float));
	}
	else
		fail_msg("operator %.*s", (int) node->op.left, (const char *) node->op.at);
}

/* ---- tests ---- */

/* Random values for all of a network, batch norm's included. */
static float *
random_values(const NnNet *net)
{
	float *values = malloc(net->nvalues * sizeof(float));
	Rng rng = rng_start(5);

	assert_non_null(values);
	nn_net_init(net, values, 5);
	for (int i = 0; i < net->nlayers; i++)
	{
		const NnLayer *layer = &net->layers[i];

		for (int c = 0; layer->nweight > 0 && c < layer->out_c; c++)
		{
			values[layer->bias + (size_t) c] = 0.2f * rng_normal(&rng);
			if (layer->kind != NN_BATCHNORM)
				continue;
			values[layer->weight + (size_t) c] = 1.0f + 0.2f * rng_normal(&rng);
			values[layer->mean + (size_t) c] = 0.2f * rng_normal(&rng);
			values[layer->var + (size_t) c] = 0.25f + (float) rng_below(&rng, 1000) / 1000.0f;
		}
	}
	return values;
}

static Model *export(const NnNet *net, const float *values)
{
	size_t size = nn_onnx_size(net, &origin);
	uint8_t *file = malloc(size + 1);
	Model *model = malloc(sizeof(*model));

	assert_non_null(file);
	assert_non_null(model);
	file[size] = 0xa5;
	nn_onnx_write(net, values, &origin, file);
	assert_int_equal(file[size], 0xa5);
	read_model(model, file, size);
	model->file = file;
	return model;
}

/* The exported model gives the same probabilities as the network. */
static void
test_same_reading(void **state)
{
	static const char *const texts[] = {"softmax", "mlp", "lenet5", "keras_cnn", "default", MIXED};

	(void) state;
	for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++)
	{
		static const int dims[4] = {1, 1, NN_SIDE, NN_SIDE};
		uint8_t pixels[NN_PIXELS];
		float probabilities[NN_CLASSES];
		Rng rng = rng_start(t);
		NnNet net;
		NnError error;
		float *values;
		Model *model;
		Tensor *image;
		const Tensor *output;

		assert_int_equal(nn_net_parse(&net, texts[t], strlen(texts[t]), &error), NN_OK);
		values = random_values(&net);
		model = export(&net, values);

		image = add_tensor(&model->graph, model->graph.input, 4, dims);
		for (int i = 0; i < NN_PIXELS; i++)
		{
			pixels[i] = (uint8_t) rng_below(&rng, 256);
			image->data[i] = (float) pixels[i] / 255.0f;
		}
		for (int i = 0; i < model->graph.nnodes; i++)
			run_node(&model->graph, &model->graph.nodes[i]);
		output = find_tensor(&model->graph, model->graph.output);
		assert_int_equal(output->count, NN_CLASSES);
		assert_true(nn_naive_forward(&net, values, pixels, probabilities));
		for (int i = 0; i < NN_CLASSES; i++)
		{
			if (!(fabsf(output->data[i] - probabilities[i]) <= 1e-5f))
				fail_msg("%s: digit %d: %g, not %g", texts[t], i, (double) output->data[i],
						 (double) probabilities[i]);
		}
		free_model(model);
		free(values);
	}
}

/* The model's metadata. */
static void
test_metadata(void **state)
{
	NnNet net;
	NnNet again;
	NnError error;
	float *values;
	Model *model;

	(void) state;
	assert_int_equal(nn_net_parse(&net, MIXED, strlen(MIXED), &error), NN_OK);
	values = random_values(&net);
	model = export(&net, values);
	assert_int_equal(model->ir_version, 7);
	assert_int_equal(model->operator_set, 13);
	assert_true(is(model->producer, "mnist_hil"));
	assert_true(is(model->producer_version, "1.2.3"));
	assert_int_equal(model->version, 42);
	assert_true(is(model->graph.input, "image"));
	assert_true(is(model->graph.output, "probabilities"));
	assert_int_equal(nn_net_parse(&again, (const char *) model->network.at, model->network.left, &error), NN_OK);
	assert_memory_equal(&again, &net, sizeof(net));
	free_model(model);
	free(values);
}

/* A network with the largest number of layers is exported completely, and its size is right. */
static void
test_many_layers(void **state)
{
	char text[NN_MAX_TEXT] = "";
	NnNet net;
	NnError error;
	float *values;
	Model *model;

	(void) state;
	for (int i = 0; i < NN_MAX_LAYERS - 1; i++)
		strcat(text, i % 2 == 0 ? "conv 2 3x3 same, " : "bn, ");
	strcat(text, "dense 10");
	assert_int_equal(nn_net_parse(&net, text, strlen(text), &error), NN_OK);
	assert_int_equal(net.nlayers, NN_MAX_LAYERS);
	values = random_values(&net);
	model = export(&net, values);
	assert_int_equal(model->graph.nnodes, NN_MAX_LAYERS + 2); /* with Flatten and Softmax */
	free_model(model);
	free(values);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_reading),
		cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_many_layers),
	};

	return cmocka_run_group_tests_name("onnx", tests, NULL, NULL);
}
