/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dnnl.h: the oneDNN backend as the rest of libbdl sees it: plain pointers and sizes, no oneDNN types.
 * It lives in a library of its own, libbdl_dnnl.so, which exports one table of functions and is opened
 * when a plan first needs it (open.c), so small nets never pay for it.
 *
 * An *op* is one direction of a convolution on the samples of one part, with all that it needs: the
 * primitive and the changes of layout around it. Tensors outside are float, at any strides (sample
 * lanes are strides: samples are neighbors); inside they are in the primitive's own layout, in bf16 or
 * float. Sums are always float. An op is immutable once made: threads share it, each with its scratch.
 */
#ifndef BDL_DNNL_DNNL_H
#define BDL_DNNL_DNNL_H

#include "base/status.h"

#define BDL__DNNL_ABI 1
#define BDL__DNNL_HANDLES 12

typedef enum bdl__dnnl_direction {
    BDL__DNNL_FORWARD,
    BDL__DNNL_BACKWARD_DATA,
    BDL__DNNL_BACKWARD_WEIGHTS
} bdl__dnnl_direction;

/* A convolution of `n` samples: src (n, ic, ih, iw) -> dst (n, oc, oh, ow), weights (oc, ic / groups, kh,
 * kw). Dilation 1 is dense. Strides of samples, channels, rows, columns are in floats. */
typedef struct bdl__dnnl_conv {
    bdl__dnnl_direction direction;
    bool is_bf16;     /* operands are rounded to bf16, else float */
    bool is_training; /* forward only */
    bool has_bias;    /* forward only */
    int64_t n, groups, ic, ih, iw, oc, oh, ow, kh, kw;
    int64_t sh, sw, dh, dw;
    int64_t ph, pw; /* zeros above and left; those below and right follow from the sizes */
    int64_t src_stride[4], dst_stride[4];
} bdl__dnnl_conv;

/* The owner keeps it; only the library looks into the handles. Zeroed = empty. */
typedef struct bdl__dnnl_op {
    void *handles[BDL__DNNL_HANDLES];
    size_t offset[4];     /* in scratch: operands, result, the primitive's own */
    size_t packed_size;   /* of the weights as the primitive wants them; 0 for weight gradients */
    size_t scratch_size;  /* of a call, 64-byte aligned */
} bdl__dnnl_op;

/* Pointers of one call. `add` adds to the result instead of replacing it (backward only). */
typedef struct bdl__dnnl_call {
    const float *src;    /* forward, weight gradients */
    const float *dst_in; /* diff_dst: backward */
    const void *packed;  /* forward, backward data */
    const float *bias;   /* forward; NULL without */
    float *result;       /* dst, diff_src or diff_weights (oc, ic / groups, kh, kw) */
    void *scratch;
    bool add;
    bool keeps_src;      /* forward: src is in scratch since the call before, of an op of the same shape */
    bool primitive_only; /* no change of layout: operands and result stay in scratch, for benchmarks */
} bdl__dnnl_call;

#define BDL__DNNL_DECLINES "oneDNN has no such convolution"

typedef struct bdl__dnnl_table {
    uint32_t abi; /* BDL__DNNL_ABI, then sizes, that both sides must agree on */
    uint32_t conv_size, op_size, call_size;
    const char *bdl_version; /* of the build */
    /* Version of the oneDNN that is loaded, as "3.2.0". */
    void (*version)(char *text, size_t size);
    /* Returns NULL, BDL__DNNL_DECLINES where oneDNN has nothing for this convolution, or what went wrong. */
    const char *(*create)(const bdl__dnnl_conv *conv, bdl__dnnl_op *op);
    void (*destroy)(bdl__dnnl_op *op); /* an empty or half-made op is fine; leaves it empty */
    /* weights (oc, ic / groups, kh, kw) -> packed; scratch of op->scratch_size is not needed. */
    const char *(*pack)(const bdl__dnnl_op *op, const float *weights, void *packed);
    const char *(*execute)(const bdl__dnnl_op *op, const bdl__dnnl_call *call);
} bdl__dnnl_table;

/* The one exported symbol of libbdl_dnnl.so. */
#define BDL__DNNL_SYMBOL "bdl__dnnl_table_of"
typedef const bdl__dnnl_table *bdl__dnnl_table_fn(void);

/* The table, opened at the first call; fails with a text that says what to do. Any thread. */
bdl_status bdl__dnnl_open(const bdl__dnnl_table **table);

/* How this processor multiplies bf16: not at all, with AVX512-BF16, or with AMX. */
typedef enum bdl__bf16_kind { BDL__BF16_NONE, BDL__BF16_AVX512, BDL__BF16_AMX } bdl__bf16_kind;
bdl__bf16_kind bdl__bf16_available(void);

#endif
