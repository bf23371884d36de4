/*
 * bytes.h: numbers as bytes at any address.  Little-endian, as in our weight files, unless the name says otherwise.
 */
#ifndef BYTES_H
#define BYTES_H

#include <stdint.h>
#include <string.h>

static inline void
put_u32(uint8_t *out, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t) (value >> (8 * i));
}

static inline uint32_t
get_u32(const uint8_t *in)
{
	return (uint32_t) in[0] | (uint32_t) in[1] << 8 | (uint32_t) in[2] << 16 | (uint32_t) in[3] << 24;
}

/* Big-endian, as in PNG and IDX files. */
static inline uint32_t
get_u32_big(const uint8_t *in)
{
	return (uint32_t) in[0] << 24 | (uint32_t) in[1] << 16 | (uint32_t) in[2] << 8 | in[3];
}

/* Floats are IEEE 754 binary32. */
static inline void
put_float32(uint8_t *out, float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	put_u32(out, bits);
}

static inline float
get_float32(const uint8_t *in)
{
	uint32_t bits = get_u32(in);
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

#endif /* BYTES_H */
