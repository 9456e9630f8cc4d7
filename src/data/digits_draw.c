/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draws one digit: a way of writing it, its points shaken, bent by a smooth field (elastic
 * distortion), sheared, turned, stretched and shifted, drawn with a pen whose width and pressure
 * vary, now and then with a gap or a stray mark, softened, and covered with noise.
 *
 * No libm: turning uses the half angle's tangent, and sums of bytes stand for normal numbers, so
 * that all machines draw the same pixels. About 10 microseconds a digit.
 */
#include "data/digits.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    SIDE = BDL__DIGIT_SIDE,
    SUBDIVISIONS = 6, /* straight pieces between two points of a curve */
    MOST_PIECES = (BDL__GLYPH_POINTS - 1) * SUBDIVISIONS + 1,
    GRID = 3 /* nodes of the bending field along an axis */
};

typedef struct point {
    float x, y;
} point;

/* How this digit is written. */
typedef struct hand {
    float a, b, c, d; /* pixels from box coordinates: x' = a x + b y + x0 */
    float x0, y0;
    float shake; /* of single points, in the box */
    point bend[GRID][GRID];
    float radius; /* of the pen, in pixels */
    float taper;  /* relative change of the radius along a stroke */
} hand;

/* Uniform in [low, high). */
static float between(bdl__rng *rng, float low, float high)
{
    const float unit = (float)(bdl__rng_u32(rng) >> 8) * 0x1p-24F;
    return low + (high - low) * unit;
}

static bool chance(bdl__rng *rng, float probability)
{
    return between(rng, 0, 1) < probability;
}

/* Nearly normal, mean 0 and variance 1: the sum of four uniform bytes (variance 21845). */
static float spread(bdl__rng *rng)
{
    const uint32_t bits = bdl__rng_u32(rng);
    const int sum =
        (int)(bits & 255) + (int)(bits >> 8 & 255) + (int)(bits >> 16 & 255) + (int)(bits >> 24);
    return (float)(sum - 510) * (1.0F / 147.8F);
}

static float clamp(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x;
}

static void choose_hand(bdl__rng *rng, hand *how)
{
    const float height = between(rng, 15.5F, 22.5F);
    const float width = height * between(rng, 0.55F, 0.9F);
    const float slant = clamp(0.12F + 0.2F * spread(rng), -0.4F, 0.6F);
    const float half = clamp(0.08F * spread(rng), -0.24F, 0.24F); /* tangent of half the angle */
    const float cosine = (1 - half * half) / (1 + half * half);
    const float sine = 2 * half / (1 + half * half);
    /* Shear, then turn: (x, y) -> (width x - slant height y, height y). */
    how->a = cosine * width;
    how->b = -cosine * slant * height - sine * height;
    how->c = sine * width;
    how->d = -sine * slant * height + cosine * height;
    how->x0 = 13.5F + clamp(1.3F * spread(rng), -3, 3);
    how->y0 = 13.5F + clamp(1.3F * spread(rng), -3, 3);
    how->shake = between(rng, 0.01F, 0.038F);
    const float bend = between(rng, 0.01F, 0.072F);
    for (int i = 0; i < GRID; i++) {
        for (int j = 0; j < GRID; j++) {
            how->bend[i][j] = (point){bend * spread(rng), bend * spread(rng)};
        }
    }
    how->radius = between(rng, 0.65F, 1.65F);
    how->taper = 0.3F * spread(rng);
}

/* The bending field at (u, v) in the box: bilinear between the nodes. */
static point bend_at(const hand *how, float u, float v)
{
    const float gu = clamp(u, 0, 0.999F) * (GRID - 1);
    const float gv = clamp(v, 0, 0.999F) * (GRID - 1);
    const int i = (int)gv, j = (int)gu;
    const float fu = gu - (float)j, fv = gv - (float)i;
    const point *top = how->bend[i], *bottom = how->bend[i + 1];
    return (point){(1 - fv) * ((1 - fu) * top[j].x + fu * top[j + 1].x) +
                       fv * ((1 - fu) * bottom[j].x + fu * bottom[j + 1].x),
                   (1 - fv) * ((1 - fu) * top[j].y + fu * top[j + 1].y) +
                       fv * ((1 - fu) * bottom[j].y + fu * bottom[j + 1].y)};
}

/* Box coordinates to pixels. */
static point place(const hand *how, float u, float v)
{
    const point bent = bend_at(how, u, v);
    const float x = u + bent.x - 0.5F, y = v + bent.y - 0.5F;
    return (point){how->a * x + how->b * y + how->x0, how->c * x + how->d * y + how->y0};
}

/* Catmull-Rom curve from p1 to p2 at t in [0, 1). */
static float curve(float p0, float p1, float p2, float p3, float t)
{
    return p1 + 0.5F * t *
                    (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)));
}

/* A stroke as pieces, in pixels; gives the number of points. */
static int trace(const hand *how, const bdl__glyph_stroke *stroke, bdl__rng *rng,
                 point pieces[MOST_PIECES])
{
    point knots[BDL__GLYPH_POINTS];
    for (int i = 0; i < stroke->n; i++) {
        knots[i].x = 0.01F * (float)stroke->xy[i][0] + how->shake * spread(rng);
        knots[i].y = 0.01F * (float)stroke->xy[i][1] + how->shake * spread(rng);
    }
    int n = 0;
    const int last = stroke->n - 1;
    for (int i = 0; i < last; i++) {
        const point *p0 = &knots[i > 0 ? i - 1 : 0], *p1 = &knots[i], *p2 = &knots[i + 1];
        const point *p3 = &knots[i + 2 <= last ? i + 2 : last];
        for (int k = 0; k < SUBDIVISIONS; k++) {
            const float t = (float)k / SUBDIVISIONS;
            pieces[n++] = place(how, curve(p0->x, p1->x, p2->x, p3->x, t),
                                curve(p0->y, p1->y, p2->y, p3->y, t));
        }
    }
    pieces[n++] = place(how, knots[last].x, knots[last].y);
    return n;
}

/* Ink of one straight piece: full within `radius` of it, fading over one pixel. */
static void draw_piece(point from, point to, float radius, float ink[SIDE][SIDE])
{
    const float reach = radius + 1;
    const float left = (from.x < to.x ? from.x : to.x) - reach;
    const float right = (from.x < to.x ? to.x : from.x) + reach;
    const float top = (from.y < to.y ? from.y : to.y) - reach;
    const float bottom = (from.y < to.y ? to.y : from.y) + reach;
    const int x_begin = (int)clamp(left, 0, SIDE), x_end = (int)clamp(right + 1, 0, SIDE);
    const int y_begin = (int)clamp(top, 0, SIDE), y_end = (int)clamp(bottom + 1, 0, SIDE);
    const float dx = to.x - from.x, dy = to.y - from.y;
    const float inverse = 1 / (dx * dx + dy * dy + 1e-6F);
    for (int y = y_begin; y < y_end; y++) {
        for (int x = x_begin; x < x_end; x++) {
            const float px = (float)x - from.x, py = (float)y - from.y;
            const float t = clamp((px * dx + py * dy) * inverse, 0, 1);
            const float ex = px - t * dx, ey = py - t * dy;
            const float value = clamp(radius + 0.5F - sqrtf(ex * ex + ey * ey), 0, 1);
            ink[y][x] = value > ink[y][x] ? value : ink[y][x];
        }
    }
}

static void draw_pieces(const point *pieces, int n, float radius, float taper, int gap_begin,
                        int gap_end, float ink[SIDE][SIDE])
{
    for (int i = 0; i + 1 < n; i++) {
        if (i >= gap_begin && i < gap_end) {
            continue;
        }
        const float along = (float)i / (float)n - 0.5F;
        draw_piece(pieces[i], pieces[i + 1], clamp(radius * (1 + taper * along), 0.35F, 2.4F), ink);
    }
}

static void draw_strokes(const hand *how, const bdl__glyph *glyph, bdl__rng *rng,
                         float ink[SIDE][SIDE])
{
    for (int s = 0; s < glyph->n_strokes; s++) {
        point pieces[MOST_PIECES];
        const int n = trace(how, &glyph->strokes[s], rng, pieces);
        int gap_begin = n, gap_end = n;
        if (n > 2 * SUBDIVISIONS && chance(rng, 0.1F)) { /* the pen fails for a moment */
            gap_begin = (int)between(rng, 0, (float)n);
            gap_end = gap_begin + (int)between(rng, 2, 0.22F * (float)n + 2);
        }
        draw_pieces(pieces, n, how->radius, how->taper, gap_begin, gap_end, ink);
    }
}

/* A stray mark: a short line somewhere, more often near an edge. */
static void draw_clutter(bdl__rng *rng, float ink[SIDE][SIDE])
{
    point from = {between(rng, 0, SIDE), between(rng, 0, SIDE)};
    if (chance(rng, 0.7F)) {
        from.x = chance(rng, 0.5F) ? between(rng, -1, 4) : between(rng, SIDE - 5, SIDE);
    }
    const float length = between(rng, 1, 8);
    const point to = {from.x + length * spread(rng) * 0.7F, from.y + length * spread(rng) * 0.7F};
    draw_piece(from, to, between(rng, 0.4F, 1.3F), ink);
}

/* The weighted mean of a pixel and its four neighbours, softness being the neighbours' weight. */
static float softened(float ink[SIDE][SIDE], int y, int x, float softness)
{
    const float up = y > 0 ? ink[y - 1][x] : 0, down = y + 1 < SIDE ? ink[y + 1][x] : 0;
    const float left = x > 0 ? ink[y][x - 1] : 0, right = x + 1 < SIDE ? ink[y][x + 1] : 0;
    return (1 - softness) * ink[y][x] + softness * 0.25F * (up + down + left + right);
}

void bdl__digit_draw(int digit, bdl__rng *rng, uint8_t pixels[BDL__DIGIT_PIXELS])
{
    float ink[SIDE][SIDE];
    memset(ink, 0, sizeof ink);
    hand how;
    int n;
    choose_hand(rng, &how);
    const bdl__glyph *glyph = bdl__glyphs_of(digit, &n);
    glyph += bdl__rng_below(rng, (uint64_t)n);
    draw_strokes(&how, glyph, rng, ink);
    if (chance(rng, 0.18F)) {
        draw_clutter(rng, ink);
    }
    const float level = between(rng, 150, 255);
    const float softness = between(rng, 0, 0.5F);
    const float noise = chance(rng, 0.6F) ? between(rng, 0, 24) : 0;
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            const float value =
                level * softened(ink, y, x, softness) + (noise > 0 ? noise * spread(rng) : 0);
            pixels[y * SIDE + x] = (uint8_t)clamp(value + 0.5F, 0, 255);
        }
    }
}
