/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolution with 3x3 kernels, stride 1, by Winograd's minimal filtering, forward and backward
 * data: tiles of 4x4 outputs need 36 multiplications where the sum has 144, tiles of 2x2 16 instead
 * of 36. A block of tiles (the columns, of any parts) is transformed, then each of the 36 (16)
 * elements is a matrix product over channels, then the products are transformed to outputs.
 * Transforms are additions of whole reals: lanes never meet. Error bound: docs/design/winograd.md.
 */
#include "kernels/conv.h"
#include "kernels/tile.h"
#include "kernels/winograd.h"

BDL__KERNEL_DECLARE(BDL__CONV_WINOGRAD_KERNELS)

/* Channels of a product that are added before the next: their tile of columns stays in a level-1
 * cache while all outputs pass. A constant, because it is part of the order of the sum. */
#define CHANNELS 128
/* The convolution from src to dst, whichever direction it is. */
struct job {
    const bdl__conv_call *call;
    int64_t n_c, n_o;
    int64_t in_h, in_w, out_h, out_w;
    int64_t pad_y, pad_x;
    int64_t n_x, n_tiles;    /* tiles of a row, of a part */
    int64_t first_o, n_mine; /* outputs of the call's units */
    int64_t block;           /* columns of a block */
    real *inputs;            /* [element][group of columns][channel][column] */
    real *products;          /* [element][output][column] */
    int64_t inputs_step, products_step; /* from an element to the next */
};

/* Where a column's tile of outputs is. */
struct place {
    int64_t i_part, y, x;
};

static struct place place_of(const struct job *job, const int m, int64_t column)
{
    const int64_t tile = column % job->n_tiles;
    return (struct place){.i_part = column / job->n_tiles,
                          .y = tile / job->n_x * m,
                          .x = tile % job->n_x * m};
}

/* src of a tile in rows of `*step`: in place, or a copy with zeros around the plane. */
R_INLINE const real *patch_of(const struct job *job, const int side, const real *plane, int64_t y,
                              int64_t x, real *copy, int64_t *step)
{
    if (y >= 0 && x >= 0 && y + side <= job->in_h && x + side <= job->in_w) {
        *step = job->in_w;
        return plane + y * job->in_w + x;
    }
    const int64_t begin_x = BDL__MAX(-x, 0);
    const int64_t end_x = BDL__MIN(job->in_w - x, side);
    *step = side;
    for (int64_t i = 0; i < side; i++) {
        const bool inside = y + i >= 0 && y + i < job->in_h;
        const real *row = plane + (y + i) * job->in_w + x;
        for (int64_t k = 0; k < side; k++) {
            copy[i * side + k] = inside && k >= begin_x && k < end_x ? row[k] : R(0);
        }
    }
    return copy;
}

/* All channels of n neighboring columns. */
R_INLINE void transform_inputs(const struct job *job, const int m, int64_t column, int n, real *to)
{
    const int side = WINOGRAD_SIDE(m);
    const int64_t size = job->in_h * job->in_w;
    struct place places[TILE_N];
    const real *planes[TILE_N];
    const real *next[TILE_N]; /* the patch in the next channel, too far off for the hardware */
    for (int j = 0; j < n; j++) {
        places[j] = place_of(job, m, column + j);
        planes[j] = r_part(&job->call->src, places[j].i_part, 0);
        next[j] = planes[j] + size + (places[j].y - job->pad_y) * job->in_w + places[j].x -
                  job->pad_x;
    }
    for (int64_t c = 0; c < job->n_c; c++) {
        for (int j = 0; j < n; j++) {
            real copy[WINOGRAD_SIDE(4) * WINOGRAD_SIDE(4)];
            real tile[WINOGRAD_SIDE(4) * WINOGRAD_SIDE(4)];
            int64_t step;
            const real *patch = patch_of(job, side, planes[j] + c * size, places[j].y - job->pad_y,
                                         places[j].x - job->pad_x, copy, &step);
            R_UNROLL for (int i = 0; i < side; i++) {
                R_UNROLL for (int k = 1; k <= m; k++) {
                    R_PREFETCH(next[j] + i * job->in_w + k);
                }
            }
            next[j] += size;
            WINOGRAD_TILE(winograd_input, m, side, side, patch, (int)step, tile);
            R_UNROLL for (int e = 0; e < side * side; e++) {
                to[e * job->inputs_step + c * n + j] = tile[e];
            }
        }
    }
}

/* Products of all elements for a block of columns: one matrix product each, by blocks of channels.
 * The weights of a block of channels are read through once, then once more for each group of
 * columns. */
static void multiply(const struct job *job, int n_elements, int64_t n_columns)
{
    tile_set set = {.n_outputs = job->n_o, .begin = job->call->begin, .end = job->call->end};
    tile_loop loop = {.n_y = 1, .n_x = 1, .src_col = 1, .w_c = 1, .dst_col = 1};
    loop.dst_m = job->block;
    for (int e = 0; e < n_elements; e++) {
        real *to = job->products + e * job->products_step - job->first_o * job->block;
        for (int64_t c = 0; c < job->n_c; c += CHANNELS) {
            loop.n_c = BDL__MIN(job->n_c - c, CHANNELS);
            loop.add = c > 0;
            set.length = loop.n_c;
            set.packed = (const scalar *)job->call->packed + (e * job->n_c + c) * job->n_o;
            for (int64_t i = 0; i < n_columns; i += TILE_N) {
                const int n = (int)BDL__MIN(n_columns - i, TILE_N);
                loop.src_c = n;
                K(tile_outputs)(&set, &loop, n, 0,
                                job->inputs + e * job->inputs_step + i * job->n_c + c * n, to + i);
            }
        }
    }
}

R_INLINE void write_tile(const struct job *job, const int m, const real *tile,
                         const struct place *place, real bias, real *plane)
{
    const bool add = job->call->add;
    real *to = plane + place->y * job->out_w + place->x;
    if (!add && place->y + m <= job->out_h && place->x + m <= job->out_w) {
        R_UNROLL for (int i = 0; i < m; i++) {
            R_UNROLL for (int k = 0; k < m; k++) {
                to[i * job->out_w + k] = tile[i * m + k] + bias;
            }
        }
        return;
    }
    const int64_t n_y = BDL__MIN(job->out_h - place->y, m);
    const int64_t n_x = BDL__MIN(job->out_w - place->x, m);
    for (int64_t i = 0; i < n_y; i++, to += job->out_w) {
        for (int64_t k = 0; k < n_x; k++) {
            const real value = tile[i * m + k] + bias;
            to[k] = add ? to[k] + value : value;
        }
    }
}

R_INLINE void transform_outputs(const struct job *job, const int m, int64_t column, int64_t n)
{
    const int side = WINOGRAD_SIDE(m);
    const int64_t size = job->out_h * job->out_w;
    const scalar *bias = job->call->bias;
    struct place places[BDL__WINOGRAD_BLOCK];
    for (int64_t j = 0; j < n; j++) {
        places[j] = place_of(job, m, column + j);
    }
    for (int64_t o = 0; o < job->n_mine; o++) {
        for (int64_t j = 0; j < n; j++) {
            const real *from = job->products + o * job->block + j;
            real products[WINOGRAD_SIDE(4) * WINOGRAD_SIDE(4)];
            real tile[4 * 4];
            R_UNROLL for (int e = 0; e < side * side; e++) {
                products[e] = from[e * job->products_step];
            }
            real *plane = r_part(&job->call->dst, places[j].i_part, (job->first_o + o) * size);
            const real *next = plane + size + places[j].y * job->out_w + places[j].x;
            R_UNROLL for (int i = 0; i < m * m; i++) {
                R_PREFETCH_TO(next + i / m * job->out_w + i % m);
            }
            WINOGRAD_TILE(winograd_output, m, side, m, products, side, tile);
            write_tile(job, m, tile, &places[j], bias != NULL ? R(bias[job->first_o + o]) : R(0),
                       plane);
        }
    }
}

/* The outputs of the call's units. */
static int64_t outputs_of(int64_t n_o, int64_t begin, int64_t end, int64_t *first)
{
    int64_t last;
    const int m = bdl__tile_at(n_o, end - 1, &last);
    bdl__tile_at(n_o, begin, first);
    return last + m - *first;
}

R_INLINE void run(struct job *job, const int m)
{
    const bdl__conv_call *call = job->call;
    const int side = WINOGRAD_SIDE(m);
    if (call->begin >= call->end) {
        return;
    }
    job->n_x = (job->out_w + m - 1) / m;
    job->n_tiles = (job->out_h + m - 1) / m * job->n_x;
    job->n_mine = outputs_of(job->n_o, call->begin, call->end, &job->first_o);
    job->block = bdl__conv_winograd_block(job->n_c, job->n_o, m);
    job->inputs_step = job->n_c * job->block | 1;
    job->products_step = job->n_mine * job->block | 1;
    job->inputs = call->scratch;
    job->products = job->inputs + side * side * job->inputs_step;
    const int64_t n_columns = job->n_tiles * call->n_parts;
    for (int64_t column = 0; column < n_columns; column += job->block) {
        const int64_t n = BDL__MIN(n_columns - column, job->block);
        for (int64_t i = 0; i < n; i += TILE_N) {
            transform_inputs(job, m, column + i, (int)BDL__MIN(n - i, TILE_N),
                             job->inputs + i * job->n_c);
        }
        multiply(job, side * side, n);
        transform_outputs(job, m, column, n);
    }
}

static struct job job_forward(const bdl__conv_call *call)
{
    const bdl__conv_dims *d = call->dims;
    return (struct job){.call = call, .n_c = d->ic, .n_o = d->oc, .in_h = d->ih, .in_w = d->iw,
                        .out_h = d->oh, .out_w = d->ow, .pad_y = d->ph, .pad_x = d->pw};
}

/* The same over the output's gradient, with kernels turned round. */
static struct job job_backward(const bdl__conv_call *call)
{
    const bdl__conv_dims *d = call->dims;
    return (struct job){.call = call, .n_c = d->oc, .n_o = d->ic, .in_h = d->oh, .in_w = d->ow,
                        .out_h = d->ih, .out_w = d->iw, .pad_y = 2 - d->ph, .pad_x = 2 - d->pw};
}

void K(conv_winograd4_forward)(const bdl__conv_call *call)
{
    struct job job = job_forward(call);
    run(&job, 4);
}

void K(conv_winograd4_backward)(const bdl__conv_call *call)
{
    struct job job = job_backward(call);
    run(&job, 4);
}

void K(conv_winograd2_forward)(const bdl__conv_call *call)
{
    struct job job = job_forward(call);
    run(&job, 2);
}

void K(conv_winograd2_backward)(const bdl__conv_call *call)
{
    struct job job = job_backward(call);
    run(&job, 2);
}

/* Lanes are channels [c, c + n): the 9 weights of each, with steps, turned round for backward. */
R_INLINE void load_kernels(const scalar *from, int64_t step_c, int64_t n, bool turned, real *taps)
{
    scalar lanes[9][R_LANES] = {{0}};
    for (int64_t l = 0; l < n; l++) {
        for (int t = 0; t < 9; t++) {
            lanes[t][l] = from[l * step_c + (turned ? 8 - t : t)];
        }
    }
    memcpy(taps, lanes, sizeof lanes);
}

/* weights (oc, ic, 3, 3) -> packed [element][block of channels][tile][channel][m] */
R_INLINE void pack(const int m, const bdl__conv_dims *d, bool backward, const scalar *weights,
                   scalar *packed, int64_t begin, int64_t end)
{
    const int side = WINOGRAD_SIDE(m);
    const int64_t n_o = backward ? d->ic : d->oc;
    const int64_t n_c = backward ? d->oc : d->ic;
    const int64_t step_o = backward ? 9 : d->ic * 9;
    const int64_t step_c = backward ? d->ic * 9 : 9;
    for (int64_t t = begin; t < end; t++) {
        int64_t first;
        const int rows = bdl__tile_at(n_o, t, &first);
        for (int64_t c = 0; c < n_c; c += R_LANES) {
            const int64_t n = BDL__MIN(n_c - c, R_LANES);
            const int64_t block = c / CHANNELS * CHANNELS;
            const int64_t length = BDL__MIN(n_c - block, CHANNELS);
            scalar lanes[BDL__TILE_M][WINOGRAD_SIDE(4) * WINOGRAD_SIDE(4)][R_LANES];
            for (int k = 0; k < rows; k++) {
                real taps[9];
                real tile[WINOGRAD_SIDE(4) * WINOGRAD_SIDE(4)];
                load_kernels(weights + (first + k) * step_o + c * step_c, step_c, n, backward,
                             taps);
                WINOGRAD_TILE(winograd_weights, m, 3, side, taps, 3, tile);
                memcpy(lanes[k], tile, (size_t)(side * side) * sizeof(real));
            }
            for (int e = 0; e < side * side; e++) {
                scalar *to = packed + (e * n_c + block) * n_o + first * length + (c - block) * rows;
                for (int64_t l = 0; l < n; l++) {
                    for (int k = 0; k < rows; k++) {
                        *to++ = lanes[k][e][l];
                    }
                }
            }
        }
    }
}

void K(conv_winograd_pack)(const bdl__conv_dims *d, int m, bool backward, const scalar *weights,
                           scalar *packed, int64_t begin, int64_t end)
{
    if (m == 4) {
        pack(4, d, backward, weights, packed, begin, end);
    } else {
        pack(2, d, backward, weights, packed, begin, end);
    }
}

BDL__KERNEL_TABLE(conv_winograd, BDL__CONV_WINOGRAD_KERNELS)
