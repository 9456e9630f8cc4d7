/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weight gradients of a convolution in feature lanes (features.h): 64 output channels in the lanes,
 * 6 input channels a tile, a tap at a time over the positions where it meets the input, so zeros
 * around the plane cost nothing. diff_dst is transposed for a block of positions that fits a
 * level-1 cache; src is read as it lies.
 */
#include "kernels/conv.h"
#include "kernels/conv_axis.h"
#include "kernels/features.h"

BDL__KERNEL_DECLARE(BDL__CONV_FEATURES_KERNELS)

/* A block of positions: rows [y, y_end), columns [x, x_end). */
struct block {
    int64_t y, y_end, x, x_end;
};

/* Outputs [first, first + n) of one group in one part; features rounded up to whole reals. */
struct job {
    const bdl__conv_dims *d;
    const real *src;      /* of the group */
    const real *diff_dst; /* of output `first` */
    int64_t n, n_features;
    scalar *features; /* [position][sample][feature] */
    scalar *sums;     /* [channel][tap][feature] */
};

/* The next block of outputs, of which `n` are left. */
static void set_outputs(struct job *job, int64_t n)
{
    job->n = BDL__MIN(n, BDL__CONV_FEATURES);
    job->n_features = (job->n + R_LANES - 1) / R_LANES * R_LANES;
}

/* The outputs [begin, result) among [from, to) whose tap at `off` meets an input of n. */
static int64_t meet(int64_t off, int64_t stride, int64_t n, int64_t from, int64_t to,
                    int64_t *begin)
{
    *begin = BDL__MAX(from, off < 0 ? (-off + stride - 1) / stride : 0);
    return off < n ? BDL__MIN(to, (n - 1 - off) / stride + 1) : from;
}

static void run_tap(const struct job *job, const struct block *block, int64_t ky, int64_t kx)
{
    const bdl__conv_dims *d = job->d;
    const int64_t off_y = ky * d->dh - d->ph;
    const int64_t off_x = kx * d->dw - d->pw;
    int64_t y;
    int64_t x;
    const int64_t y_end = meet(off_y, d->sh, d->ih, block->y, block->y_end, &y);
    const int64_t x_end = meet(off_x, d->sw, d->iw, block->x, block->x_end, &x);
    if (y >= y_end || x >= x_end) {
        return;
    }
    const int64_t width = block->x_end - block->x;
    const int64_t position = R_LANES * job->n_features;
    const bool is_first = ky == 0 && kx == 0;
    const bool dense = d->sw == 1 && !is_first;
    const feature_loop loop = {.n_y = y_end - y,
                               .n_x = dense ? 1 : x_end - x,
                               .n_s = dense ? (x_end - x) * R_LANES : R_LANES,
                               .row_m = d->ih * d->iw * R_LANES,
                               .row_y = d->sh * d->iw * R_LANES,
                               .row_x = d->sw * R_LANES,
                               .feature_y = width * position,
                               .feature_x = position,
                               .feature_s = job->n_features,
                               .sum_m = d->kh * d->kw * job->n_features,
                               .add = true,
                               .rows_ahead = is_first ? (x_end - x) * d->sw * R_LANES : 0,
                               .ahead = is_first ? job->diff_dst + block->y * d->ow + block->x_end
                                                 : NULL,
                               .ahead_s = d->oh * d->ow * (int64_t)sizeof(real)};
    K(feature_rows)(&loop, d->ic / d->groups, (int)(job->n_features / R_LANES),
                    (const scalar *)(job->src + (y * d->sh + off_y) * d->iw + x * d->sw + off_x),
                    job->features + ((y - block->y) * width + x - block->x) * position,
                    job->sums + (ky * d->kw + kx) * job->n_features);
}

static void run_block(const struct job *job, const struct block *block)
{
    const bdl__conv_dims *d = job->d;
    scalar *to = job->features;
    for (int64_t y = block->y; y < block->y_end; y++) {
        for (int64_t x = block->x; x < block->x_end; x++) {
            K(feature_transpose)(job->diff_dst + y * d->ow + x, d->oh * d->ow, job->n,
                                 job->n_features, to, job->n_features);
            to += R_LANES * job->n_features;
        }
    }
    for (int64_t ky = 0; ky < d->kh; ky++) {
        for (int64_t kx = 0; kx < d->kw; kx++) {
            run_tap(job, block, ky, kx);
        }
    }
}

/* All positions of a part, for `n_outputs` outputs by blocks. */
static void run_positions(const struct job *job, int64_t n_outputs)
{
    const bdl__conv_dims *d = job->d;
    const int64_t length = d->ic / d->groups * d->kh * d->kw;
    const int64_t n_x = (d->ow + BDL__CONV_POSITIONS - 1) / BDL__CONV_POSITIONS;
    const int64_t rows = BDL__MAX(BDL__CONV_POSITIONS / d->ow, 1);
    for (int64_t y = 0; y < d->oh; y += rows) {
        for (int64_t i = 0; i < n_x; i++) {
            const struct block block = {.y = y,
                                        .y_end = BDL__MIN(y + rows, d->oh),
                                        .x = i * d->ow / n_x,
                                        .x_end = (i + 1) * d->ow / n_x};
            struct job each = *job;
            for (int64_t o = 0; o < n_outputs; o += each.n) {
                set_outputs(&each, n_outputs - o);
                run_block(&each, &block);
                each.diff_dst += each.n * d->oh * d->ow;
                each.sums += length * BDL__CONV_FEATURES;
            }
        }
    }
}

/* The gradients of `n_outputs` outputs from their sums, by blocks. */
static void write_sums(struct job job, int64_t length, int64_t n_outputs, bool add, scalar *diff)
{
    for (int64_t o = 0; o < n_outputs; o += job.n) {
        set_outputs(&job, n_outputs - o);
        K(feature_untranspose)(job.sums, length, job.n, job.n_features, add, diff + o * length,
                               length);
        job.sums += length * BDL__CONV_FEATURES;
    }
}

void K(conv_wgrad_features)(const bdl__conv_wgrad_call *call)
{
    const bdl__conv_dims *d = call->dims;
    const int64_t icg = d->ic / d->groups;
    const int64_t ocg = d->oc / d->groups;
    const int64_t length = icg * d->kh * d->kw;
    const int64_t most = bdl__conv_features_kept(d) * BDL__CONV_FEATURES;
    struct job job = {.d = d, .features = call->scratch};
    job.sums = job.features + BDL__CONV_POSITIONS * BDL__CONV_FEATURES * R_LANES;
    for (int64_t o = call->begin; o < call->end;) {
        const int64_t group_end = (o / ocg + 1) * ocg;
        const int64_t n = BDL__MIN(BDL__MIN(group_end, call->end) - o, most);
        const int64_t n_blocks = (n + BDL__CONV_FEATURES - 1) / BDL__CONV_FEATURES;
        for (int64_t i = 0; i < call->n_parts; i++) {
            job.src = r_part(&call->src, i, o / ocg * icg * d->ih * d->iw);
            job.diff_dst = r_part(&call->diff_dst, i, o * d->oh * d->ow);
            memset(job.sums, 0, (size_t)(n_blocks * BDL__CONV_FEATURES * length) * sizeof(scalar));
            run_positions(&job, n);
            write_sums(job, length, n, call->add || i > 0,
                       (scalar *)call->diff_weights + (o - call->begin) * length);
        }
        o += n;
    }
}

BDL__KERNEL_TABLE(conv_features, BDL__CONV_FEATURES_KERNELS)
