/*
 * onnx.c: a network as an ONNX model, for runtimes, converters and viewers.
 *
 * ONNX (https://github.com/onnx/onnx, onnx/onnx.proto) is a protocol buffer, of which little is needed here.  The
 * graph has one node for each layer, between "image", float (N, 1, 28, 28), and "probabilities", float (N, 10).  N is
 * open.  Dropout does nothing in inference, so it is left out.  Batch norm stays a node of its own; other programs
 * can fold it into the convolution before it, or continue to train it.
 *
 * ONNX has channels first.  Activations are not transposed; instead, the weights are permuted to the order of ONNX's
 * convolution and of its flattening of (C, H, W).  A dense layer is a convolution as large as its input, so one
 * permutation serves both.
 *
 * The model needs operator set 13, of 2020, and nothing newer.
 */
#include "nn/formats/onnx.h"
#include "nn/formats/tensor.h"
#include "nn/nn.h"
#include "util/bytes.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define IR_VERSION 7 /* the version that was released with the operator set */
#define OPERATOR_SET 13
#define ELEMENT_FLOAT 1
#define BATCH "N" /* the open dimension's name */
#define INPUT "image"
#define OUTPUT "probabilities"
#define MAX_INPUTS 5
#define MAX_ATTRIBUTES 3

/* ---- protocol buffers (https://protobuf.dev/programming-guides/encoding) ---- */

enum
{
	WIRE_VARINT = 0,
	WIRE_BYTES = 2,
	WIRE_FLOAT = 5
};

typedef struct Writer
{
	uint8_t *out; /* NULL: only count */
	size_t len;
} Writer;

static void
put_byte(Writer *w, uint8_t byte)
{
	if (w->out)
		w->out[w->len] = byte;
	w->len++;
}

static void
put_varint(Writer *w, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		put_byte(w, (uint8_t) (value | 0x80));
	put_byte(w, (uint8_t) value);
}

static void
put_key(Writer *w, int field, int wire_type)
{
	put_varint(w, (uint64_t) (field << 3 | wire_type));
}

static void
put_int(Writer *w, int field, int64_t value)
{
	put_key(w, field, WIRE_VARINT);
	put_varint(w, (uint64_t) value);
}

static void
put_float(Writer *w, float value)
{
	if (w->out)
		put_float32(w->out + w->len, value);
	w->len += sizeof(float);
}

static void
put_string(Writer *w, int field, const char *string)
{
	size_t len = strlen(string);

	put_key(w, field, WIRE_BYTES);
	put_varint(w, len);
	if (w->out)
		memcpy(w->out + w->len, string, len);
	w->len += len;
}

/* A message within a message.  Its length comes before its fields, so they are put twice: first only to count. */
static void
put_message(Writer *w, int field, void (*put_fields)(Writer *, const void *), const void *message)
{
	Writer count = {NULL, 0};

	put_fields(&count, message);
	put_key(w, field, WIRE_BYTES);
	put_varint(w, count.len);
	put_fields(w, message);
}

/* ---- tensors and their types ---- */

typedef struct Initializer
{
	const NnLayer *layer;
	const NnTensor *tensor;
	const float *values; /* the net's, or NULL when counting */
	NnPart part;
} Initializer;

/* Weights of a convolution or dense layer, (H, W, C, out) in values, as (out, C, H, W). */
static void
put_permuted(Writer *w, const float *weights, size_t height, size_t width, size_t channels, size_t out)
{
	for (size_t o = 0; o < out; o++)
		for (size_t c = 0; c < channels; c++)
			for (size_t y = 0; y < height; y++)
				for (size_t x = 0; x < width; x++)
					put_float(w, weights[((y * width + x) * channels + c) * out + o]);
}

static void
put_data(Writer *w, const Initializer *i)
{
	const float *values = i->values + i->tensor->offset;
	const NnLayer *layer = i->layer;
	size_t channels = (size_t) layer->in_c;
	size_t out = (size_t) layer->out_c;

	if (i->part == NN_PART_WEIGHT && layer->kind == NN_CONV)
		put_permuted(w, values, (size_t) layer->kernel_h, (size_t) layer->kernel_w, channels, out);
	else if (i->part == NN_PART_WEIGHT && layer->kind == NN_DENSE)
		put_permuted(w, values, (size_t) layer->in_h, (size_t) layer->in_w, channels, out);
	else
		for (size_t k = 0; k < i->tensor->count; k++)
			put_float(w, values[k]);
}

/* TensorProto */
static void
put_initializer(Writer *w, const void *message)
{
	const Initializer *i = message;
	const NnTensor *t = i->tensor;

	/* the last dimension, that of the outputs, comes first; (KH, KW, Cin) becomes (Cin, KH, KW) */
	put_int(w, 1, t->dims[t->ndims - 1]);
	if (t->ndims == 4)
		put_int(w, 1, t->dims[2]);
	if (t->ndims > 1)
		put_int(w, 1, t->dims[0]);
	if (t->ndims == 4)
		put_int(w, 1, t->dims[1]);
	put_int(w, 2, ELEMENT_FLOAT);
	put_string(w, 8, t->name);
	put_key(w, 9, WIRE_BYTES); /* raw_data */
	put_varint(w, t->count * sizeof(float));
	if (w->out)
		put_data(w, i);
	else
		w->len += t->count * sizeof(float);
}

/* The graph's input or output. */
typedef struct Value
{
	const char *name;
	const char *comment;
	int ndims;
	int dims[4]; /* 0: open */
} Value;

/* TensorShapeProto.Dimension */
static void
put_dimension(Writer *w, const void *message)
{
	int size = *(const int *) message;

	if (size > 0)
		put_int(w, 1, size);
	else
		put_string(w, 2, BATCH);
}

/* TensorShapeProto */
static void
put_shape(Writer *w, const void *message)
{
	const Value *value = message;

	for (int i = 0; i < value->ndims; i++)
		put_message(w, 1, put_dimension, &value->dims[i]);
}

/* TypeProto.Tensor */
static void
put_tensor_type(Writer *w, const void *message)
{
	put_int(w, 1, ELEMENT_FLOAT);
	put_message(w, 2, put_shape, message);
}

/* TypeProto */
static void
put_type(Writer *w, const void *message)
{
	put_message(w, 1, put_tensor_type, message);
}

/* ValueInfoProto */
static void
put_value(Writer *w, const void *message)
{
	const Value *value = message;

	put_string(w, 1, value->name);
	put_message(w, 2, put_type, value);
	put_string(w, 3, value->comment);
}

/* ---- nodes ---- */

typedef struct Attribute
{
	const char *name;
	enum
	{
		ATTRIBUTE_FLOAT = 1, /* as in AttributeProto.AttributeType */
		ATTRIBUTE_INT = 2,
		ATTRIBUTE_INTS = 7
	} type;
	float number;
	int n;
	int ints[4]; /* of ATTRIBUTE_INT: the first */
} Attribute;

typedef struct Node
{
	char name[NN_TENSOR_NAME];
	const char *op_type;
	int ninputs;
	char inputs[MAX_INPUTS][NN_TENSOR_NAME];
	char output[NN_TENSOR_NAME];
	int nattributes;
	Attribute attributes[MAX_ATTRIBUTES];
} Node;

/* AttributeProto */
static void
put_attribute(Writer *w, const void *message)
{
	const Attribute *attribute = message;

	put_string(w, 1, attribute->name);
	if (attribute->type == ATTRIBUTE_FLOAT)
	{
		put_key(w, 2, WIRE_FLOAT);
		put_float(w, attribute->number);
	}
	else if (attribute->type == ATTRIBUTE_INT)
		put_int(w, 3, attribute->ints[0]);
	else
		for (int i = 0; i < attribute->n; i++)
			put_int(w, 8, attribute->ints[i]);
	put_int(w, 20, attribute->type);
}

/* NodeProto */
static void
put_node(Writer *w, const void *message)
{
	const Node *node = message;

	for (int i = 0; i < node->ninputs; i++)
		put_string(w, 1, node->inputs[i]);
	put_string(w, 2, node->output);
	put_string(w, 3, node->name);
	put_string(w, 4, node->op_type);
	for (int i = 0; i < node->nattributes; i++)
		put_message(w, 5, put_attribute, &node->attributes[i]);
}

static void
add_input(Node *node, const char *name)
{
	assert(node->ninputs < MAX_INPUTS);
	snprintf(node->inputs[node->ninputs++], NN_TENSOR_NAME, "%s", name);
}

static void
add_attribute(Node *node, Attribute attribute)
{
	assert(node->nattributes < MAX_ATTRIBUTES);
	node->attributes[node->nattributes++] = attribute;
}

static void
add_float(Node *node, const char *name, float number)
{
	add_attribute(node, (Attribute){.name = name, .type = ATTRIBUTE_FLOAT, .number = number});
}

static void
add_int(Node *node, const char *name, int number)
{
	add_attribute(node, (Attribute){.name = name, .type = ATTRIBUTE_INT, .ints = {number}});
}

/* A size for height and one for width. */
static void
add_pair(Node *node, const char *name, int h, int w)
{
	add_attribute(node, (Attribute){.name = name, .type = ATTRIBUTE_INTS, .n = 2, .ints = {h, w}});
}

/* The node of a layer, without its inputs and output; dropout has none. */
static void
describe_layer(const NnLayer *layer, Node *node)
{
	switch (layer->kind)
	{
		case NN_CONV:
			node->op_type = "Conv";
			add_pair(node, "kernel_shape", layer->kernel_h, layer->kernel_w);
			add_attribute(node, (Attribute){.name = "pads",
											.type = ATTRIBUTE_INTS,
											.n = 4,
											.ints = {layer->pad_h, layer->pad_w, layer->pad_h, layer->pad_w}});
			add_pair(node, "strides", 1, 1);
			break;
		case NN_BATCHNORM:
			node->op_type = "BatchNormalization";
			add_float(node, "epsilon", NN_BN_EPSILON);
			break;
		case NN_RELU:
			node->op_type = "Relu";
			break;
		case NN_MAXPOOL:
			node->op_type = "MaxPool";
			add_pair(node, "kernel_shape", layer->pool, layer->pool);
			add_pair(node, "strides", layer->pool, layer->pool);
			break;
		case NN_DENSE:
			node->op_type = "Gemm";
			add_int(node, "transB", 1);
			break;
		case NN_DROPOUT:
			break;
	}
}

/* ---- the graph ---- */

typedef struct Model
{
	const NnNet *net;
	const float *values; /* NULL when counting */
	const NnOrigin *origin;
} Model;

/* Put a node that follows value "last", which becomes the node's output. */
static void
put_next(Writer *w, Node *node, char last[NN_TENSOR_NAME], const char *output)
{
	snprintf(node->output, sizeof(node->output), "%s", output);
	put_message(w, 1, put_node, node);
	snprintf(last, NN_TENSOR_NAME, "%s", output);
}

/* Put a node whose only attribute is "axis": Flatten or Softmax, for which the first dimension is the batch. */
static void
put_plain(Writer *w, const char *op_type, const char *name, char last[NN_TENSOR_NAME], const char *output)
{
	Node node = {.op_type = op_type};

	snprintf(node.name, sizeof(node.name), "%s", name);
	add_input(&node, last);
	add_int(&node, "axis", 1);
	put_next(w, &node, last, output);
}

static void
put_layers(Writer *w, const NnNet *net)
{
	char last[NN_TENSOR_NAME] = INPUT;
	bool flat = false;

	for (int i = 0; i < net->nlayers; i++)
	{
		const NnLayer *layer = &net->layers[i];
		Node node = {.ninputs = 0};
		char output[NN_TENSOR_NAME] = "logits";

		if (layer->kind == NN_DROPOUT)
			continue;
		if (layer->kind == NN_DENSE && !flat)
		{
			put_plain(w, "Flatten", "flatten", last, "flat");
			flat = true;
		}
		describe_layer(layer, &node);
		snprintf(node.name, sizeof(node.name), "layers.%d", i);
		if (i < net->nlayers - 1)
			snprintf(output, sizeof(output), "layers.%d.output", i);
		add_input(&node, last);
		for (int part = 0; part < NN_NPARTS; part++)
		{
			NnTensor tensor;

			if (nn_tensor(net, i, (NnPart) part, &tensor))
				add_input(&node, tensor.name);
		}
		put_next(w, &node, last, output);
	}
	put_plain(w, "Softmax", "softmax", last, OUTPUT);
}

/* GraphProto */
static void
put_graph(Writer *w, const void *message)
{
	static const Value input = {
		INPUT, "28 x 28, ink bright on dark: a pixel of 0..255 divided by 255", 4, {0, 1, NN_SIDE, NN_SIDE}};
	static const Value output = {OUTPUT, "of the digits 0 to 9", 2, {0, NN_CLASSES}};
	const Model *model = message;
	const NnNet *net = model->net;

	put_layers(w, net);
	put_string(w, 2, "mnist_hil");
	for (int i = 0; i < net->nlayers; i++)
	{
		for (int part = 0; part < NN_NPARTS; part++)
		{
			NnTensor tensor;
			Initializer initializer = {&net->layers[i], &tensor, model->values, (NnPart) part};

			if (nn_tensor(net, i, (NnPart) part, &tensor))
				put_message(w, 5, put_initializer, &initializer);
		}
	}
	put_message(w, 11, put_value, &input);
	put_message(w, 12, put_value, &output);
}

/* OperatorSetIdProto, of ONNX's own operators */
static void
put_operator_set(Writer *w, const void *message)
{
	put_string(w, 1, "");
	put_int(w, 2, *(const int *) message);
}

/* StringStringEntryProto: the description, as mnist_import and nn_net_parse accept it */
static void
put_network(Writer *w, const void *message)
{
	char text[NN_MAX_TEXT * 2];

	nn_net_format(message, text, sizeof(text));
	put_string(w, 1, "network");
	put_string(w, 2, text);
}

/* ModelProto */
static void
put_model(Writer *w, const Model *model)
{
	static const int operator_set = OPERATOR_SET;

	put_int(w, 1, IR_VERSION);
	put_string(w, 2, "mnist_hil");
	put_string(w, 3, model->origin->software_version);
	put_int(w, 5, model->origin->model_version);
	put_string(w, 6, "a reader of handwritten digits");
	put_message(w, 7, put_graph, model);
	put_message(w, 8, put_operator_set, &operator_set);
	put_message(w, 14, put_network, model->net);
}

size_t
nn_onnx_size(const NnNet *net, const NnOrigin *origin)
{
	Writer w = {NULL, 0};
	Model model = {net, NULL, origin};

	put_model(&w, &model);
	return w.len;
}

void
nn_onnx_write(const NnNet *net, const float *values, const NnOrigin *origin, void *out)
{
	Writer w = {out, 0};
	Model model = {net, values, origin};

	put_model(&w, &model);
}
