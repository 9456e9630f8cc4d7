/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv_axis.h: one axis of a direct convolution, forward and backward seen alike. Output i (of n)
 * is the sum over taps j (of n_taps) of weights[tap0 + j * tap_step] * src[i * in_step + off0 + j *
 * off_step], and belongs at out0 + i * out_step. Forward has one such axis. Backward data has one
 * for each remainder of the input's coordinate modulo the stride, because each meets other taps.
 */
#ifndef BDL_KERNELS_CONV_AXIS_H
#define BDL_KERNELS_CONV_AXIS_H

#include "kernels/conv.h"
#include "kernels/tile.h"

typedef struct bdl__conv_axis {
    int64_t n, out0, out_step;
    int64_t in_n, in_step;
    int64_t n_taps, tap0, tap_step;
    int64_t off0, off_step;
} bdl__conv_axis;

static inline bdl__conv_axis bdl__conv_axis_forward(int64_t in, int64_t out, int64_t kernel,
                                                    int64_t stride, int64_t pad, int64_t dilation)
{
    return (bdl__conv_axis){.n = out,
                            .out_step = 1,
                            .in_n = in,
                            .in_step = stride,
                            .n_taps = kernel,
                            .tap_step = 1,
                            .off0 = -pad,
                            .off_step = dilation};
}

/* Inputs x = phase + i * stride get weights[k] * diff_dst[(x + pad - k * dilation) / stride], for
 * the k that divide evenly: every (stride / gcd(stride, dilation))-th, or none. */
static inline bdl__conv_axis bdl__conv_axis_backward(int64_t in, int64_t out, int64_t kernel,
                                                     int64_t stride, int64_t pad, int64_t dilation,
                                                     int64_t phase)
{
    int64_t tap_step = 1;
    while (tap_step * dilation % stride != 0) {
        tap_step++;
    }
    int64_t tap0 = 0;
    while (tap0 < tap_step && (phase + pad - tap0 * dilation) % stride != 0) {
        tap0++;
    }
    const bool any = tap0 < tap_step && tap0 < kernel;
    return (bdl__conv_axis){.n = (in - phase + stride - 1) / stride,
                            .out0 = phase,
                            .out_step = stride,
                            .in_n = out,
                            .in_step = 1,
                            .n_taps = any ? (kernel - tap0 + tap_step - 1) / tap_step : 0,
                            .tap0 = tap0,
                            .tap_step = tap_step,
                            .off0 = any ? (phase + pad - tap0 * dilation) / stride : 0,
                            .off_step = -(tap_step * dilation / stride)};
}

/* The taps [first, result) that meet src for output i. */
static inline int64_t bdl__conv_axis_taps(const bdl__conv_axis *axis, int64_t i, int64_t *first)
{
    int64_t begin = 0;
    int64_t end = axis->n_taps;
    const int64_t at = i * axis->in_step + axis->off0;
    while (begin < end && (at + begin * axis->off_step < 0 ||
                           at + begin * axis->off_step >= axis->in_n)) {
        begin++;
    }
    while (end > begin && (at + (end - 1) * axis->off_step < 0 ||
                           at + (end - 1) * axis->off_step >= axis->in_n)) {
        end--;
    }
    *first = begin;
    return end;
}

/* The coordinates [least, result) of src that outputs [begin, end) with all their taps would read;
 * zeros outside of src included. */
static inline int64_t bdl__conv_axis_reach(const bdl__conv_axis *axis, int64_t begin, int64_t end,
                                           int64_t *least)
{
    const int64_t last_tap = axis->n_taps > 0 ? (axis->n_taps - 1) * axis->off_step : 0;
    const int64_t first = begin * axis->in_step + axis->off0;
    const int64_t last = (end - 1) * axis->in_step + axis->off0;
    *least = first + BDL__MIN(last_tap, 0);
    return last + BDL__MAX(last_tap, 0) + 1;
}

/* How the rows of src reach the register tiles. */
typedef enum bdl__conv_reading {
    BDL__CONV_IN_PLACE, /* no zeros beside the rows, no unlucky strides */
    BDL__CONV_PACKED,   /* rows are copied with their zeros */
    BDL__CONV_COLUMNS,  /* 1x1 kernels: a tile's columns of all channels are copied together */
    BDL__CONV_POINTS    /* tiny planes: each output alone with the taps that meet src; the columns
                         * of a tile are parts */
} bdl__conv_reading;

/* Copied rows should stay in a level-2 cache beside the weights. */
#define BDL__CONV_PACK_SIZE (576 * 1024)
/* Copied columns, while those of the next block are on their way into the same cache. */
#define BDL__CONV_COLUMNS_SIZE (320 * 1024)

/* Channels that are added up before the next; the sums rest in dst meanwhile, so no bit changes. */
#define BDL__CONV_CHANNELS 64

/* A pure function of the shape, and any answer gives the same sums but for zeros added. A plane
 * that is a multiple of 4 KB puts every channel at the same place in the level-1 cache, so it is
 * copied, too. */
static inline bool bdl__conv_is_pointwise(const bdl__conv_axis *axis)
{
    return axis->n_taps == 1 && axis->in_step == 1 && axis->out_step == 1 && axis->off0 == 0 &&
           axis->n == axis->in_n;
}

static inline bdl__conv_reading bdl__conv_reading_of(const bdl__conv_axis *y,
                                                     const bdl__conv_axis *x, int64_t n_channels)
{
    int64_t least;
    const int64_t most = bdl__conv_axis_reach(x, 0, x->n, &least);
    const bool padded = least < 0 || most > x->in_n;
    if (padded && y->n * x->n <= 4) {
        return BDL__CONV_POINTS;
    }
    if (n_channels > 8 && y->n * x->n >= 8 && bdl__conv_is_pointwise(y) &&
        bdl__conv_is_pointwise(x)) {
        return BDL__CONV_COLUMNS;
    }
    const bool unlucky = n_channels > 8 && y->in_n * x->in_n % 64 == 0;
    return padded || unlucky ? BDL__CONV_PACKED : BDL__CONV_IN_PLACE;
}

/* Reals from a copied channel to the next, for n_rows rows: an odd number of cache lines. */
static inline int64_t bdl__conv_pack_plane(const bdl__conv_axis *x, int64_t n_rows)
{
    int64_t least;
    const int64_t width = bdl__conv_axis_reach(x, 0, x->n, &least) - least;
    return n_rows * width | 1;
}

/* Rows of src that output rows [begin, end) read. */
static inline int64_t bdl__conv_rows(const bdl__conv_axis *y, int64_t begin, int64_t end,
                                     int64_t *first)
{
    int64_t least;
    const int64_t most = BDL__MIN(bdl__conv_axis_reach(y, begin, end, &least), y->in_n);
    *first = BDL__MAX(least, 0);
    return BDL__MAX(most - *first, 0);
}

/* Output rows whose copied source rows fit BDL__CONV_PACK_SIZE, at least 1. */
static inline int64_t bdl__conv_row_block(const bdl__conv_axis *y, const bdl__conv_axis *x,
                                          int64_t n_channels, size_t real_size)
{
    for (int64_t block = y->n; block > 1; block = (block + 1) / 2) {
        int64_t least;
        const int64_t rows = BDL__MIN(bdl__conv_axis_reach(y, 0, block, &least) - least, y->in_n);
        const size_t plane = (size_t)bdl__conv_pack_plane(x, rows) * real_size;
        if (plane * (size_t)n_channels <= BDL__CONV_PACK_SIZE) {
            return block;
        }
    }
    return 1;
}

/* Columns that are copied at once for 1x1 kernels. */
static inline int64_t bdl__conv_columns(int64_t n_channels, size_t real_size)
{
    const int64_t fit = BDL__CONV_COLUMNS_SIZE / (n_channels * (int64_t)real_size) / 4 * 4;
    return BDL__MIN(BDL__MAX(fit, 8), 32);
}

/* Bytes of copied rows of so many channels. */
static inline size_t bdl__conv_rows_size(const bdl__conv_axis *y, const bdl__conv_axis *x,
                                         int64_t n_channels, size_t real_size)
{
    const int64_t block = bdl__conv_row_block(y, x, n_channels, real_size);
    int64_t least;
    const int64_t rows = BDL__MIN(bdl__conv_axis_reach(y, 0, block, &least) - least, y->in_n);
    return (size_t)(n_channels * bdl__conv_pack_plane(x, rows)) * real_size;
}

/* Bytes of scratch that a job with these axes needs. */
static inline size_t bdl__conv_pack_size(const bdl__conv_axis *y, const bdl__conv_axis *x,
                                         int64_t n_channels, size_t real_size)
{
    const bdl__conv_reading reading = bdl__conv_reading_of(y, x, n_channels);
    if (reading == BDL__CONV_COLUMNS) {
        return (size_t)(n_channels * bdl__conv_columns(n_channels, real_size)) * real_size;
    }
    if (reading != BDL__CONV_PACKED) {
        return 0;
    }
    /* Calls that add to dst take all channels at once, others blocks of them. */
    const size_t all = bdl__conv_rows_size(y, x, n_channels, real_size);
    const size_t some =
        bdl__conv_rows_size(y, x, BDL__MIN(n_channels, BDL__CONV_CHANNELS), real_size);
    return BDL__MAX(all, some);
}

/* Bytes of scratch of conv_direct_forward or conv_direct_backward. */
static inline size_t bdl__conv_direct_scratch(const bdl__conv_dims *d, bool backward,
                                              size_t real_size)
{
    if (!backward) {
        const bdl__conv_axis y =
            bdl__conv_axis_forward(d->ih, d->oh, d->kh, d->sh, d->ph, d->dh);
        const bdl__conv_axis x =
            bdl__conv_axis_forward(d->iw, d->ow, d->kw, d->sw, d->pw, d->dw);
        return bdl__conv_pack_size(&y, &x, d->ic / d->groups, real_size);
    }
    size_t size = 0;
    for (int64_t py = 0; py < BDL__MIN(d->sh, d->ih); py++) {
        const bdl__conv_axis y =
            bdl__conv_axis_backward(d->ih, d->oh, d->kh, d->sh, d->ph, d->dh, py);
        for (int64_t px = 0; px < BDL__MIN(d->sw, d->iw); px++) {
            const bdl__conv_axis x =
                bdl__conv_axis_backward(d->iw, d->ow, d->kw, d->sw, d->pw, d->dw, px);
            const size_t one = bdl__conv_pack_size(&y, &x, d->oc / d->groups, real_size);
            size = BDL__MAX(size, one);
        }
    }
    return size;
}

#endif
