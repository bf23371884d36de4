/*
 * augment.h: augmentation: small random changes of shape.
 */
#ifndef NN_TRAIN_AUGMENT_H
#define NN_TRAIN_AUGMENT_H

#include <stdint.h>

/* How much images are changed. */
typedef struct NnAugment
{
	float rotate;		 /* degrees, uniform in [-rotate, rotate] */
	float scale;		 /* each axis by a factor uniform in [1 - scale, 1 + scale] */
	float shear;		 /* uniform in [-shear, shear] */
	float translate;	 /* pixels, uniform in [-translate, translate] */
	float elastic_alpha; /* amplitude in pixels of the elastic field (Simard et al. 2003) */
	float elastic_sigma; /* its smoothness, in pixels */
} NnAugment;

/* out (28, 28) in 0..1 from pixels 0..255; the same key gives the same image.  NULL or all zero: only scaled. */
extern void nn_augment(float *out, const uint8_t *pixels, const NnAugment *augment, uint64_t key);

#endif /* NN_TRAIN_AUGMENT_H */
