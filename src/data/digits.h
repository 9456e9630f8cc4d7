/* SPDX-License-Identifier: Apache-2.0 */
/* The drawing of handwritten-like digits (see digits.c). */
#ifndef BDL_DATA_DIGITS_H
#define BDL_DATA_DIGITS_H

#include "base/rng.h"

enum {
    BDL__DIGIT_SIDE = 28,
    BDL__DIGIT_PIXELS = BDL__DIGIT_SIDE * BDL__DIGIT_SIDE,
    BDL__GLYPH_STROKES = 4,
    BDL__GLYPH_POINTS = 12
};

/* A curve through its points, in a box of 100 x 100, y downwards. */
typedef struct bdl__glyph_stroke {
    int n;
    int8_t xy[BDL__GLYPH_POINTS][2];
} bdl__glyph_stroke;

/* One way to write a digit. */
typedef struct bdl__glyph {
    int digit;
    int n_strokes;
    bdl__glyph_stroke strokes[BDL__GLYPH_STROKES];
} bdl__glyph;

/* All ways of writing `digit`. */
const bdl__glyph *bdl__glyphs_of(int digit, int *n);

/* Draws one digit as 28 x 28 bytes, white on black, from the random numbers alone. */
void bdl__digit_draw(int digit, bdl__rng *rng, uint8_t pixels[BDL__DIGIT_PIXELS]);

#endif
