/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that compute through oneDNN: see dnnl_step.h. */
#include "layers/dnnl_step.h"

#include <string.h>

/* Channels of a piece at least, and a multiple of them: what oneDNN's kernels keep in registers at once. */
#define PIECE 16

/* Describes one of the pieces that forward is cut into. A function of the shape alone. */
static void cut(const bdl__step *step, bdl__dnnl_step *mine, bdl__dnnl_conv *conv)
{
    const int64_t most = step->few_samples && conv->groups == 1 ? 4 : 1;
    mine->n_pieces = 1;
    while (mine->n_pieces < most && conv->oc % (2 * PIECE) == 0) {
        mine->n_pieces *= 2;
        conv->oc /= 2;
    }
    mine->piece_weights = conv->oc * (conv->ic / conv->groups) * conv->kh * conv->kw;
    mine->piece_bias = conv->oc;
    mine->piece_dst = conv->oc * conv->dst_stride[1];
}

bdl_status bdl__dnnl_step_add(bdl__planner *planner, bdl__step *step, bdl__dnnl_step **mine,
                              const bdl__dnnl_conv *conv, bool *is_made)
{
    if (!*mine) {
        const bdl__dnnl_table *table = NULL;
        void *memory = NULL;
        BDL__TRY(bdl__dnnl_open(&table));
        BDL__TRY(bdl__plan_alloc(planner, sizeof **mine, &memory));
        *mine = memory;
        (*mine)->table = table;
        (*mine)->step = step;
    }
    bdl__dnnl_op *const op = &(*mine)->op[conv->direction];
    bdl__dnnl_conv piece = *conv;
    if (conv->direction == BDL__DNNL_FORWARD) {
        cut(step, *mine, &piece);
    }
    /* Only what the shape decides may change who computes, and so the bits; a lack of memory must not. */
    const char *const error = (*mine)->table->create(&piece, op);
    BDL__CHECK(!error || strcmp(error, BDL__DNNL_DECLINES) == 0, BDL_ERR_OUT_OF_MEMORY,
               "oneDNN cannot make a convolution: %s", error);
    *is_made = !error;
    (*mine)->has[conv->direction] = *is_made;
    (*mine)->name[conv->direction] = conv->is_bf16 ? "onednn_bf16" : "onednn";
    return *is_made ? bdl__plan_scratch(planner, step, op->scratch_size) : BDL_OK;
}

void bdl__dnnl_step_release(bdl__dnnl_step *step)
{
    for (int i = 0; step && i < 3; i++) {
        step->table->destroy(&step->op[i]);
    }
}

static int64_t n_pieces(const bdl__dnnl_step *mine, bdl__dnnl_direction direction)
{
    return direction == BDL__DNNL_FORWARD ? mine->n_pieces : 1;
}

/* oneDNN's calls only fail here when memory has run out. */
static void check(const bdl__dnnl_step *mine, const char *error)
{
    if (error) {
        bdl__step_fail(mine->step, "oneDNN", error);
    }
}

void bdl__dnnl_step_pack(const bdl__step *step, const bdl__dnnl_step *mine,
                         bdl__dnnl_direction direction, const float *weights, void *packed,
                         int64_t begin, int64_t end)
{
    const int64_t unit = (2 * step->i_node + (int64_t)direction) * 29 % BDL__DNNL_PACK_UNITS;
    const bdl__dnnl_op *const op = &mine->op[direction];
    const int64_t n = begin <= unit && unit < end ? n_pieces(mine, direction) : 0;
    for (int64_t i = 0; i < n; i++) {
        check(mine, mine->table->pack(op, weights + i * mine->piece_weights,
                               (char *)packed + (size_t)i * op->packed_size));
    }
}

bdl_status bdl__dnnl_step_book(bdl__planner *planner, bdl__step *step, const bdl__dnnl_step *mine,
                               bdl__dnnl_direction direction, bdl__pack_fn pack)
{
    const size_t size = (size_t)n_pieces(mine, direction) * mine->op[direction].packed_size;
    return bdl__plan_packed(planner, step, (int)direction, size, BDL__DNNL_PACK_UNITS, pack);
}

void bdl__dnnl_step_run(const bdl__dnnl_step *step, bdl__dnnl_direction direction,
                        const bdl__dnnl_call *call)
{
    check(step, step->table->execute(&step->op[direction], call));
}

void bdl__dnnl_step_forward(const bdl__dnnl_step *step, const bdl__cx *cx, const float *bias)
{
    const int64_t n = step->n_pieces;
    int64_t begin, end;
    bdl__cx_split(cx, cx->n_parts * n, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const int64_t part = i / n, piece = i % n;
        const bdl__dnnl_call call = {
            .src = bdl__span_part(cx->src[0], part),
            .packed = (char *)cx->packed[0] +
                      (size_t)piece * step->op[BDL__DNNL_FORWARD].packed_size,
            .bias = bias ? bias + piece * step->piece_bias : NULL,
            .result = (float *)bdl__span_part(cx->dst[0], part) + piece * step->piece_dst,
            .scratch = cx->scratch,
            .keeps_src = i > begin && piece > 0};
        bdl__dnnl_step_run(step, BDL__DNNL_FORWARD, &call);
    }
}

void bdl__dnnl_step_backward_data(const bdl__dnnl_step *step, const bdl__cx *cx)
{
    int64_t begin, end;
    bdl__cx_split(cx, cx->n_parts, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const bdl__dnnl_call call = {.dst_in = bdl__span_part(cx->diff_dst[0], i),
                                     .packed = cx->packed[1],
                                     .result = bdl__span_part(cx->diff_src[0], i),
                                     .scratch = cx->scratch,
                                     .add = cx->diff_src_mode[0] == BDL__ADD};
        bdl__dnnl_step_run(step, BDL__DNNL_BACKWARD_DATA, &call);
    }
}
