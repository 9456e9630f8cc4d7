/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows a rank needs: those of its slices in batches for training, or in the batches of a validation. */
#include "train/exchange.h"
#include "train/trainer.h"

int64_t bdl__trainer_val_batch(const bdl__trainer *t, int64_t n)
{
    return BDL__MIN(BDL__MAX(t->params.batch, INT64_C(256)), BDL__MAX(n, INT64_C(1)));
}

/* The sorted rows of rank r in batches of this size begin at cuts[r]. */
static void cut_batches(const bdl__ranks *ranks, int64_t n, int64_t batch, int64_t n_shards,
                        int64_t *cuts)
{
    const int64_t n_slices = (batch + BDL__SLICE - 1) / BDL__SLICE;
    for (int r = 0; r < ranks->n; r++) {
        int64_t begin, end;
        bdl__ranks_slices(ranks, r, n_slices, n_shards, &begin, &end);
        cuts[r] = bdl__slice_begin(n, batch, begin);
    }
    cuts[ranks->n] = n;
}

bdl_status bdl__trainer_deal(bdl__trainer *t, bool is_val, bdl__dataset **data)
{
    const bdl_allocator *const allocator = t->session.allocator;
    bdl__exchange_info info = {0};
    bdl__dataset *sorted = NULL;
    void *cuts = NULL;
    BDL__TRY(bdl__arena_alloc(&t->arena, (size_t)(t->ranks->n + 1) * sizeof(int64_t), &cuts));
    BDL__TRY(bdl__exchange_meet(allocator, t->ranks->group, *data, &info));
    BDL__CHECK(info.n > 0, BDL_ERR_INVALID_ARGUMENT, "data '%s': no rank has samples",
               (*data)->text);
    if (is_val) {
        const int64_t batch = bdl__trainer_val_batch(t, info.n);
        const int64_t n_slices = (batch + BDL__SLICE - 1) / BDL__SLICE;
        cut_batches(t->ranks, info.n, batch, bdl__n_shards(n_slices), cuts);
    } else {
        BDL__TRY(bdl__trainer_divide(t, info.n));
        t->key_sum = info.key_sum;
        cut_batches(t->ranks, info.n, t->params.batch, t->n_shards, cuts);
    }
    BDL__TRY(bdl__exchange_rows(allocator, t->ranks->group, *data, &info, cuts, &sorted));
    bdl__dataset_free(*data);
    *data = sorted;
    return BDL_OK;
}
