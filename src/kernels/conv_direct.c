/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Direct convolution, forward and backward data, any stride, padding, dilation and groups: register
 * tiles of 6 output channels x 4 columns over rows that were copied together with their zeros, or
 * are read in place where they have none. Taps above and below the plane are left out. Backward
 * data is the same sum over the output's gradient, once for each remainder modulo the stride.
 */
#include "kernels/conv.h"
#include "kernels/conv_axis.h"
#include "kernels/tile.h"

BDL__KERNEL_DECLARE(BDL__CONV_DIRECT_KERNELS)

/* Weights that want blocks of channels, and tiles that pass at once then. */
#define MANY_WEIGHTS (1024 * 1024)
#define FEW_TILES 2
/* Weights that stay in a level-2 cache, and positions of a plane that does not. */
#define FEW_WEIGHTS (96 * 1024)
#define LARGE_PLANE 256
/* Channels whose copied columns and weights fill a level-1 cache: more are read again from level 2,
 * with fewer the sums rest in dst more often. */
#define COPIED_CHANNELS 128

/* What one group and one pair of axes need. */
struct job {
    const bdl__conv_call *call;
    bdl__conv_axis y, x;
    int64_t kw;
    int64_t n_channels;
    int64_t i_channel, i_output; /* first of the group */
    int64_t src_plane, dst_plane;
    int64_t dst_w;
    tile_set set;
};

/* Where the rows of src are for a block of output rows. */
struct rows {
    const real *data; /* row `first`, column `least` of the group's first channel */
    int64_t first, least;
    int64_t plane, width;
    int64_t channel, n_channels; /* of the group */
    const real *next;            /* in src, the row after the last; NULL: none, or not to be copied */
};

static const real *src_of(const struct job *job, int64_t i_part)
{
    return r_part(&job->call->src, i_part, job->i_channel * job->src_plane);
}

static real *dst_of(const struct job *job, int64_t i_part)
{
    return r_part(&job->call->dst, i_part, job->i_output * job->dst_plane);
}

static int64_t dst_at(const struct job *job, int64_t y, int64_t x)
{
    return (job->y.out0 + y * job->y.out_step) * job->dst_w + job->x.out0 + x * job->x.out_step;
}

/* Steps that all readings share. */
static tile_loop loop_of(const struct job *job)
{
    return (tile_loop){.n_c = job->n_channels,
                       .n_x = job->x.n_taps,
                       .src_x = job->x.off_step,
                       .src_col = job->x.in_step,
                       .w_c = job->set.length / job->n_channels,
                       .w_y = job->y.tap_step * job->kw,
                       .w_x = job->x.tap_step,
                       .dst_m = job->dst_plane,
                       .dst_col = job->x.out_step,
                       .add = job->call->add};
}

/* The number of the tap (y, x) within a channel's weights. */
static int64_t tap_at(const struct job *job, int64_t y, int64_t x)
{
    return (job->y.tap0 + y * job->y.tap_step) * job->kw + job->x.tap0 + x * job->x.tap_step;
}

/* Copies the group's rows [first, first + n_rows) of src with zeros beside them. */
static void pack_rows(const struct job *job, const real *src, int64_t n_rows, struct rows *to)
{
    real *out = job->call->scratch;
    const int64_t in_w = job->x.in_n;
    const int64_t before = BDL__MIN(BDL__MAX(-to->least, 0), to->width);
    const int64_t begin = BDL__MAX(to->least, 0);
    const int64_t n = BDL__MAX(BDL__MIN(to->least + to->width, in_w) - begin, 0);
    to->plane = bdl__conv_pack_plane(&job->x, n_rows);
    to->data = out;
    for (int64_t c = 0; c < to->n_channels; c++) {
        const real *from = src + (to->channel + c) * job->src_plane + to->first * in_w + begin;
        real *row = out + c * to->plane;
        for (int64_t y = 0; y < n_rows; y++, from += in_w, row += to->width) {
            for (int64_t x = 0; x < before; x++) {
                row[x] = R(0);
            }
            for (int64_t x = 0; x < n; x++) {
                row[before + x] = from[x];
            }
            for (int64_t x = before + n; x < to->width; x++) {
                row[x] = R(0);
            }
        }
    }
}

/* Columns [x, x + n) of output rows [begin, end), for a set of tiles. Taps that meet only zeros are
 * left out. */
static void run_columns(const struct job *job, const struct rows *rows, const tile_set *set,
                        int64_t begin, int64_t end, int64_t x, int n, real *dst)
{
    int64_t first = job->x.n_taps;
    int64_t last = 0;
    for (int j = 0; j < n; j++) {
        int64_t tap;
        const int64_t tap_end = bdl__conv_axis_taps(&job->x, x + j, &tap);
        if (tap < tap_end) {
            first = BDL__MIN(first, tap);
            last = BDL__MAX(last, tap_end);
        }
    }
    tile_loop loop = loop_of(job);
    loop.n_c = rows->n_channels;
    loop.resume = rows->channel > 0;
    loop.n_x = BDL__MAX(last - first, 0);
    loop.src_c = rows->plane;
    loop.src_y = job->y.off_step * rows->width;
    loop.ahead_c = job->src_plane * (int64_t)sizeof(real);
    for (int64_t y = begin; y < end; y++) {
        int64_t tap;
        loop.n_y = bdl__conv_axis_taps(&job->y, y, &tap) - tap;
        loop.ahead = rows->next != NULL ? rows->next + (y - begin) * job->x.in_n + x : NULL;
        const int64_t row = y * job->y.in_step + job->y.off0 + tap * job->y.off_step;
        const real *src = rows->data;
        if (loop.n_y > 0 && loop.n_x > 0) {
            src += (row - rows->first) * rows->width + x * job->x.in_step + job->x.off0 +
                   first * job->x.off_step - rows->least;
        }
        K(tile_outputs)(set, &loop, n, rows->channel * loop.w_c + tap_at(job, tap, first), src,
                        dst + dst_at(job, y, x));
    }
}

/* All outputs of rows [begin, end) from a block of channels. */
static void run_rows(const struct job *job, const struct rows *rows, int64_t begin, int64_t end,
                     real *dst)
{
    const int64_t n_tiles = (job->x.n + TILE_N - 1) / TILE_N;
    const int64_t step = rows->n_channels < job->n_channels ? FEW_TILES : job->set.end;
    tile_set set = job->set;
    set.ahead_tile = job->set.begin;
    for (set.begin = job->set.begin; set.begin < job->set.end; set.begin = set.end) {
        set.end = BDL__MIN(set.begin + step, job->set.end);
        for (int64_t t = 0; t < n_tiles; t++) {
            const int64_t x = t * job->x.n / n_tiles;
            const int n = (int)((t + 1) * job->x.n / n_tiles - x);
            run_columns(job, rows, &set, begin, end, x, n, dst);
        }
    }
}

/* Weights beyond a level-2 cache are read once for a block of rows: by blocks of channels, of which
 * few tiles of weights stay in a level-1 cache while all columns pass. Sums rest in dst meanwhile. */
static int64_t channels_of(const struct job *job)
{
    const bool is_large = job->set.n_outputs * job->set.length >= MANY_WEIGHTS;
    return is_large && !job->call->add ? BDL__MIN(job->n_channels, BDL__CONV_CHANNELS)
                                       : job->n_channels;
}

/* All of a job by blocks of rows and of channels, copied or in place. */
static void run_planes(const struct job *job, bool packed)
{
    const int64_t n_channels = channels_of(job);
    const int64_t block = bdl__conv_row_block(&job->y, &job->x, n_channels, sizeof(real));
    for (int64_t i = 0; i < job->call->n_parts; i++) {
        for (int64_t y = 0; y < job->y.n; y += block) {
            const int64_t end = BDL__MIN(y + block, job->y.n);
            for (int64_t c = 0; c < job->n_channels; c += n_channels) {
                struct rows rows = {.data = src_of(job, i) + c * job->src_plane,
                                    .plane = job->src_plane,
                                    .width = job->x.in_n,
                                    .channel = c,
                                    .n_channels = BDL__MIN(job->n_channels - c, n_channels)};
                if (packed) {
                    const int64_t n_rows = bdl__conv_rows(&job->y, y, end, &rows.first);
                    rows.width =
                        bdl__conv_axis_reach(&job->x, 0, job->x.n, &rows.least) - rows.least;
                    pack_rows(job, src_of(job, i), n_rows, &rows);
                    rows.next = rows.first + n_rows < job->y.in_n
                                    ? src_of(job, i) + c * job->src_plane +
                                          (rows.first + n_rows) * job->x.in_n
                                    : NULL;
                }
                run_rows(job, &rows, y, end, dst_of(job, i));
            }
        }
    }
}

/* Columns [begin, end) of a plane -> [tile][channel][column] */
static void pack_columns(const struct job *job, const real *src, int64_t begin, int64_t end)
{
    for (int64_t c = 0; c < job->n_channels; c++) {
        const real *from = src + c * job->src_plane;
        for (int64_t x = begin; x < end; x += TILE_N) {
            const int64_t n = BDL__MIN(end - x, TILE_N);
            real *to = (real *)job->call->scratch + (x - begin) * job->n_channels + c * n;
            for (int64_t j = 0; j < n; j++) {
                to[j] = from[x + j];
            }
        }
    }
}

/* Columns [x, x + n) of channels -> [channel][column] */
static void pack_block(const struct job *job, const real *src, int64_t n_channels, int n, real *to)
{
    for (int64_t c = 0; c < n_channels; c++, src += job->src_plane) {
        for (int j = 0; j < n; j++) {
            *to++ = src[j];
        }
    }
}

/* 1x1 kernels on large planes: a tile's columns in a block of channels are read by all outputs while
 * those of the next block are on their way. They are read as they lie but for planes of whole pages,
 * whose channels all meet in the same place of a level-1 cache. */
static void run_large_plane(const struct job *job)
{
    const int64_t n_columns = job->y.n * job->x.n;
    tile_loop loop = loop_of(job);
    tile_set set = job->set;
    loop.n_y = 1;
    loop.src_col = 1;
    const bool is_copied = job->src_plane % 64 == 0;
    const int64_t block = is_copied ? COPIED_CHANNELS : BDL__CONV_CHANNELS;
    loop.ahead_c = job->src_plane * (int64_t)sizeof(real);
    set.ahead_tile = job->set.begin;
    for (int64_t i = 0; i < job->call->n_parts; i++) {
        for (int64_t x = 0; x < n_columns; x += TILE_N) {
            const int n = (int)BDL__MIN(n_columns - x, TILE_N);
            for (int64_t c = 0; c < job->n_channels; c += block) {
                const real *const src = src_of(job, i) + c * job->src_plane + x;
                const bool is_last = c + block >= job->n_channels;
                loop.n_c = BDL__MIN(job->n_channels - c, block);
                loop.resume = c > 0;
                loop.ahead = is_last ? src_of(job, i) + x + n : src + block * job->src_plane;
                loop.src_c = is_copied ? n : job->src_plane;
                if (is_copied) {
                    pack_block(job, src, loop.n_c, n, job->call->scratch);
                }
                K(tile_outputs)(&set, &loop, n, c, is_copied ? job->call->scratch : src,
                                dst_of(job, i) + x);
            }
        }
    }
}

/* 1x1 kernels: a plane is one row of columns. A few tiles of weights stay in a level-1 cache while
 * the copied columns pass. */
static void run_pointwise(const struct job *job)
{
    if (!job->call->add && job->set.n_outputs * job->n_channels <= FEW_WEIGHTS &&
        job->y.n * job->x.n >= LARGE_PLANE) {
        run_large_plane(job);
        return;
    }
    const int64_t n_columns = job->y.n * job->x.n;
    const int64_t block = bdl__conv_columns(job->n_channels, sizeof(real));
    const int64_t step = BDL__MAX(2048 / job->n_channels, 2);
    const real *packed = job->call->scratch;
    tile_loop loop = loop_of(job);
    tile_set set = job->set;
    loop.n_y = 1;
    loop.src_col = 1;
    for (int64_t i = 0; i < job->call->n_parts; i++) {
        for (int64_t begin = 0; begin < n_columns; begin += block) {
            const int64_t end = BDL__MIN(begin + block, n_columns);
            pack_columns(job, src_of(job, i), begin, end);
            for (set.begin = job->set.begin; set.begin < job->set.end; set.begin = set.end) {
                set.end = BDL__MIN(set.begin + step, job->set.end);
                for (int64_t x = begin; x < end; x += TILE_N) {
                    const int n = (int)BDL__MIN(end - x, TILE_N);
                    loop.src_c = n;
                    K(tile_outputs)(&set, &loop, n, 0, packed + (x - begin) * job->n_channels,
                                    dst_of(job, i) + x);
                }
            }
        }
    }
}

/* Tiny planes: a tile's columns are the parts, at one place of the output. */
static void run_points(const struct job *job)
{
    const bool is_wide = job->call->n_parts > 1 &&
                         job->call->src.stride % (int64_t)sizeof(real) == 0 &&
                         job->call->dst.stride % (int64_t)sizeof(real) == 0;
    const int64_t step = is_wide ? TILE_N : 1;
    tile_loop loop = loop_of(job);
    loop.src_c = job->src_plane;
    loop.src_y = job->y.off_step * job->x.in_n;
    loop.src_col = job->call->src.stride / (int64_t)sizeof(real);
    loop.dst_col = job->call->dst.stride / (int64_t)sizeof(real);
    for (int64_t y = 0; y < job->y.n; y++) {
        int64_t tap_y;
        loop.n_y = bdl__conv_axis_taps(&job->y, y, &tap_y) - tap_y;
        for (int64_t x = 0; x < job->x.n; x++) {
            int64_t tap_x;
            loop.n_x = bdl__conv_axis_taps(&job->x, x, &tap_x) - tap_x;
            const bool any = loop.n_y > 0 && loop.n_x > 0;
            const int64_t row = y * job->y.in_step + job->y.off0 + tap_y * job->y.off_step;
            const int64_t at = any ? row * job->x.in_n + x * job->x.in_step + job->x.off0 +
                                         tap_x * job->x.off_step
                                   : 0;
            for (int64_t i = 0; i < job->call->n_parts; i += step) {
                const int n = (int)BDL__MIN(job->call->n_parts - i, step);
                K(tile_outputs)(&job->set, &loop, n, tap_at(job, tap_y, tap_x),
                                src_of(job, i) + at, dst_of(job, i) + dst_at(job, y, x));
            }
        }
    }
}

static void run(const struct job *job)
{
    switch (bdl__conv_reading_of(&job->y, &job->x, job->n_channels)) {
    case BDL__CONV_POINTS:
        run_points(job);
        break;
    case BDL__CONV_COLUMNS:
        run_pointwise(job);
        break;
    case BDL__CONV_PACKED:
        run_planes(job, true);
        break;
    case BDL__CONV_IN_PLACE:
        run_planes(job, false);
        break;
    }
}

/* Runs a job for each group that the call's units touch. */
static void run_groups(struct job *job, int64_t n_outputs)
{
    const bdl__conv_call *call = job->call;
    const int64_t n_tiles = bdl__n_tiles(n_outputs);
    const int64_t length = job->set.length;
    for (int64_t g = call->begin / n_tiles; g * n_tiles < call->end; g++) {
        job->i_channel = g * job->n_channels;
        job->i_output = g * n_outputs;
        job->set.n_outputs = n_outputs;
        job->set.begin = BDL__MAX(call->begin - g * n_tiles, 0);
        job->set.end = BDL__MIN(call->end - g * n_tiles, n_tiles);
        job->set.packed = (const scalar *)call->packed + g * n_outputs * length;
        job->set.bias = call->bias != NULL ? (const scalar *)call->bias + job->i_output : NULL;
        run(job);
    }
}

void K(conv_direct_forward)(const bdl__conv_call *call)
{
    const bdl__conv_dims *d = call->dims;
    struct job job = {.call = call,
               .y = bdl__conv_axis_forward(d->ih, d->oh, d->kh, d->sh, d->ph, d->dh),
               .x = bdl__conv_axis_forward(d->iw, d->ow, d->kw, d->sw, d->pw, d->dw),
               .kw = d->kw,
               .n_channels = d->ic / d->groups,
               .src_plane = d->ih * d->iw,
               .dst_plane = d->oh * d->ow,
               .dst_w = d->ow};
    job.set.length = job.n_channels * d->kh * d->kw;
    run_groups(&job, d->oc / d->groups);
}

void K(conv_direct_backward)(const bdl__conv_call *call)
{
    const bdl__conv_dims *d = call->dims;
    struct job job = {.call = call,
               .kw = d->kw,
               .n_channels = d->oc / d->groups,
               .src_plane = d->oh * d->ow,
               .dst_plane = d->ih * d->iw,
               .dst_w = d->iw};
    job.set.length = job.n_channels * d->kh * d->kw;
    for (int64_t py = 0; py < BDL__MIN(d->sh, d->ih); py++) {
        job.y = bdl__conv_axis_backward(d->ih, d->oh, d->kh, d->sh, d->ph, d->dh, py);
        for (int64_t px = 0; px < BDL__MIN(d->sw, d->iw); px++) {
            job.x = bdl__conv_axis_backward(d->iw, d->ow, d->kw, d->sw, d->pw, d->dw, px);
            run_groups(&job, d->ic / d->groups);
        }
    }
}

/* weights (oc, ic / groups, kh * kw) -> packed [group][tile][channel][tap][m] */
void K(conv_direct_pack)(const bdl__conv_dims *d, bool backward, const scalar *weights,
                         scalar *packed, int64_t begin, int64_t end)
{
    const int64_t taps = d->kh * d->kw;
    const int64_t icg = d->ic / d->groups;
    const int64_t ocg = d->oc / d->groups;
    const int64_t n_outputs = backward ? icg : ocg;
    const int64_t n_channels = backward ? ocg : icg;
    const int64_t n_tiles = bdl__n_tiles(n_outputs);
    const int64_t step_m = backward ? taps : icg * taps;
    const int64_t step_c = backward ? icg * taps : taps;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t first;
        const int64_t g = unit / n_tiles;
        const int m = bdl__tile_at(n_outputs, unit % n_tiles, &first);
        const scalar *from = weights + g * ocg * icg * taps + first * step_m;
        scalar *to = packed + (g * n_outputs + first) * n_channels * taps;
        for (int64_t c = 0; c < n_channels; c++) {
            for (int64_t t = 0; t < taps; t++) {
                for (int k = 0; k < m; k++) {
                    *to++ = from[k * step_m + c * step_c + t];
                }
            }
        }
    }
}

BDL__KERNEL_TABLE(conv_direct, BDL__CONV_DIRECT_KERNELS)
