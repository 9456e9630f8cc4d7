/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maximum and average pooling. The maximum's position is saved, one byte a sample for windows of up
 * to 256 positions: a quarter of the output, where recomputing it would keep and read all of the
 * input.
 */
#include "kernels/pool.h"

BDL__KERNEL_DECLARE(BDL__POOL_KERNELS)

/* ---- saved positions ------------------------------------------------------------------------- */

#if R_LANES > 1
typedef uint8_t r_bytes __attribute__((vector_size(R_LANES)));
#else
typedef uint8_t r_bytes;
#endif

R_INLINE void store_index(void *index, int64_t i, bool is_wide, r_int position)
{
    if (is_wide) {
        memcpy((r_int *)index + i, &position, sizeof position);
        return;
    }
#if R_LANES > 1
    const r_bytes bytes = __builtin_convertvector(position, r_bytes);
#else
    const r_bytes bytes = (r_bytes)position;
#endif
    memcpy((r_bytes *)index + i, &bytes, sizeof bytes);
}

R_INLINE r_int load_index(const void *index, int64_t i, bool is_wide)
{
    if (is_wide) {
        r_int position;
        memcpy(&position, (const r_int *)index + i, sizeof position);
        return position;
    }
    r_bytes bytes;
    memcpy(&bytes, (const r_bytes *)index + i, sizeof bytes);
#if R_LANES > 1
    return __builtin_convertvector(bytes, r_int);
#else
    return bytes;
#endif
}

/* The larger of the two, x only where it is larger or not a number. */
R_INLINE void take_larger(real x, int32_t position, real *best, r_int *at)
{
    const r_mask is_larger = (x > *best) | (x != x);
    *best = r_select(is_larger, x, *best);
    *at = r_select_int(is_larger, R_I(position), *at);
}

R_INLINE int64_t plane_in(const bdl__pool_shape *shape)
{
    return shape->axis[0].n_in * shape->axis[1].n_in * shape->axis[2].n_in;
}

R_INLINE int64_t plane_out(const bdl__pool_shape *shape)
{
    return shape->axis[0].n_out * shape->axis[1].n_out * shape->axis[2].n_out;
}

R_INLINE void put(real *dst, real value, bool adds)
{
    *dst = adds ? *dst + value : value;
}

R_INLINE void clear_plane(real *plane, int64_t n)
{
    memset(plane, 0, (size_t)n * sizeof *plane);
}

/* ---- one window ------------------------------------------------------------------------------ */

/* A window cut at the plane's borders: where it begins, its size, and the steps between its
 * positions in the plane. */
typedef struct window {
    int64_t begin;
    int64_t nz, ny, nx;
    int64_t step_z, step_y, step_x;
} window;

R_INLINE window window_at(const bdl__pool_shape *shape, int64_t oz, int64_t oy, int64_t ox)
{
    const bdl__pool_axis *z = &shape->axis[0];
    const bdl__pool_axis *y = &shape->axis[1];
    const bdl__pool_axis *x = &shape->axis[2];
    return (window){
        .begin = (z->begin[oz] * y->n_in + y->begin[oy]) * x->n_in + x->begin[ox],
        .nz = z->count[oz],
        .ny = y->count[oy],
        .nx = x->count[ox],
        .step_z = z->dilation * y->n_in * x->n_in,
        .step_y = y->dilation * x->n_in,
        .step_x = x->dilation,
    };
}

/* Runs CALL(ny, nx) with constants for the windows that nets have, so that their loops unroll. */
#define FOR_WINDOW_SIZE(w, CALL)                                                                   \
    do {                                                                                           \
        if ((w).nz == 1 && (w).ny == 3 && (w).nx == 3) {                                           \
            CALL(1, 3, 3);                                                                         \
        } else if ((w).nz == 1 && (w).ny == 2 && (w).nx == 2) {                                    \
            CALL(1, 2, 2);                                                                         \
        } else {                                                                                   \
            CALL((w).nz, (w).ny, (w).nx);                                                          \
        }                                                                                          \
    } while (0)

R_INLINE real window_max(const real *src, const window *w, const bdl__pool_shape *shape, int64_t nz,
                         int64_t ny, int64_t nx, r_int *at)
{
    real best = src[w->begin];
    *at = R_I(0);
    for (int64_t kz = 0; kz < nz; kz++) {
        for (int64_t ky = 0; ky < ny; ky++) {
            const real *row = src + w->begin + kz * w->step_z + ky * w->step_y;
            const int64_t position = (kz * shape->axis[1].n_window + ky) * shape->axis[2].n_window;
            for (int64_t kx = 0; kx < nx; kx++) {
                take_larger(row[kx * w->step_x], (int32_t)(position + kx), &best, at);
            }
        }
    }
    return best;
}

R_INLINE real window_sum(const real *src, const window *w, int64_t nz, int64_t ny, int64_t nx)
{
    real sum = R(0);
    for (int64_t kz = 0; kz < nz; kz++) {
        for (int64_t ky = 0; ky < ny; ky++) {
            const real *row = src + w->begin + kz * w->step_z + ky * w->step_y;
            real row_sum = row[0];
            for (int64_t kx = 1; kx < nx; kx++) {
                row_sum += row[kx * w->step_x];
            }
            sum += row_sum;
        }
    }
    return sum;
}

/* Adds g to the position that `at` says. */
R_INLINE void window_add_at(real *diff_src, const window *w, const bdl__pool_shape *shape,
                            int64_t nz, int64_t ny, int64_t nx, real g, r_int at)
{
    for (int64_t kz = 0; kz < nz; kz++) {
        for (int64_t ky = 0; ky < ny; ky++) {
            real *row = diff_src + w->begin + kz * w->step_z + ky * w->step_y;
            const int64_t position = (kz * shape->axis[1].n_window + ky) * shape->axis[2].n_window;
            for (int64_t kx = 0; kx < nx; kx++) {
                const r_mask is_here = at == R_I(position + kx);
                row[kx * w->step_x] += r_select(is_here, g, R(0));
            }
        }
    }
}

R_INLINE void window_add(real *diff_src, const window *w, int64_t nz, int64_t ny, int64_t nx,
                         real g)
{
    for (int64_t kz = 0; kz < nz; kz++) {
        for (int64_t ky = 0; ky < ny; ky++) {
            real *row = diff_src + w->begin + kz * w->step_z + ky * w->step_y;
            for (int64_t kx = 0; kx < nx; kx++) {
                row[kx * w->step_x] += g;
            }
        }
    }
}

/* ---- maximum --------------------------------------------------------------------------------- */

/* src (d,h,w) -> dst (od,oh,ow); index is that of the whole tensor, the channel beginning at o. */
R_INLINE void max_forward_plane(const real *src, real *dst, void *index, int64_t o,
                                const bdl__pool_shape *shape)
{
    for (int64_t oz = 0; oz < shape->axis[0].n_out; oz++) {
        for (int64_t oy = 0; oy < shape->axis[1].n_out; oy++) {
            for (int64_t ox = 0; ox < shape->axis[2].n_out; ox++, o++) {
                const window w = window_at(shape, oz, oy, ox);
                r_int at;
#define CALL(nz, ny, nx) dst[o] = window_max(src, &w, shape, nz, ny, nx, &at)
                FOR_WINDOW_SIZE(w, CALL);
#undef CALL
                if (index != NULL) {
                    store_index(index, o, shape->is_wide, at);
                }
            }
        }
    }
}

/* src (c,d,h,w) -> dst (c,od,oh,ow), index likewise */
void K(max_pool_forward)(const real *src, real *dst, void *index, const bdl__pool_shape *shape,
                         int64_t begin, int64_t end)
{
    for (int64_t c = begin; c < end; c++) {
        max_forward_plane(src + c * plane_in(shape), dst, index, c * plane_out(shape), shape);
    }
}

R_INLINE void max_backward_plane(const real *diff_dst, const void *index, int64_t o, real *diff_src,
                                 const bdl__pool_shape *shape)
{
    for (int64_t oz = 0; oz < shape->axis[0].n_out; oz++) {
        for (int64_t oy = 0; oy < shape->axis[1].n_out; oy++) {
            for (int64_t ox = 0; ox < shape->axis[2].n_out; ox++, o++) {
                const window w = window_at(shape, oz, oy, ox);
                const r_int at = load_index(index, o, shape->is_wide);
#define CALL(nz, ny, nx) window_add_at(diff_src, &w, shape, nz, ny, nx, diff_dst[o], at)
                FOR_WINDOW_SIZE(w, CALL);
#undef CALL
            }
        }
    }
}

/* diff_dst (c,od,oh,ow) -> diff_src (c,d,h,w) */
void K(max_pool_backward)(const real *diff_dst, const void *index, real *diff_src, bool adds,
                          const bdl__pool_shape *shape, int64_t begin, int64_t end)
{
    for (int64_t c = begin; c < end; c++) {
        real *plane = diff_src + c * plane_in(shape);
        if (!adds) {
            clear_plane(plane, plane_in(shape));
        }
        max_backward_plane(diff_dst, index, c * plane_out(shape), plane, shape);
    }
}

/* ---- maximum of 2x2 with stride 2 ------------------------------------------------------------ */

R_INLINE void max_2x2_forward(const real *src, real *dst, void *index, const bdl__pool_shape *shape,
                              int64_t begin, int64_t end)
{
    const int64_t h = shape->axis[1].n_in;
    const int64_t w = shape->axis[2].n_in;
    const int64_t oh = shape->axis[1].n_out;
    const int64_t ow = shape->axis[2].n_out;
    for (int64_t c = begin; c < end; c++) {
        for (int64_t y = 0; y < oh; y++) {
            const real *top = src + (c * h + 2 * y) * w;
            const real *bottom = top + w;
            for (int64_t x = 0; x < ow; x++) {
                const int64_t o = (c * oh + y) * ow + x;
                real best = top[2 * x];
                r_int at = R_I(0);
                take_larger(top[2 * x + 1], 1, &best, &at);
                take_larger(bottom[2 * x], 2, &best, &at);
                take_larger(bottom[2 * x + 1], 3, &best, &at);
                dst[o] = best;
                if (index != NULL) {
                    store_index(index, o, false, at);
                }
            }
        }
    }
}

/* src (c,h,w) -> dst (c,h/2,w/2) */
void K(max_pool_2x2_forward)(const real *src, real *dst, void *index, const bdl__pool_shape *shape,
                             int64_t begin, int64_t end)
{
    if (index != NULL) {
        max_2x2_forward(src, dst, index, shape, begin, end);
    } else {
        max_2x2_forward(src, dst, NULL, shape, begin, end);
    }
}

R_INLINE void max_2x2_backward(const real *diff_dst, const void *index, real *diff_src, bool adds,
                               const bdl__pool_shape *shape, int64_t begin, int64_t end)
{
    const int64_t h = shape->axis[1].n_in;
    const int64_t w = shape->axis[2].n_in;
    const int64_t oh = shape->axis[1].n_out;
    const int64_t ow = shape->axis[2].n_out;
    for (int64_t c = begin; c < end; c++) {
        real *plane = diff_src + c * h * w;
        for (int64_t y = 0; y < oh; y++) {
            real *top = plane + 2 * y * w;
            real *bottom = top + w;
            for (int64_t x = 0; x < ow; x++) {
                const int64_t o = (c * oh + y) * ow + x;
                const r_int at = load_index(index, o, false);
                const real g = diff_dst[o];
                put(top + 2 * x, r_select(at == R_I(0), g, R(0)), adds);
                put(top + 2 * x + 1, r_select(at == R_I(1), g, R(0)), adds);
                put(bottom + 2 * x, r_select(at == R_I(2), g, R(0)), adds);
                put(bottom + 2 * x + 1, r_select(at == R_I(3), g, R(0)), adds);
            }
            if (w > 2 * ow) {
                put(top + 2 * ow, R(0), adds);
                put(bottom + 2 * ow, R(0), adds);
            }
        }
        for (int64_t i = 2 * oh * w; i < h * w; i++) {
            put(plane + i, R(0), adds);
        }
    }
}

/* diff_dst (c,h/2,w/2) -> diff_src (c,h,w) */
void K(max_pool_2x2_backward)(const real *diff_dst, const void *index, real *diff_src, bool adds,
                              const bdl__pool_shape *shape, int64_t begin, int64_t end)
{
    if (adds) {
        max_2x2_backward(diff_dst, index, diff_src, true, shape, begin, end);
    } else {
        max_2x2_backward(diff_dst, index, diff_src, false, shape, begin, end);
    }
}

/* ---- average --------------------------------------------------------------------------------- */

/* src (d,h,w) -> dst (od,oh,ow) */
R_INLINE void mean_forward_plane(const real *src, real *dst, const bdl__pool_shape *shape)
{
    int64_t o = 0;
    for (int64_t oz = 0; oz < shape->axis[0].n_out; oz++) {
        for (int64_t oy = 0; oy < shape->axis[1].n_out; oy++) {
            for (int64_t ox = 0; ox < shape->axis[2].n_out; ox++, o++) {
                const window w = window_at(shape, oz, oy, ox);
#define CALL(nz, ny, nx) dst[o] = window_sum(src, &w, nz, ny, nx) * R(shape->scale[o])
                FOR_WINDOW_SIZE(w, CALL);
#undef CALL
            }
        }
    }
}

/* src (c,d,h,w) -> dst (c,od,oh,ow) */
void K(mean_pool_forward)(const real *src, real *dst, const bdl__pool_shape *shape, int64_t begin,
                          int64_t end)
{
    for (int64_t c = begin; c < end; c++) {
        mean_forward_plane(src + c * plane_in(shape), dst + c * plane_out(shape), shape);
    }
}

R_INLINE void mean_backward_plane(const real *diff_dst, real *diff_src,
                                  const bdl__pool_shape *shape)
{
    int64_t o = 0;
    for (int64_t oz = 0; oz < shape->axis[0].n_out; oz++) {
        for (int64_t oy = 0; oy < shape->axis[1].n_out; oy++) {
            for (int64_t ox = 0; ox < shape->axis[2].n_out; ox++, o++) {
                const window w = window_at(shape, oz, oy, ox);
                const real share = diff_dst[o] * R(shape->scale[o]);
#define CALL(nz, ny, nx) window_add(diff_src, &w, nz, ny, nx, share)
                FOR_WINDOW_SIZE(w, CALL);
#undef CALL
            }
        }
    }
}

/* diff_dst (c,od,oh,ow) -> diff_src (c,d,h,w) */
void K(mean_pool_backward)(const real *diff_dst, real *diff_src, bool adds,
                           const bdl__pool_shape *shape, int64_t begin, int64_t end)
{
    for (int64_t c = begin; c < end; c++) {
        real *plane = diff_src + c * plane_in(shape);
        if (!adds) {
            clear_plane(plane, plane_in(shape));
        }
        mean_backward_plane(diff_dst + c * plane_out(shape), plane, shape);
    }
}

/* Positions that are summed on their own, in four chains, before they join the total: keeps the
 * error of large planes small and hides the latency of the additions. */
enum { BLOCK = 64 };

R_INLINE real sum_of_block(const real *src, int64_t n)
{
    real sum[4] = {R(0), R(0), R(0), R(0)};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        for (int j = 0; j < 4; j++) {
            sum[j] += src[i + j];
        }
    }
    for (; i < n; i++) {
        sum[0] += src[i];
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* src (c,d,h,w) -> dst (c) */
void K(mean_pool_plane_forward)(const real *src, real *dst, const bdl__pool_shape *shape,
                                int64_t begin, int64_t end)
{
    const int64_t n = plane_in(shape);
    for (int64_t c = begin; c < end; c++) {
        real sum = R(0);
        for (int64_t i = 0; i < n; i += BLOCK) {
            sum += sum_of_block(src + c * n + i, n - i < BLOCK ? n - i : BLOCK);
        }
        dst[c] = sum * R(shape->scale[0]);
    }
}

/* diff_dst (c) -> diff_src (c,d,h,w) */
void K(mean_pool_plane_backward)(const real *diff_dst, real *diff_src, bool adds,
                                 const bdl__pool_shape *shape, int64_t begin, int64_t end)
{
    const int64_t n = plane_in(shape);
    for (int64_t c = begin; c < end; c++) {
        const real share = diff_dst[c] * R(shape->scale[0]);
        for (int64_t i = 0; i < n; i++) {
            put(diff_src + c * n + i, share, adds);
        }
    }
}

BDL__KERNEL_TABLE(pool, BDL__POOL_KERNELS)
