/*
 * conv.c: convolution, forward and backward.
 *
 * The kernels (nn/kernels/conv.c) are direct: there is no matrix of patches.  Their weights are prepared here once
 * per step: packed as nn/kernels/pack.h says, and a second copy turned by 180 degrees with input and output channels
 * exchanged.  With that copy the gradient of the input is a convolution of dout, whose map has a border of
 * K - 1 - padding pixels.
 *
 * The first layer is an exception.  Its input is the raw image with one channel, so each number loaded would be used
 * in too few multiplications.  There the KH x KW neighbourhood of each pixel is copied to a patch, and the layer is a
 * 1 x 1 convolution over KH * KW channels.
 */
#include "nn/train/conv.h"
#include "nn/train/winograd_train.h"
#include "nn/kernels/conv.h"

#include <string.h>

/* Is the input of this operation the raw images? */
static bool
reads_images(const NnTrainOp *op)
{
	return op->in.stride == 1;
}

void
nn_conv_init(NnTrainOp *op, NnArena *arena, int group)
{
	const NnLayer *layer = op->layer;
	size_t taps = (size_t) layer->kernel_h * layer->kernel_w;
	size_t cin = (size_t) layer->in_c;
	size_t in_stride = (size_t) op->in.stride;
	size_t out_stride = (size_t) op->out.stride;

	op->bias = nn_arena_take(arena, out_stride * sizeof(float));
	op->dbias = nn_arena_take(arena, out_stride * sizeof(float));
	op->zero = nn_arena_take(arena, (in_stride > out_stride ? in_stride : out_stride) * sizeof(float));
	op->winograd = !reads_images(op) && nn_winograd_train_fits(layer);
	if (op->winograd)
	{
		nn_winograd_train_init(op, arena);
		return;
	}
	op->packed = nn_arena_take(arena, taps * cin * out_stride * sizeof(float));
	op->dweight = nn_arena_take(arena, taps * cin * out_stride * sizeof(float));
	if (reads_images(op))
	{
		op->patch = nn_map(layer->out_h, layer->out_w, (int) taps, NN_STRIDE((int) taps), 0, 0, 0);
		op->patches = nn_arena_take(arena, group * op->patch.image * sizeof(float));
		op->framed = nn_arena_take(arena, (size_t) (layer->in_h + 2 * layer->pad_h) *
											  (layer->in_w + 2 * layer->pad_w) * sizeof(float));
	}
	else
		op->flipped = nn_arena_take(arena, taps * layer->out_c * in_stride * sizeof(float));
}

/* Pack weights (rows, columns) as (stride / NN_BLOCK, rows, NN_BLOCK). */
static void
pack(float *packed, const float *weights, int rows, int columns, int stride)
{
	for (int c = 0; c < stride; c += NN_BLOCK)
	{
		int used = columns - c < NN_BLOCK ? columns - c : NN_BLOCK;

		for (int r = 0; r < rows; r++, packed += NN_BLOCK)
		{
			memcpy(packed, weights + (size_t) r * columns + c, used * sizeof(float));
			memset(packed + used, 0, (NN_BLOCK - used) * sizeof(float));
		}
	}
}

/* The same for the flipped weights: rows are (KH - 1 - ky, KW - 1 - kx, cout), columns are input channels. */
static void
pack_flipped(float *packed, const float *weights, const NnLayer *layer, int stride)
{
	int taps = layer->kernel_h * layer->kernel_w;
	int cin = layer->in_c;
	int cout = layer->out_c;

	for (int c = 0; c < stride; c += NN_BLOCK)
	{
		for (int k = taps - 1; k >= 0; k--)
		{
			const float *tap = weights + (size_t) k * cin * cout;

			for (int o = 0; o < cout; o++, packed += NN_BLOCK)
			{
				for (int i = 0; i < NN_BLOCK; i++)
					packed[i] = c + i < cin ? tap[(size_t) (c + i) * cout + o] : 0.0f;
			}
		}
	}
}

void
nn_conv_begin(NnTrainOp *op, const float *values)
{
	const NnLayer *layer = op->layer;
	int rows = layer->kernel_h * layer->kernel_w * layer->in_c;

	memcpy(op->bias, values + layer->bias, layer->out_c * sizeof(float));
	memset(op->dbias, 0, op->out.stride * sizeof(float));
	if (op->winograd)
	{
		nn_winograd_train_begin(op, values);
		return;
	}
	pack(op->packed, values + layer->weight, rows, layer->out_c, op->out.stride);
	if (op->flipped != NULL)
		pack_flipped(op->flipped, values + layer->weight, layer, op->in.stride);
	memset(op->dweight, 0, (size_t) rows * op->out.stride * sizeof(float));
}

/* Copy the neighbourhood of each pixel of n raw images (n, H, W) to op->patches. */
static void
gather_patches(NnTrainOp *op, const float *images, int n)
{
	const NnLayer *layer = op->layer;
	int kh = layer->kernel_h;
	int kw = layer->kernel_w;
	size_t width = (size_t) layer->in_w + 2 * layer->pad_w;

	for (int i = 0; i < n; i++, images += op->in.image)
	{
		const float *image = images;
		float *patch = op->patches + i * op->patch.image;

		if (layer->pad_h > 0 || layer->pad_w > 0)
		{
			for (int y = 0; y < layer->in_h; y++)
				memcpy(op->framed + (y + layer->pad_h) * width + layer->pad_w, images + (size_t) y * layer->in_w,
					   layer->in_w * sizeof(float));
			image = op->framed;
		}
		for (int y = 0; y < layer->out_h; y++)
		{
			for (int x = 0; x < layer->out_w; x++, patch += op->patch.stride)
			{
				const float *from = image + y * width + x;

				if (kw == 3)
				{
					for (int ky = 0; ky < kh; ky++)
						memcpy(patch + ky * 3, from + ky * width, 3 * sizeof(float));
				}
				else
				{
					for (int ky = 0; ky < kh; ky++)
					{
						for (int kx = 0; kx < kw; kx++)
							patch[ky * kw + kx] = from[ky * width + kx];
					}
				}
			}
		}
	}
}

/* The kernel's arguments for this convolution; on the first layer, for the 1 x 1 convolution over patches. */
static NnConvArgs
conv_args(const NnTrainOp *op, const float *in, const NnMap *out)
{
	const NnLayer *layer = op->layer;
	const NnMap *map = reads_images(op) ? &op->patch : &op->in;
	NnConvArgs args;

	memset(&args, 0, sizeof(args));
	args.weight = op->packed;
	args.bias = op->bias;
	args.height = layer->out_h;
	args.width = layer->out_w;
	args.out_c = op->out.stride;
	args.in_px = map->stride;
	args.in_row = map->row;
	args.in_image = map->image;
	args.out_px = out->stride;
	args.out_row = out->row;
	args.out_image = out->image;
	if (reads_images(op))
	{
		args.in = op->patches;
		args.cin = layer->kernel_h * layer->kernel_w;
		args.kernel_h = args.kernel_w = 1;
	}
	else
	{
		args.in = in - (size_t) layer->pad_h * map->row - (size_t) layer->pad_w * map->stride;
		args.cin = layer->in_c;
		args.kernel_h = layer->kernel_h;
		args.kernel_w = layer->kernel_w;
	}
	return args;
}

void
nn_conv_forward(NnTrainOp *op, float *out, const float *in, int n)
{
	NnConvArgs args = conv_args(op, in, &op->out);

	if (op->winograd)
	{
		nn_winograd_train_forward(op, out, in, n);
		return;
	}
	if (reads_images(op))
		gather_patches(op, in, n);
	args.out = out;
	nn_conv_product(&args, n);
}

void
nn_conv_backward(NnTrainOp *op, float *din, const float *in, float *dout, int n)
{
	const NnLayer *layer = op->layer;
	NnConvArgs args = conv_args(op, in, &op->dout);

	if (reads_images(op))
		gather_patches(op, in, n);
	args.out = dout;
	nn_conv_bias_gradient(&args, op->dbias, n);
	if (op->winograd)
	{
		nn_winograd_train_backward(op, din, in, dout, n);
		return;
	}
	nn_conv_outer_product(&args, op->dweight, n);
	if (din == NULL)
		return;

	args.in = dout - (size_t) (layer->kernel_h - 1 - layer->pad_h) * op->dout.row -
			  (size_t) (layer->kernel_w - 1 - layer->pad_w) * op->dout.stride;
	args.in_px = op->dout.stride;
	args.in_row = op->dout.row;
	args.in_image = op->dout.image;
	args.cin = layer->out_c;
	args.out = din;
	args.out_px = op->din.stride;
	args.out_row = op->din.row;
	args.out_image = op->din.image;
	args.out_c = op->din.stride;
	args.height = layer->in_h;
	args.width = layer->in_w;
	args.weight = op->flipped;
	args.bias = op->zero;
	nn_conv_product(&args, n);
}

void
nn_conv_finish(const NnTrainOp *op, float *grads)
{
	const NnLayer *layer = op->layer;
	int rows = layer->kernel_h * layer->kernel_w * layer->in_c;
	const float *dweight = op->winograd ? nn_winograd_train_finish(op) : op->dweight;

	for (int r = 0; r < rows; r++)
		memcpy(grads + layer->weight + (size_t) r * layer->out_c, dweight + (size_t) r * op->out.stride,
			   layer->out_c * sizeof(float));
	memcpy(grads + layer->bias, op->dbias, layer->out_c * sizeof(float));
}
