/*
 * picture.h: PNGs for SQL.
 */
#ifndef SERVE_PICTURE_H
#define SERVE_PICTURE_H

#include "postgres.h"

#include "image/encode.h"

/* A square image of side x side pixels as a PNG, palloc'd. */
extern bytea *encode_png(const uint8 *samples, int side, ImageColor color);

#endif /* SERVE_PICTURE_H */
