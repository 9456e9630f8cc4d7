/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products: vectors, matrices and broadcast batches of them, over contiguous copies. */
#include <inttypes.h>

#include "tensor/loops.h"
#include "tensor/walk.h"

/* A product as a batch of (m,k) x (k,n). */
typedef struct product {
    bdl_tensor a, b; /* with two axes at least: vectors got one of size 1 */
    int64_t m, n, k;
    bdl__shape batch;
    bdl__shape result; /* without the axes of vectors */
} product;

static bdl_status fail_shapes(const bdl_tensor *a, const bdl_tensor *b)
{
    char text_a[BDL__SHAPE_TEXT_SIZE];
    char text_b[BDL__SHAPE_TEXT_SIZE];
    return bdl__fail(BDL_ERR_SHAPE,
                     "matmul: expected shapes (..., m, k) and (..., k, n), got %s and %s",
                     bdl__shape_text(&a->shape, text_a, sizeof text_a),
                     bdl__shape_text(&b->shape, text_b, sizeof text_b));
}

/* A vector as a matrix of one row, or one column. */
static bdl_tensor as_matrix(const bdl_tensor *tensor, bool is_row)
{
    bdl_tensor matrix = *tensor;
    if (tensor->shape.rank == 1) {
        const int32_t axis = is_row ? 1 : 0;
        matrix.shape = (bdl__shape){.rank = 2, .dim = {1, 1}};
        matrix.shape.dim[axis] = tensor->shape.dim[0];
        matrix.stride[axis] = tensor->stride[0];
        matrix.stride[1 - axis] = 0;
    }
    return matrix;
}

static bdl__shape batch_of(const bdl_tensor *matrix)
{
    bdl__shape batch = matrix->shape;
    batch.rank -= 2;
    return batch;
}

static bdl_status describe(const bdl_tensor *a, const bdl_tensor *b, product *p)
{
    BDL__CHECK(a->dtype == b->dtype, BDL_ERR_UNSUPPORTED,
               "matmul: expected two tensors of one type, got %s and %s; convert one",
               bdl__dtype_name(a->dtype), bdl__dtype_name(b->dtype));
    if (a->shape.rank == 0 || b->shape.rank == 0) {
        return fail_shapes(a, b);
    }
    p->a = as_matrix(a, true);
    p->b = as_matrix(b, false);
    const bdl__shape batch_a = batch_of(&p->a);
    const bdl__shape batch_b = batch_of(&p->b);
    p->m = p->a.shape.dim[batch_a.rank];
    p->k = p->a.shape.dim[batch_a.rank + 1];
    p->n = p->b.shape.dim[batch_b.rank + 1];
    if (p->b.shape.dim[batch_b.rank] != p->k) {
        return fail_shapes(a, b);
    }
    BDL__TRY(bdl__broadcast_shape(&batch_a, &batch_b, "matmul", &p->batch));
    p->result = p->batch;
    if (a->shape.rank > 1) {
        p->result.dim[p->result.rank++] = p->m;
    }
    if (b->shape.rank > 1) {
        p->result.dim[p->result.rank++] = p->n;
    }
    return bdl__shape_check(&p->result, "matmul");
}

static bool multiply_run(void *arg, int64_t n, char *const at[], const int64_t step[])
{
    const product *const p = arg;
    for (int64_t i = 0; i < n; i++) {
        bdl__loops_of(p->a.dtype)
            ->matmul(p->m, p->n, p->k, at[1] + i * step[1], at[2] + i * step[2],
                     at[0] + i * step[0]);
    }
    return true;
}

/* A contiguous tensor of matrices, seen as a tensor of their first elements. */
static bdl_tensor first_elements(const bdl_tensor *matrices, const bdl__shape *batch,
                                 int64_t matrix_count)
{
    bdl_tensor firsts = {.dtype = matrices->dtype, .shape = *batch, .data = matrices->data};
    bdl__row_major(batch, firsts.stride);
    for (int32_t i = 0; i < batch->rank; i++) {
        firsts.stride[i] *= matrix_count;
    }
    return firsts;
}

static void multiply(product *p, const bdl_tensor *a, const bdl_tensor *b, const bdl_tensor *dst)
{
    bdl__walk walk;
    const bdl__shape batch_a = batch_of(a);
    const bdl__shape batch_b = batch_of(b);
    const bdl_tensor first_dst = first_elements(dst, &p->batch, p->m * p->n);
    const bdl_tensor first_a = first_elements(a, &batch_a, p->m * p->k);
    const bdl_tensor first_b = first_elements(b, &batch_b, p->k * p->n);
    bdl__walk_init(&walk, &p->batch);
    (void)bdl__walk_add(&walk, &first_dst);
    (void)bdl__walk_add(&walk, &first_a);
    (void)bdl__walk_add(&walk, &first_b);
    (void)bdl__walk_run(&walk, multiply_run, p);
}

bdl_status bdl__tensor_matmul(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out)
{
    product p = {0};
    bdl_tensor *dense_a = NULL;
    bdl_tensor *dense_b = NULL;
    bdl_tensor *made = NULL;
    bdl_status status = BDL_OK;
    BDL__TRY(describe(a, b, &p));
    BDL__TRY_DONE(status, bdl__tensor_contiguous(&p.a, &dense_a));
    BDL__TRY_DONE(status, bdl__tensor_contiguous(&p.b, &dense_b));
    BDL__TRY_DONE(status, bdl__tensor_like(a, a->dtype, &p.result, &made));
    multiply(&p, dense_a, dense_b, made);
    *out = made;
done:
    bdl__tensor_free(dense_a);
    bdl__tensor_free(dense_b);
    return status;
}

bdl_status bdl__tensor_dot(const bdl_tensor *a, const bdl_tensor *b, bdl_tensor **out)
{
    BDL__CHECK(a->shape.rank == 1 && b->shape.rank == 1, BDL_ERR_SHAPE,
               "dot: expected two vectors, got ranks %" PRId32 " and %" PRId32, a->shape.rank,
               b->shape.rank);
    BDL__CHECK(a->shape.dim[0] == b->shape.dim[0], BDL_ERR_SHAPE,
               "dot: expected vectors of one length, got %" PRId64 " and %" PRId64,
               a->shape.dim[0], b->shape.dim[0]);
    return bdl__tensor_matmul(a, b, out);
}
