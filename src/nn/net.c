/*
 * net.c: descriptions of networks: named architectures, parsing, formatting, first weights.
 *
 * A description is a list of layers separated by commas, "conv 32 3x3 same, relu, maxpool 2, dense 10".  It comes
 * from users and from files, so nothing in it is trusted.  Every number is bounded when it is read, and every shape
 * is checked when it is known.  Products are computed in 64 bits, from factors that have been checked to be small.
 * Nothing is allocated.
 */
#include "nn/nn.h"

#include <stdio.h>
#include <string.h>

#include "util/rng.h"

#define RATE_DIGITS 4		  /* decimals of a dropout rate */
#define RATE_UNIT 10000		  /* 10 ^ RATE_DIGITS */
#define NUMBER_MAX 1000000000 /* larger numbers are clamped to this, which no layer allows */

static const struct
{
	const char *name;
	const char *text;
} presets[] = {
	{"softmax", "dense 10"},
	{"mlp", "dense 256, bn, relu, dropout 0.3, dense 256, bn, relu, dropout 0.3, dense 10"},
	{"lenet5", "conv 6 5x5 same, relu, maxpool 2, conv 16 5x5, relu, maxpool 2, "
			   "dense 120, relu, dense 84, relu, dense 10"},
	{"keras_cnn", "conv 32 3x3, relu, maxpool 2, conv 64 3x3, relu, maxpool 2, "
				  "dense 128, relu, dropout 0.5, dense 10"},
	{"default", "conv 32 3x3, bn, relu, conv 32 3x3, bn, relu, maxpool 2, "
				"conv 64 3x3 same, bn, relu, conv 64 3x3 same, bn, relu, maxpool 2, "
				"conv 128 3x3 same, bn, relu, maxpool 2, dropout 0.3, dense 10"},
};

#define NPRESETS ((int) (sizeof(presets) / sizeof(presets[0])))

/* The state of the parser. */
typedef struct Parser
{
	const char *text;
	size_t len;
	size_t pos;
	int layer; /* 1-based number of the layer, for messages */
	NnError *error;
} Parser;

/* Character classes of ASCII, independent of the locale. */
static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char
to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

static bool
is_letter(char c)
{
	return to_lower(c) >= 'a' && to_lower(c) <= 'z';
}

/* Does the text of this length equal the lower-case word, ignoring case? */
static bool
same_word(const char *text, size_t len, const char *word)
{
	size_t i;

	for (i = 0; i < len; i++)
	{
		if (word[i] == '\0' || to_lower(text[i]) != word[i])
			return false;
	}
	return word[i] == '\0';
}

const char *
nn_preset(const char *name)
{
	for (int i = 0; i < NPRESETS; i++)
	{
		if (same_word(name, strlen(name), presets[i].name))
			return presets[i].text;
	}
	return NULL;
}

const char *
nn_preset_name(int i)
{
	return i >= 0 && i < NPRESETS ? presets[i].name : NULL;
}

/* ---- parsing ---- */

static void
skip_space(Parser *p)
{
	while (p->pos < p->len && is_space(p->text[p->pos]))
		p->pos++;
}

/* The character at the position, or NUL at the end. */
static char
peek(const Parser *p)
{
	return p->pos < p->len ? p->text[p->pos] : '\0';
}

/* Fail with what was expected and what was found; bytes other than printable ASCII are shown as "?". */
static NnStatus
fail_expected(Parser *p, const char *expected)
{
	char found[32];
	size_t n = 0;

	skip_space(p);
	if (p->pos >= p->len)
		return nn_fail(p->error, NN_ERR_SYNTAX, "layer %d: expected %s at end of network description", p->layer,
					   expected);
	while (n < sizeof(found) - 1 && p->pos + n < p->len)
	{
		char c = p->text[p->pos + n];

		if (n > 0 && (is_space(c) || c == ','))
			break;
		found[n++] = c > ' ' && c <= '~' ? c : '?';
	}
	found[n] = '\0';
	return nn_fail(p->error, NN_ERR_SYNTAX, "layer %d: expected %s but found \"%s\"", p->layer, expected, found);
}

/* If the next word (letters only) is the given one, skip it and return true. */
static bool
accept_word(Parser *p, const char *word)
{
	size_t end;

	skip_space(p);
	end = p->pos;
	while (end < p->len && is_letter(p->text[end]))
		end++;
	if (end == p->pos || !same_word(p->text + p->pos, end - p->pos, word))
		return false;
	p->pos = end;
	return true;
}

/* Read digits; a number above NUMBER_MAX becomes NUMBER_MAX.  Returns false if there are no digits. */
static bool
read_digits(Parser *p, int *number)
{
	size_t start;
	int64_t value = 0;

	start = p->pos;
	for (; is_digit(peek(p)); p->pos++)
	{
		value = value * 10 + (peek(p) - '0');
		if (value > NUMBER_MAX)
			value = NUMBER_MAX;
	}
	*number = (int) value;
	return p->pos > start;
}

/* Read an integer in 1..max. */
static NnStatus
read_count(Parser *p, const char *what, int max, int *number)
{
	skip_space(p);
	if (!read_digits(p, number))
		return fail_expected(p, what);
	if (*number > max)
		return nn_fail(p->error, NN_ERR_LIMIT, "layer %d: %s must be at most %d", p->layer, what, max);
	if (*number < 1)
		return nn_fail(p->error, NN_ERR_SYNTAX, "layer %d: %s must be at least 1", p->layer, what);
	return NN_OK;
}

/* Read a dropout rate: 0 or 0.ddd, with at most RATE_DIGITS decimals. */
static NnStatus
read_rate(Parser *p, float *rate)
{
	int whole = 0;
	int parts = 0;
	bool any;

	skip_space(p);
	any = read_digits(p, &whole);
	if (peek(p) == '.')
	{
		int unit = RATE_UNIT;

		p->pos++;
		for (; is_digit(peek(p)); p->pos++)
		{
			any = true;
			unit /= 10;
			if (unit == 0)
				return nn_fail(p->error, NN_ERR_SYNTAX, "layer %d: dropout rate must have at most %d decimals",
							   p->layer, RATE_DIGITS);
			parts += unit * (peek(p) - '0');
		}
	}
	if (!any)
		return fail_expected(p, "dropout rate");
	if (whole != 0)
		return nn_fail(p->error, NN_ERR_SYNTAX, "layer %d: dropout rate must be at least 0 and less than 1",
					   p->layer);
	*rate = (float) parts / RATE_UNIT;
	return NN_OK;
}

static NnStatus
read_conv(Parser *p, NnLayer *layer)
{
	NnStatus status;
	bool same = false;

	status = read_count(p, "number of channels", NN_MAX_CHANNELS, &layer->out_c);
	if (status == NN_OK)
		status = read_count(p, "kernel height", NUMBER_MAX, &layer->kernel_h);
	if (status != NN_OK)
		return status;
	if (!accept_word(p, "x"))
		return fail_expected(p, "\"x\" between kernel height and width");
	status = read_count(p, "kernel width", NUMBER_MAX, &layer->kernel_w);
	if (status != NN_OK)
		return status;
	if (accept_word(p, "same"))
		same = true;
	else
		(void) accept_word(p, "valid");

	if (layer->kernel_h > layer->in_h || layer->kernel_w > layer->in_w)
		return nn_fail(p->error, NN_ERR_SYNTAX, "layer %d: kernel %dx%d is larger than its input of %dx%d", p->layer,
					   layer->kernel_h, layer->kernel_w, layer->in_h, layer->in_w);
	if (same && (layer->kernel_h % 2 == 0 || layer->kernel_w % 2 == 0))
		return nn_fail(p->error, NN_ERR_SYNTAX, "layer %d: kernel height and width must be odd with \"same\"",
					   p->layer);
	if (same)
	{
		layer->pad_h = (layer->kernel_h - 1) / 2;
		layer->pad_w = (layer->kernel_w - 1) / 2;
	}
	layer->out_h = layer->in_h + 2 * layer->pad_h - layer->kernel_h + 1;
	layer->out_w = layer->in_w + 2 * layer->pad_w - layer->kernel_w + 1;
	return NN_OK;
}

static NnStatus
read_maxpool(Parser *p, NnLayer *layer)
{
	NnStatus status;

	status = read_count(p, "pool size", NUMBER_MAX, &layer->pool);
	if (status != NN_OK)
		return status;
	if (layer->pool > layer->in_h || layer->pool > layer->in_w)
		return nn_fail(p->error, NN_ERR_SYNTAX, "layer %d: pool of %d is larger than its input of %dx%d", p->layer,
					   layer->pool, layer->in_h, layer->in_w);
	layer->out_h = layer->in_h / layer->pool;
	layer->out_w = layer->in_w / layer->pool;
	return NN_OK;
}

/* Read one layer: fill in its kind, its own numbers and its output shape.  Its input shape is set already. */
static NnStatus
read_layer(Parser *p, NnLayer *layer, bool after_dense)
{
	NnStatus status = NN_OK;

	layer->out_h = layer->in_h;
	layer->out_w = layer->in_w;
	layer->out_c = layer->in_c;

	if (accept_word(p, "conv"))
	{
		layer->kind = NN_CONV;
		if (!after_dense)
			status = read_conv(p, layer);
	}
	else if (accept_word(p, "bn"))
		layer->kind = NN_BATCHNORM;
	else if (accept_word(p, "relu"))
		layer->kind = NN_RELU;
	else if (accept_word(p, "maxpool"))
	{
		layer->kind = NN_MAXPOOL;
		if (!after_dense)
			status = read_maxpool(p, layer);
	}
	else if (accept_word(p, "dropout"))
	{
		layer->kind = NN_DROPOUT;
		status = read_rate(p, &layer->rate);
	}
	else if (accept_word(p, "dense"))
	{
		layer->kind = NN_DENSE;
		layer->out_h = layer->out_w = 1;
		status = read_count(p, "number of units", NN_MAX_UNITS, &layer->out_c);
	}
	else
		return fail_expected(p, "conv, bn, relu, maxpool, dropout or dense");

	if (after_dense && (layer->kind == NN_CONV || layer->kind == NN_MAXPOOL))
		return nn_fail(p->error, NN_ERR_SYNTAX, "layer %d: %s cannot follow a dense layer", p->layer,
					   layer->kind == NN_CONV ? "conv" : "maxpool");
	return status;
}

/* ---- sizes ---- */

/* Give the layer its place among the parameters and count its multiply-adds; fail beyond the limits. */
static NnStatus
place_layer(NnNet *net, NnLayer *layer, NnError *error)
{
	uint64_t outputs = (uint64_t) layer->out_h * layer->out_w * layer->out_c;
	uint64_t fan_in = 0;
	uint64_t places = 1;
	uint64_t nweight = 0;
	uint64_t macs;

	if (layer->kind == NN_CONV)
	{
		fan_in = (uint64_t) layer->kernel_h * layer->kernel_w * layer->in_c;
		places = (uint64_t) layer->out_h * layer->out_w;
	}
	else if (layer->kind == NN_DENSE)
		fan_in = (uint64_t) layer->in_h * layer->in_w * layer->in_c;

	if (fan_in > 0)
		nweight = fan_in * (uint64_t) layer->out_c;
	else if (layer->kind == NN_BATCHNORM)
		nweight = (uint64_t) layer->out_c;
	macs = fan_in > 0 ? nweight * places : 0;

	if (outputs > NN_MAX_ACTIVATIONS)
		return nn_fail(error, NN_ERR_LIMIT, "layer %d: output of %llu numbers exceeds the limit of %d",
					   net->nlayers + 1, (unsigned long long) outputs, NN_MAX_ACTIVATIONS);
	if (net->nparams + nweight + (uint64_t) layer->out_c > NN_MAX_VALUES)
		return nn_fail(error, NN_ERR_LIMIT, "layer %d: network exceeds the limit of %d weights", net->nlayers + 1,
					   NN_MAX_VALUES);
	if (net->macs + macs > NN_MAX_MACS)
		return nn_fail(error, NN_ERR_LIMIT, "layer %d: network exceeds the limit of %d multiplications an image",
					   net->nlayers + 1, NN_MAX_MACS);

	if (nweight > 0)
	{
		layer->weight = net->nparams;
		layer->nweight = (size_t) nweight;
		layer->bias = layer->weight + layer->nweight;
		net->nparams = layer->bias + (size_t) layer->out_c;
	}
	net->macs += (size_t) macs;
	return NN_OK;
}

/* Place the running statistics behind the parameters. */
static NnStatus
place_statistics(NnNet *net, NnError *error)
{
	net->nvalues = net->nparams;
	for (int i = 0; i < net->nlayers; i++)
	{
		NnLayer *layer = &net->layers[i];

		if (layer->kind != NN_BATCHNORM)
			continue;
		layer->mean = net->nvalues;
		layer->var = layer->mean + (size_t) layer->out_c;
		net->nvalues = layer->var + (size_t) layer->out_c;
	}
	if (net->nvalues > NN_MAX_VALUES)
		return nn_fail(error, NN_ERR_LIMIT, "network exceeds the limit of %d weights", NN_MAX_VALUES);
	return NN_OK;
}

/* If the text is the name of an architecture, replace it with its description. */
static void
expand_preset(const char **text, size_t *len)
{
	const char *start = *text;
	size_t n = *len;

	while (n > 0 && is_space(start[0]))
		start++, n--;
	while (n > 0 && is_space(start[n - 1]))
		n--;
	for (int i = 0; i < NPRESETS; i++)
	{
		if (same_word(start, n, presets[i].name))
		{
			*text = presets[i].text;
			*len = strlen(presets[i].text);
			return;
		}
	}
}

NnStatus
nn_net_parse(NnNet *net, const char *text, size_t len, NnError *error)
{
	Parser p = {.layer = 1, .error = error};
	NnLayer input = {.out_h = NN_SIDE, .out_w = NN_SIDE, .out_c = 1};
	bool after_dense = false;
	NnStatus status;

	memset(net, 0, sizeof(*net));
	nn_error_clear(error);
	if (len > NN_MAX_TEXT)
		return nn_fail(error, NN_ERR_LIMIT, "network description of %zu bytes exceeds the limit of %d", len,
					   NN_MAX_TEXT);
	expand_preset(&text, &len);
	p.text = text;
	p.len = len;

	for (;; p.layer++)
	{
		const NnLayer *prev = net->nlayers > 0 ? &net->layers[net->nlayers - 1] : &input;
		NnLayer *layer;

		if (net->nlayers == NN_MAX_LAYERS)
			return nn_fail(error, NN_ERR_LIMIT, "network exceeds the limit of %d layers", NN_MAX_LAYERS);
		layer = &net->layers[net->nlayers];
		layer->in_h = prev->out_h;
		layer->in_w = prev->out_w;
		layer->in_c = prev->out_c;

		status = read_layer(&p, layer, after_dense);
		if (status == NN_OK)
			status = place_layer(net, layer, error);
		if (status != NN_OK)
			return status;
		if (layer->kind == NN_DENSE)
			after_dense = true;
		net->nlayers++;

		skip_space(&p);
		if (p.pos >= p.len)
			break;
		if (peek(&p) != ',')
			return fail_expected(&p, "a comma");
		p.pos++;
	}

	if (net->layers[net->nlayers - 1].kind != NN_DENSE || net->layers[net->nlayers - 1].out_c != NN_CLASSES)
		return nn_fail(error, NN_ERR_SYNTAX, "the last layer of a network must be \"dense %d\"", NN_CLASSES);
	return place_statistics(net, error);
}

/* ---- formatting ---- */

static void
format_layer(const NnLayer *layer, char *out, size_t size)
{
	switch (layer->kind)
	{
		case NN_CONV:
			snprintf(out, size, "conv %d %dx%d%s", layer->out_c, layer->kernel_h, layer->kernel_w,
					 layer->pad_h > 0 || layer->pad_w > 0 ? " same" : "");
			break;
		case NN_BATCHNORM:
			snprintf(out, size, "bn");
			break;
		case NN_RELU:
			snprintf(out, size, "relu");
			break;
		case NN_MAXPOOL:
			snprintf(out, size, "maxpool %d", layer->pool);
			break;
		case NN_DROPOUT:
		{
			int parts = (int) (layer->rate * RATE_UNIT + 0.5f);
			int digits = RATE_DIGITS;

			while (digits > 1 && parts % 10 == 0)
			{
				parts /= 10;
				digits--;
			}
			if (parts == 0)
				snprintf(out, size, "dropout 0");
			else
				snprintf(out, size, "dropout 0.%0*d", digits, parts);
			break;
		}
		case NN_DENSE:
			snprintf(out, size, "dense %d", layer->out_c);
			break;
	}
}

size_t
nn_net_format(const NnNet *net, char *out, size_t size)
{
	size_t len = 0;

	if (size > 0)
		out[0] = '\0';
	for (int i = 0; i < net->nlayers; i++)
	{
		char layer[64];
		const char *separator = i > 0 ? ", " : "";

		format_layer(&net->layers[i], layer, sizeof(layer));
		if (len < size)
			snprintf(out + len, size - len, "%s%s", separator, layer);
		len += strlen(separator) + strlen(layer);
	}
	return len;
}

void
nn_net_init(const NnNet *net, float *values, uint64_t seed)
{
	for (int i = 0; i < net->nlayers; i++)
	{
		const NnLayer *layer = &net->layers[i];
		Rng rng = rng_start(rng_key(seed, (uint64_t) i));
		float deviation;

		if (layer->nweight == 0)
			continue;
		for (int c = 0; c < layer->out_c; c++)
			values[layer->bias + (size_t) c] = 0.0f;
		if (layer->kind == NN_BATCHNORM)
		{
			for (int c = 0; c < layer->out_c; c++)
			{
				values[layer->weight + (size_t) c] = 1.0f;
				values[layer->mean + (size_t) c] = 0.0f;
				values[layer->var + (size_t) c] = 1.0f;
			}
			continue;
		}
		/* He, Zhang, Ren, Sun 2015: variance 2 / fan-in */
		deviation = sqrtf(2.0f * (float) layer->out_c / (float) layer->nweight);
		for (size_t k = 0; k < layer->nweight; k++)
			values[layer->weight + k] = deviation * rng_normal(&rng);
	}
}
