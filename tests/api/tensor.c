/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tensor API through the public header: every function under an allocator that refuses request
 * 1, 2, 3 ... until all goes well (nothing leaks, arguments stay as they were), NULL arguments, and
 * the allocator's own checks. Compiled as C11 and as C++17.
 */
#include <bdl/bdl.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

/* ---- an allocator that fails --------------------------------------------------------------- */

typedef struct failing {
    bdl_allocator allocator;
    int64_t fail_at;
    int64_t n_requests;
    int64_t n_live;
    bool refused;
} failing;

static void *failing_alloc(void *user, size_t size)
{
    failing *const f = (failing *)user;
    if (++f->n_requests == f->fail_at) {
        f->refused = true;
        return NULL;
    }
    f->n_live++;
    return aligned_alloc(64, (size + 63) / 64 * 64);
}

static void failing_free(void *user, void *memory, size_t size)
{
    failing *const f = (failing *)user;
    (void)size;
    f->n_live--;
    free(memory);
}

static void failing_init(failing *f)
{
    memset(f, 0, sizeof *f);
    f->allocator.struct_size = sizeof f->allocator;
    f->allocator.alloc = failing_alloc;
    f->allocator.free = failing_free;
    f->allocator.user = f;
}

/* ---- every function that makes a tensor ---------------------------------------------------- */

/* Arguments of the calls below: a, b (2,3) floats; v (3) floats; all from the failing allocator. */
typedef struct operands {
    const bdl_allocator *allocator;
    bdl_tensor *a, *b, *v, *turned;
} operands;

static const int64_t shape_2x3[] = {2, 3};
static const int64_t shape_3x2[] = {3, 2};
static const int64_t shape_4x2x3[] = {4, 2, 3};
static const int32_t order[] = {1, 0};

#define CALLS(X)                                                                                   \
    X(bdl_tensor_zeros(o->allocator, BDL_F32, 2, shape_2x3, out))                                  \
    X(bdl_tensor_ones(o->allocator, BDL_I32, 2, shape_2x3, out))                                   \
    X(bdl_tensor_full(o->allocator, BDL_U8, 2, shape_2x3, 7, out))                                 \
    X(bdl_tensor_arange(o->allocator, BDL_I64, 0, 9, 1, out))                                      \
    X(bdl_tensor_rand(o->allocator, BDL_F32, 2, shape_2x3, 1, out))                                \
    X(bdl_tensor_randn(o->allocator, BDL_F64, 2, shape_2x3, 1, out))                               \
    X(bdl_tensor_narrow(o->a, 1, 0, 2, out))                                                       \
    X(bdl_tensor_select(o->a, 0, 1, out))                                                          \
    X(bdl_tensor_transpose(o->a, 0, 1, out))                                                       \
    X(bdl_tensor_permute(o->a, order, out))                                                        \
    X(bdl_tensor_view(o->a, 2, shape_3x2, out))                                                    \
    X(bdl_tensor_reshape(o->turned, 2, shape_2x3, out))                                            \
    X(bdl_tensor_expand(o->a, 3, shape_4x2x3, out))                                                \
    X(bdl_tensor_contiguous(o->turned, out))                                                       \
    X(bdl_tensor_contiguous(o->a, out))                                                            \
    X(bdl_tensor_clone(o->a, out))                                                                 \
    X(bdl_tensor_convert(o->a, BDL_I64, out))                                                      \
    X(bdl_tensor_add(o->a, o->b, out))                                                             \
    X(bdl_tensor_sub(o->a, o->v, out))                                                             \
    X(bdl_tensor_mul(o->a, o->b, out))                                                             \
    X(bdl_tensor_div(o->a, o->b, out))                                                             \
    X(bdl_tensor_pow(o->a, o->b, out))                                                             \
    X(bdl_tensor_maximum(o->a, o->b, out))                                                         \
    X(bdl_tensor_minimum(o->a, o->b, out))                                                         \
    X(bdl_tensor_add_value(o->a, 1, out))                                                          \
    X(bdl_tensor_sub_value(o->a, 1, out))                                                          \
    X(bdl_tensor_mul_value(o->a, 2, out))                                                          \
    X(bdl_tensor_div_value(o->a, 2, out))                                                          \
    X(bdl_tensor_pow_value(o->a, 2, out))                                                          \
    X(bdl_tensor_eq(o->a, o->b, out))                                                              \
    X(bdl_tensor_ne(o->a, o->b, out))                                                              \
    X(bdl_tensor_lt(o->a, o->b, out))                                                              \
    X(bdl_tensor_le(o->a, o->b, out))                                                              \
    X(bdl_tensor_gt(o->a, o->b, out))                                                              \
    X(bdl_tensor_ge(o->a, o->b, out))                                                              \
    X(bdl_tensor_neg(o->a, out))                                                                   \
    X(bdl_tensor_abs(o->a, out))                                                                   \
    X(bdl_tensor_exp(o->a, out))                                                                   \
    X(bdl_tensor_log(o->a, out))                                                                   \
    X(bdl_tensor_sqrt(o->a, out))                                                                  \
    X(bdl_tensor_tanh(o->a, out))                                                                  \
    X(bdl_tensor_sigmoid(o->a, out))                                                               \
    X(bdl_tensor_clamp(o->a, 1, 2, out))                                                           \
    X(bdl_tensor_matmul(o->a, o->turned, out))                                                     \
    X(bdl_tensor_matmul(o->turned, o->a, out))                                                     \
    X(bdl_tensor_dot(o->v, o->v, out))                                                             \
    X(bdl_tensor_sum(o->turned, BDL_ALL_AXES, true, out))                                          \
    X(bdl_tensor_mean(o->a, 1, false, out))                                                        \
    X(bdl_tensor_max(o->a, 0, false, out))                                                         \
    X(bdl_tensor_min(o->a, 0, false, out))                                                         \
    X(bdl_tensor_argmax(o->a, 1, false, out))                                                      \
    X(bdl_tensor_argmin(o->a, 1, false, out))                                                      \
    X(bdl_tensor_norm(o->a, 2, BDL_ALL_AXES, false, out))                                          \
    X(bdl_tensor_var(o->a, 1, 1, false, out))                                                      \
    X(bdl_tensor_std(o->a, 1, 1, false, out))

enum {
#define COUNT_CALL(call) + 1
    N_CALLS = 0 CALLS(COUNT_CALL)
#undef COUNT_CALL
};

static bdl_status call_number(int i, const operands *o, bdl_tensor **out)
{
    int n = 0;
#define DO_CALL(call)                                                                              \
    if (i == n++) {                                                                                \
        return call;                                                                               \
    }
    CALLS(DO_CALL)
#undef DO_CALL
    return BDL_ERR_INTERNAL;
}

static const float values_a[] = {1, 2, 3, 4, 5, 6};
static const float values_b[] = {2, 2, 2, 3, 3, 3};

static bool make_operands(failing *f, operands *o)
{
    memset(o, 0, sizeof *o);
    o->allocator = &f->allocator;
    return bdl_tensor_create(o->allocator, BDL_F32, 2, shape_2x3, values_a, &o->a) == BDL_OK &&
           bdl_tensor_create(o->allocator, BDL_F32, 2, shape_2x3, values_b, &o->b) == BDL_OK &&
           bdl_tensor_create(o->allocator, BDL_F32, 1, shape_3x2, values_a, &o->v) == BDL_OK &&
           bdl_tensor_transpose(o->a, 0, 1, &o->turned) == BDL_OK;
}

static void free_operands(operands *o)
{
    bdl_tensor_free(o->a);
    bdl_tensor_free(o->b);
    bdl_tensor_free(o->v);
    bdl_tensor_free(o->turned);
}

BDL_TEST(creation_survives_refused_memory)
{
    bool done = false;
    for (int64_t n = 1; !done; n++) {
        failing f;
        operands o;
        failing_init(&f);
        f.fail_at = n;
        CHECK(make_operands(&f, &o) == !f.refused);
        done = !f.refused;
        free_operands(&o);
        CHECK_EQ_I64(f.n_live, 0);
    }
}

/* Call `i` with its request `n` refused; false once none was. */
static bool try_call(int i, int64_t n)
{
    failing f;
    operands o;
    bdl_tensor *out = NULL;
    failing_init(&f);
    CHECK(make_operands(&f, &o));
    const int64_t n_live = f.n_live;
    f.fail_at = f.n_requests + n;
    const bdl_status status = call_number(i, &o, &out);
    CHECK_EQ_I64(status, f.refused ? BDL_ERR_OUT_OF_MEMORY : BDL_OK);
    CHECK((out == NULL) == f.refused);
    if (f.refused) {
        CHECK_EQ_I64(f.n_live, n_live);
    }
    CHECK(memcmp(bdl_tensor_data(o.a), values_a, sizeof values_a) == 0);
    CHECK(memcmp(bdl_tensor_data(o.b), values_b, sizeof values_b) == 0);
    bdl_tensor_free(out);
    free_operands(&o);
    CHECK_EQ_I64(f.n_live, 0);
    return f.refused;
}

BDL_TEST(every_call_survives_refused_memory)
{
    for (int i = 0; i < N_CALLS; i++) {
        int64_t n = 1;
        while (try_call(i, n)) {
            n++;
        }
        CHECK(n > 1); /* each needs memory at least once */
    }
}

/* Calls that write into a tensor: overlapping arguments need a copy, which may be refused. */
static bdl_status write_number(int i, const operands *o)
{
    switch (i) {
    case 0:
        return bdl_tensor_copy(o->a, o->turned);
    case 1:
        return bdl_tensor_add_in_place(o->a, o->turned);
    case 2:
        return bdl_tensor_sub_in_place(o->a, o->turned);
    case 3:
        return bdl_tensor_mul_in_place(o->a, o->turned);
    default:
        return bdl_tensor_div_in_place(o->a, o->turned);
    }
}

static bool try_write(int i, int64_t n)
{
    static const int64_t square[] = {2, 2};
    failing f;
    operands o;
    failing_init(&f);
    memset(&o, 0, sizeof o);
    CHECK_OK(bdl_tensor_create(&f.allocator, BDL_F32, 2, square, values_a, &o.a));
    CHECK_OK(bdl_tensor_transpose(o.a, 0, 1, &o.turned));
    f.fail_at = f.n_requests + n;
    const bdl_status status = write_number(i, &o);
    CHECK_EQ_I64(status, f.refused ? BDL_ERR_OUT_OF_MEMORY : BDL_OK);
    if (f.refused) {
        CHECK(memcmp(bdl_tensor_data(o.a), values_a, 4 * sizeof(float)) == 0);
    }
    free_operands(&o);
    CHECK_EQ_I64(f.n_live, 0);
    return f.refused;
}

BDL_TEST(writing_survives_refused_memory)
{
    for (int i = 0; i < 5; i++) {
        int64_t n = 1;
        while (try_write(i, n)) {
            n++;
        }
        CHECK(n > 1);
    }
}

BDL_TEST(printing_survives_refused_memory)
{
    failing f;
    operands o;
    char text[200];
    failing_init(&f);
    REQUIRE(make_operands(&f, &o));
    for (int64_t n = 1;; n++) {
        size_t length = 12345;
        f.refused = false;
        f.fail_at = f.n_requests + n;
        const bdl_status status = bdl_tensor_to_text(o.a, text, sizeof text, &length);
        CHECK_EQ_I64(status, f.refused ? BDL_ERR_OUT_OF_MEMORY : BDL_OK);
        if (!f.refused) {
            break;
        }
        CHECK_EQ_I64(length, 12345);
    }
    CHECK_STR_EQ(text, "1.0  2.0  3.0\n4.0  5.0  6.0\n[bdl.FloatTensor of size 2x3]\n");
    free_operands(&o);
    CHECK_EQ_I64(f.n_live, 0);
}

/* ---- arguments ----------------------------------------------------------------------------- */

BDL_TEST(null_arguments_are_refused)
{
    failing f;
    operands o;
    operands none;
    bdl_tensor *out = NULL;
    bool result = false;
    failing_init(&f);
    REQUIRE(make_operands(&f, &o));
    memset(&none, 0, sizeof none);
    for (int i = 0; i < N_CALLS; i++) {
        CHECK_EQ_I64(call_number(i, &o, NULL), BDL_ERR_INVALID_ARGUMENT);
        CHECK_STR_HAS(bdl_last_error(), "not NULL");
        if (i >= 6) { /* those before take no tensors */
            CHECK_EQ_I64(call_number(i, &none, &out), BDL_ERR_INVALID_ARGUMENT);
        }
    }
    CHECK_EQ_I64(bdl_tensor_copy(NULL, o.a), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_tensor_copy(o.a, NULL), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_tensor_fill(NULL, 1), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_tensor_add_in_place(o.a, NULL), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_tensor_equal(o.a, NULL, &result), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_tensor_all_close(o.a, o.b, 0, 0, NULL), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_tensor_get(o.a, NULL, NULL), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_tensor_set(NULL, NULL, 1), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_tensor_get_i64(NULL, NULL, NULL), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_tensor_set_i64(NULL, NULL, 1), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_tensor_to_dlpack(o.a, NULL), BDL_ERR_INVALID_ARGUMENT);
    CHECK(out == NULL);
    free_operands(&o);
    bdl_tensor_free(NULL);
}

BDL_TEST(allocators_are_checked)
{
    failing f;
    bdl_tensor *out = NULL;
    failing_init(&f);
    f.allocator.struct_size = 8;
    CHECK_EQ_I64(bdl_tensor_zeros(&f.allocator, BDL_F32, 0, NULL, &out), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "got struct_size 8");
    failing_init(&f);
    f.allocator.alloc = NULL;
    CHECK_EQ_I64(bdl_tensor_zeros(&f.allocator, BDL_F32, 0, NULL, &out), BDL_ERR_INVALID_ARGUMENT);
    CHECK(out == NULL);
}

BDL_TEST(properties_can_be_read)
{
    bdl_tensor *t = NULL;
    bdl_tensor *column = NULL;
    const int64_t index[] = {1, 2};
    double value = 0;
    REQUIRE_OK(bdl_tensor_create(NULL, BDL_F32, 2, shape_2x3, values_a, &t));
    REQUIRE_OK(bdl_tensor_select(t, 1, 2, &column));
    CHECK_EQ_I64(bdl_tensor_dtype(t), BDL_F32);
    CHECK_EQ_I64(bdl_tensor_rank(t), 2);
    CHECK_EQ_I64(bdl_tensor_shape(t)[1], 3);
    CHECK_EQ_I64(bdl_tensor_strides(t)[0], 3);
    CHECK_EQ_I64(bdl_tensor_count(t), 6);
    CHECK(bdl_tensor_is_contiguous(t) && !bdl_tensor_is_contiguous(column));
    CHECK(bdl_tensor_data(column) == (float *)bdl_tensor_data(t) + 2);
    CHECK_OK(bdl_tensor_set(t, index, 42));
    CHECK_OK(bdl_tensor_get(column, index, &value));
    CHECK_NEAR(value, 42, 0);
    bdl_tensor_free(t);
    bdl_tensor_free(column);
}

BDL_TEST_MAIN(creation_survives_refused_memory, every_call_survives_refused_memory,
              writing_survives_refused_memory, printing_survives_refused_memory,
              null_arguments_are_refused, allocators_are_checked, properties_can_be_read)
