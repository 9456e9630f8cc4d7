/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic and comparison, element by element, with broadcasting. */
#include <math.h>

#include "tensor/loops.h"
#include "tensor/walk.h"

static const char *binary_name(bdl__binary_op op)
{
    static const char *const names[] = {"add", "sub", "mul", "div", "pow", "maximum", "minimum",
                                        "eq",  "ne",  "lt",  "le",  "gt",  "ge"};
    return names[op];
}

static const char *unary_name(bdl__unary_op op)
{
    static const char *const names[] = {"neg", "abs", "exp", "log", "sqrt", "tanh", "sigmoid"};
    return names[op];
}

static bdl_status check_types(const char *what, const bdl_tensor *a, const bdl_tensor *b)
{
    BDL__CHECK(a->dtype == b->dtype, BDL_ERR_UNSUPPORTED,
               "%s: expected two tensors of one type, got %s and %s; convert one", what,
               bdl__dtype_name(a->dtype), bdl__dtype_name(b->dtype));
    return BDL_OK;
}

/* ---- two tensors --------------------------------------------------------------------------- */

typedef struct test_call {
    const bdl__loops *loops;
    bdl__element_test test;
} test_call;

/* False, which ends the walk, once an element is so. */
static bool test_run(void *arg, int64_t n, char *const at[], const int64_t step[])
{
    const test_call *const call = arg;
    return !call->loops->any(call->test, n, at, step);
}

static bool has_any(const bdl_tensor *tensor, bdl__element_test test)
{
    bdl__walk walk;
    test_call call = {.loops = bdl__loops_of(tensor->dtype), .test = test};
    bdl__walk_init(&walk, &tensor->shape);
    (void)bdl__walk_add(&walk, tensor);
    return !bdl__walk_run(&walk, test_run, &call);
}

/* Integers have no infinity and no fractions to answer with. */
static bdl_status check_second(bdl__binary_op op, const bdl_tensor *b)
{
    if (bdl__dtype_is_float(b->dtype)) {
        return BDL_OK;
    }
    BDL__CHECK(op != BDL__DIV || !has_any(b, BDL__IS_ZERO), BDL_ERR_NUMERIC,
               "div: expected integer divisors other than 0, got 0");
    BDL__CHECK(op != BDL__POW || !has_any(b, BDL__IS_NEGATIVE), BDL_ERR_NUMERIC,
               "pow: expected integer exponents from 0 on, got a negative one");
    return BDL_OK;
}

typedef struct binary_call {
    const bdl__loops *loops;
    bdl__binary_op op;
} binary_call;

static bool binary_run(void *arg, int64_t n, char *const at[], const int64_t step[])
{
    const binary_call *const call = arg;
    call->loops->binary(call->op, n, at, step);
    return true;
}

/* dst = a op b; both broadcast to dst. */
static void binary_into(bdl__binary_op op, bdl_tensor *dst, const bdl_tensor *a,
                        const bdl_tensor *b)
{
    bdl__walk walk;
    binary_call call = {.loops = bdl__loops_of(a->dtype), .op = op};
    bdl__walk_init(&walk, &dst->shape);
    (void)bdl__walk_add(&walk, dst);
    (void)bdl__walk_add(&walk, a);
    (void)bdl__walk_add(&walk, b);
    (void)bdl__walk_run(&walk, binary_run, &call);
}

bdl_status bdl__tensor_binary(bdl__binary_op op, const bdl_tensor *a, const bdl_tensor *b,
                              bdl_tensor **out)
{
    bdl__shape shape;
    bdl_tensor *made = NULL;
    BDL__TRY(check_types(binary_name(op), a, b));
    BDL__TRY(bdl__broadcast_shape(&a->shape, &b->shape, binary_name(op), &shape));
    BDL__TRY(check_second(op, b));
    BDL__TRY(bdl__tensor_like(a, op >= BDL__EQ ? BDL_U8 : a->dtype, &shape, &made));
    binary_into(op, made, a, b);
    *out = made;
    return BDL_OK;
}

bdl_status bdl__tensor_binary_value(bdl__binary_op op, const bdl_tensor *a, double value,
                                    bdl_tensor **out)
{
    bdl__element element = {0};
    const bdl_tensor single = {.dtype = a->dtype, .data = (char *)&element};
    BDL__TRY(bdl__value_check(a->dtype, value));
    bdl__value_store(a->dtype, value, &element);
    return bdl__tensor_binary(op, a, &single, out);
}

bdl_status bdl__tensor_binary_in_place(bdl__binary_op op, bdl_tensor *dst, const bdl_tensor *src)
{
    int64_t stride[BDL_MAX_RANK];
    bdl_tensor *copied = NULL;
    BDL__TRY(check_types(binary_name(op), dst, src));
    BDL__TRY(bdl__tensor_check_writable(dst));
    if (!bdl__broadcast_strides(src, &dst->shape, stride)) {
        char found[BDL__SHAPE_TEXT_SIZE];
        char wanted[BDL__SHAPE_TEXT_SIZE];
        BDL__FAIL(BDL_ERR_SHAPE, "%s: expected a shape that broadcasts to %s, got %s",
                  binary_name(op), bdl__shape_text(&dst->shape, wanted, sizeof wanted),
                  bdl__shape_text(&src->shape, found, sizeof found));
    }
    BDL__TRY(check_second(op, src));
    if (bdl__tensor_overlaps(dst, src)) {
        BDL__TRY(bdl__tensor_convert(src, src->dtype, &copied));
        src = copied;
    }
    binary_into(op, dst, dst, src);
    bdl__tensor_free(copied);
    return BDL_OK;
}

/* ---- one tensor ---------------------------------------------------------------------------- */

typedef struct unary_call {
    const bdl__loops *loops;
    bdl__unary_op op;
} unary_call;

static bool unary_run(void *arg, int64_t n, char *const at[], const int64_t step[])
{
    const unary_call *const call = arg;
    call->loops->unary(call->op, n, at, step);
    return true;
}

bdl_status bdl__tensor_unary(bdl__unary_op op, const bdl_tensor *tensor, bdl_tensor **out)
{
    bdl__walk walk;
    bdl_tensor *made = NULL;
    unary_call call = {.loops = bdl__loops_of(tensor->dtype), .op = op};
    BDL__CHECK(op < BDL__EXP || bdl__dtype_is_float(tensor->dtype), BDL_ERR_UNSUPPORTED,
               "%s: expected a tensor of f32 or f64, got %s; convert it", unary_name(op),
               bdl__dtype_name(tensor->dtype));
    BDL__TRY(bdl__tensor_like(tensor, tensor->dtype, &tensor->shape, &made));
    bdl__walk_init(&walk, &tensor->shape);
    (void)bdl__walk_add(&walk, made);
    (void)bdl__walk_add(&walk, tensor);
    (void)bdl__walk_run(&walk, unary_run, &call);
    *out = made;
    return BDL_OK;
}

typedef struct clamp_call {
    const bdl__loops *loops;
    double least, most;
} clamp_call;

static bool clamp_run(void *arg, int64_t n, char *const at[], const int64_t step[])
{
    const clamp_call *const call = arg;
    call->loops->clamp(call->least, call->most, n, at, step);
    return true;
}

bdl_status bdl__tensor_clamp(const bdl_tensor *tensor, double least, double most, bdl_tensor **out)
{
    bdl__walk walk;
    bdl_tensor *made = NULL;
    clamp_call call = {.loops = bdl__loops_of(tensor->dtype), .least = least, .most = most};
    BDL__CHECK(least <= most, BDL_ERR_INVALID_ARGUMENT,
               "clamp: expected a least value not above the most, got %g and %g", least, most);
    if (!isinf(least)) {
        BDL__TRY(bdl__value_check(tensor->dtype, least));
    }
    if (!isinf(most)) {
        BDL__TRY(bdl__value_check(tensor->dtype, most));
    }
    BDL__TRY(bdl__tensor_like(tensor, tensor->dtype, &tensor->shape, &made));
    bdl__walk_init(&walk, &tensor->shape);
    (void)bdl__walk_add(&walk, made);
    (void)bdl__walk_add(&walk, tensor);
    (void)bdl__walk_run(&walk, clamp_run, &call);
    *out = made;
    return BDL_OK;
}

/* ---- equality ------------------------------------------------------------------------------ */

typedef struct close_call {
    const bdl__loops *loops;
    double rtol, atol;
} close_call;

static bool close_run(void *arg, int64_t n, char *const at[], const int64_t step[])
{
    const close_call *const call = arg;
    return call->loops->close(call->rtol, call->atol, n, at, step);
}

bdl_status bdl__tensor_all_close(const bdl_tensor *a, const bdl_tensor *b, double rtol, double atol,
                                 bool *result)
{
    bdl__walk walk;
    bdl__shape shape;
    close_call call = {.loops = bdl__loops_of(a->dtype), .rtol = rtol, .atol = atol};
    BDL__TRY(check_types("all_close", a, b));
    BDL__CHECK(rtol >= 0 && atol >= 0, BDL_ERR_INVALID_ARGUMENT,
               "all_close: expected tolerances from 0 on, got %g and %g", rtol, atol);
    BDL__TRY(bdl__broadcast_shape(&a->shape, &b->shape, "all_close", &shape));
    bdl__walk_init(&walk, &shape);
    (void)bdl__walk_add(&walk, a);
    (void)bdl__walk_add(&walk, b);
    *result = bdl__walk_run(&walk, close_run, &call);
    return BDL_OK;
}

bdl_status bdl__tensor_equal(const bdl_tensor *a, const bdl_tensor *b, bool *result)
{
    if (a->dtype != b->dtype || !bdl__shape_equal(&a->shape, &b->shape)) {
        *result = false;
        return BDL_OK;
    }
    return bdl__tensor_all_close(a, b, 0, 0, result);
}
