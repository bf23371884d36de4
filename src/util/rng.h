/*
 * rng.h: random numbers from an explicit state.
 *
 * SplitMix64 (Steele, Lea, Flood 2014): a counter passed through a mixing function.  The stream depends on the key
 * alone.  So an image gets the same random numbers whichever process handles it, and in whatever order.
 */
#ifndef RNG_H
#define RNG_H

#include <math.h>
#include <stdint.h>

typedef struct Rng
{
	uint64_t state;
} Rng;

/* Scramble a 64-bit number. */
static inline uint64_t
rng_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* Derive a key from a key and a number: (seed, epoch), (key, sample), ... */
static inline uint64_t
rng_key(uint64_t key, uint64_t number)
{
	return rng_mix(key + UINT64_C(0x9e3779b97f4a7c15) * (number + 1));
}

static inline Rng
rng_start(uint64_t key)
{
	return (Rng){key};
}

static inline uint64_t
rng_next(Rng *rng)
{
	rng->state += UINT64_C(0x9e3779b97f4a7c15);
	return rng_mix(rng->state);
}

/* Uniform in [0, 1). */
static inline float
rng_uniform(Rng *rng)
{
	return (float) (rng_next(rng) >> 40) * 0x1p-24f;
}

/* Uniform in [low, high). */
static inline float
rng_range(Rng *rng, float low, float high)
{
	return low + (high - low) * rng_uniform(rng);
}

/* Uniform in 0 .. n-1 (Lemire 2019, without the rejection: n is far below 2^32). */
static inline uint32_t
rng_below(Rng *rng, uint32_t n)
{
	return (uint32_t) (((rng_next(rng) >> 32) * n) >> 32);
}

/* Standard normal (Box and Muller 1958). */
static inline float
rng_normal(Rng *rng)
{
	float u = rng_uniform(rng);
	float v = rng_uniform(rng);

	return sqrtf(-2.0f * logf(1.0f - u)) * cosf(6.28318530717958647692f * v);
}

#endif /* RNG_H */
