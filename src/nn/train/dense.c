/*
 * dense.c: the fully connected layer: three matrix products over the whole batch.
 */
#include "nn/train/dense.h"
#include "nn/kernels/blas.h"

#include <string.h>

void
nn_dense_forward(const NnTrainOp *op, float *out, const float *in, const float *values, int n)
{
	const NnLayer *layer = op->layer;
	int fan_in = (int) (layer->nweight / layer->out_c);

	for (int i = 0; i < n; i++)
		memcpy(out + i * op->out.image, values + layer->bias, layer->out_c * sizeof(float));
	nn_sgemm(false, false, n, layer->out_c, fan_in, in, (int) op->in.image, values + layer->weight, layer->out_c,
			 1.0f, out, (int) op->out.image);
}

void
nn_dense_backward(const NnTrainOp *op, float *din, float *grads, const float *dout, const float *in,
				  const float *values, int n)
{
	const NnLayer *layer = op->layer;
	int fan_in = (int) (layer->nweight / layer->out_c);
	float *dbias = grads + layer->bias;

	nn_sgemm(true, false, fan_in, layer->out_c, n, in, (int) op->in.image, dout, (int) op->dout.image, 0.0f,
			 grads + layer->weight, layer->out_c);
	memset(dbias, 0, layer->out_c * sizeof(float));
	for (int i = 0; i < n; i++)
	{
		for (int c = 0; c < layer->out_c; c++)
			dbias[c] += dout[i * op->dout.image + c];
	}
	if (din != NULL)
		nn_sgemm(false, true, n, fan_in, layer->out_c, dout, (int) op->dout.image, values + layer->weight,
				 layer->out_c, 0.0f, din, (int) op->din.image);
}
