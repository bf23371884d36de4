/*
 * augment.c: augmentation of training images: an affine map and an elastic field in one bilinear resampling.
 *
 * For each pixel of the result, its position in the source is computed, and the image is sampled there.  The elastic
 * field of Simard, Steinkraus and Platt (2003) is noise smoothed by a Gaussian.  Here uniform noise on a coarse grid
 * is smoothed by cubic B-splines instead, whose spacing is chosen to match the Gaussian's width: a cubic B-spline of
 * spacing s has variance s^2 / 3.  This needs some 60 random numbers per axis instead of 784 and a convolution.
 */
#include "nn/train/augment.h"
#include "nn/nn.h"
#include "util/rng.h"

#include <string.h>

#define FIELD_MAX (NN_SIDE + 4) /* knots along one axis at the closest spacing, one pixel */
#define MARGIN 2				/* zero pixels around the image that sampling reads from */
#define FRAME (NN_SIDE + 2 * MARGIN)

/*
 * Standard deviation of the field per unit of noise: uniform in [-1, 1) has variance 1/3; along each axis the
 * mean of the sum of the squared spline weights is 151/315.
 */
#define FIELD_DEVIATION (0.57735026919f * 151.0f / 315.0f)

/* The four cubic B-spline weights of each pixel along an axis, and the first knot they belong to. */
typedef struct Spline
{
	int knot[NN_SIDE];
	float weight[NN_SIDE][4];
	int nknots;
} Spline;

static void
spline_init(Spline *spline, float spacing, float phase)
{
	for (int i = 0; i < NN_SIDE; i++)
	{
		float position = (float) i / spacing + phase;
		int knot = (int) position;
		float t = position - (float) knot;
		float u = 1.0f - t;

		spline->knot[i] = knot;
		spline->weight[i][0] = u * u * u / 6.0f;
		spline->weight[i][1] = (3.0f * t * t * t - 6.0f * t * t + 4.0f) / 6.0f;
		spline->weight[i][2] = (3.0f * u * u * u - 6.0f * u * u + 4.0f) / 6.0f;
		spline->weight[i][3] = t * t * t / 6.0f;
	}
	spline->nknots = spline->knot[NN_SIDE - 1] + 4;
}

/* field (28, 28): one axis of an elastic displacement, standard deviation alpha pixels. */
static void
elastic_field(float field[NN_SIDE][NN_SIDE], const NnAugment *augment, Rng *rng)
{
	float spacing = fmaxf(augment->elastic_sigma * 1.7320508f, 1.0f);
	float amplitude = augment->elastic_alpha / FIELD_DEVIATION;
	Spline across;
	Spline down;
	float rows[FIELD_MAX][NN_SIDE];

	spline_init(&across, spacing, rng_uniform(rng));
	spline_init(&down, spacing, rng_uniform(rng));
	for (int k = 0; k < down.nknots; k++)
	{
		float noise[FIELD_MAX];

		for (int i = 0; i < across.nknots; i++)
			noise[i] = rng_range(rng, -amplitude, amplitude);
		for (int x = 0; x < NN_SIDE; x++)
		{
			const float *n = noise + across.knot[x];
			const float *w = across.weight[x];

			rows[k][x] = n[0] * w[0] + n[1] * w[1] + n[2] * w[2] + n[3] * w[3];
		}
	}
	for (int y = 0; y < NN_SIDE; y++)
	{
		int k = down.knot[y];
		const float *w = down.weight[y];

		for (int x = 0; x < NN_SIDE; x++)
			field[y][x] = rows[k][x] * w[0] + rows[k + 1][x] * w[1] + rows[k + 2][x] * w[2] + rows[k + 3][x] * w[3];
	}
}

/* Sample the framed image at (x, y) in pixels, bilinear, zero outside. */
static inline float
sample(float frame[FRAME][FRAME], float x, float y)
{
	int ix;
	int iy;
	const float *p;
	float top;
	float bottom;

	/* The margin is zero, so positions outside the frame can be moved into it. */
	x = fminf(fmaxf(x, -1.5f), NN_SIDE + 0.5f) + MARGIN;
	y = fminf(fmaxf(y, -1.5f), NN_SIDE + 0.5f) + MARGIN;
	ix = (int) x;
	iy = (int) y;
	x -= (float) ix;
	y -= (float) iy;
	p = &frame[iy][ix];
	top = p[0] + x * (p[1] - p[0]);
	bottom = p[FRAME] + x * (p[FRAME + 1] - p[FRAME]);
	return top + y * (bottom - top);
}

void
nn_augment(float *out, const uint8_t *pixels, const NnAugment *augment, uint64_t key)
{
	static const NnAugment none = {0};
	const float center = (NN_SIDE - 1) / 2.0f;
	float frame[FRAME][FRAME];
	float field_x[NN_SIDE][NN_SIDE];
	float field_y[NN_SIDE][NN_SIDE];
	Rng rng = rng_start(key);
	float angle;
	float scale_x;
	float scale_y;
	float shear;
	float move_x;
	float move_y;
	float matrix[2][2];

	if (augment == NULL || memcmp(augment, &none, sizeof(none)) == 0)
	{
		for (int i = 0; i < NN_PIXELS; i++)
			out[i] = (float) pixels[i] / 255.0f;
		return;
	}

	angle = rng_range(&rng, -augment->rotate, augment->rotate) * 0.017453292519943f;
	scale_x = 1.0f / rng_range(&rng, 1.0f - augment->scale, 1.0f + augment->scale);
	scale_y = 1.0f / rng_range(&rng, 1.0f - augment->scale, 1.0f + augment->scale);
	shear = rng_range(&rng, -augment->shear, augment->shear);
	move_x = rng_range(&rng, -augment->translate, augment->translate);
	move_y = rng_range(&rng, -augment->translate, augment->translate);

	/* From a position in the result to one in the source: undo the rotation, then the shear, then the scaling. */
	matrix[0][0] = scale_x * (cosf(angle) - shear * sinf(angle));
	matrix[0][1] = scale_x * (sinf(angle) + shear * cosf(angle));
	matrix[1][0] = -scale_y * sinf(angle);
	matrix[1][1] = scale_y * cosf(angle);

	if (augment->elastic_alpha > 0.0f)
	{
		elastic_field(field_x, augment, &rng);
		elastic_field(field_y, augment, &rng);
	}
	else
	{
		memset(field_x, 0, sizeof(field_x));
		memset(field_y, 0, sizeof(field_y));
	}

	memset(frame, 0, sizeof(frame));
	for (int y = 0; y < NN_SIDE; y++)
	{
		for (int x = 0; x < NN_SIDE; x++)
			frame[y + MARGIN][x + MARGIN] = (float) pixels[y * NN_SIDE + x] / 255.0f;
	}
	for (int y = 0; y < NN_SIDE; y++)
	{
		float v = (float) y - center - move_y;

		for (int x = 0; x < NN_SIDE; x++)
		{
			float u = (float) x - center - move_x;

			*out++ = sample(frame, matrix[0][0] * u + matrix[0][1] * v + center + field_x[y][x],
							matrix[1][0] * u + matrix[1][1] * v + center + field_y[y][x]);
		}
	}
}

void
nn_augment_scale(NnAugment *augment, float strength)
{
	augment->rotate *= strength;
	augment->scale *= strength;
	augment->shear *= strength;
	augment->translate *= strength;
	augment->elastic_alpha *= strength;
}
