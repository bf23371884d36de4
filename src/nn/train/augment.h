/*
 * augment.h: augmentation: small random changes of shape.
 */
#ifndef NN_TRAIN_AUGMENT_H
#define NN_TRAIN_AUGMENT_H

#include <stdint.h>

/* The limits of the random changes. */
typedef struct NnAugment
{
	float rotate;		 /* degrees, uniform in [-rotate, rotate] */
	float scale;		 /* each axis by a factor uniform in [1 - scale, 1 + scale] */
	float shear;		 /* uniform in [-shear, shear] */
	float translate;	 /* pixels, uniform in [-translate, translate] */
	float elastic_alpha; /* amplitude in pixels of the elastic field (Simard et al. 2003) */
	float elastic_sigma; /* its smoothness, in pixels */
} NnAugment;

/*
 * Write an augmented image, out (28, 28) of 0..1, from pixels (28, 28) of 0..255.  The same key gives the same image.
 * With augment NULL or all zero, the pixels are only brought to 0..1.
 */
extern void nn_augment(float *out, const uint8_t *pixels, const NnAugment *augment, uint64_t key);

/* Multiply all limits by a strength: 0 leaves no augmentation.  The elastic field keeps its smoothness. */
extern void nn_augment_scale(NnAugment *augment, float strength);

#endif /* NN_TRAIN_AUGMENT_H */
