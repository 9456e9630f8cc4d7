/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `train`, as a field table: the command's flags, help and manual come from it. */
#include <string.h>

#include "dnnl/dnnl.h"
#include "train/train.h"

#define F(member, ...) BDL_FIELD(bdl__train_params, member, __VA_ARGS__)

static const char *const wires[] = {"fp32", "bf16", NULL}; /* as bdl__wire_format */
static const char *const precisions[] = {"fp32", "fp32_exact", "bf16", "f64", NULL};

static const bdl__field fields[] = {
    F(model, .required = true,
      .doc = "Ready-made model with parameters (classes, outputs and shape are by default those of the "
             "data), a model.json, or a saved directory."),
    F(data, .required = true,
      .doc = "Training data: digits, mnist:DIR, cifar10:DIR, images:DIR, csv:FILE(label=...), "
             "npy:X,Y, synthetic(shape=...,classes=...)."),
    F(val, .doc = "Validation data, measured after every epoch; mnist, cifar10 and digits read their "
                  "test part."),
    F(batch, .def.i64 = 128, .range = BDL_IN(1, 1 << 24),
      .doc = "Samples of an iteration, over all workers."),
    F(shards, .def.i64 = 0, .range = BDL_IN(0, BDL__MAX_SHARDS),
      .doc = "Parts of a batch, of 16 samples or more each, whose gradients are added in a tree. Ranks and workers take whole "
             "parts: the result depends on how many these are, and not on who takes them. 0 means one for each 16 "
             "samples, at most 1024."),
    F(epochs, .def.i64 = 0, .range = BDL_AT_LEAST(0),
      .doc = "Passes over the training data; 0 with no other limit means 10."),
    F(iterations, .def.i64 = 0, .range = BDL_AT_LEAST(0),
      .doc = "Updates of the weights; 0 means no limit."),
    F(until, .doc = "Stop condition, such as 'top1 >= 0.98 or epoch >= 20' (98 % is 0.98)."),
    F(optim, .def.s = "sgd(lr=0.05, momentum=0.9)", .doc = "Optimization method with parameters."),
    F(schedule, .def.s = "", .doc = "Learning-rate schedule, such as 'warmup(500) then cosine(9500)'."),
    F(loss, .def.s = "",
      .doc = "Criterion with parameters; by default nll after log_softmax, else cross_entropy for "
             "classes and mse for numbers."),
    F(metrics, .def.s = "",
      .doc = "Metrics of the validation, such as 'top1, top5'; by default top1 (and top5 with more "
             "than five classes) or mae."),
    F(target, .def.s = "label", .doc = "What the loss compares with: label, or input (autoencoders)."),
    F(precision, .def.s = "fp32", .doc = "fp32, fp32_exact (no Winograd), bf16 or f64."),
    F(transform, .doc = "Preprocessing, such as 'pad(4), crop(32, at=random), flip'; by default the data's "
                        "own. 'none' for none."),
    F(clip, .def.s = "", .doc = "Gradient clipping: 'norm(5)', 'value(1)', or both."),
    F(seed, .def.i64 = 1, .range = BDL_AT_LEAST(0),
      .doc = "Seed of initial weights, order of samples, dropout and random transforms."),
    F(checkpoint, .doc = "Directory for checkpoints."),
    F(every, .def.s = "epoch", .needs = "checkpoint",
      .doc = "When to write a checkpoint: epoch, or every so many iterations."),
    F(keep, .def.i64 = 3, .range = BDL_IN(1, 1000), .needs = "checkpoint",
      .doc = "Newest checkpoints that are kept."),
    F(resume, .needs = "checkpoint",
      .doc = "Go on from the newest good checkpoint in --checkpoint, if there is one."),
    F(start, .doc = "Checkpoint file to go on from; of several ranks one that names it is enough."),
    F(seconds, .def.f64 = 0, .range = BDL_AT_LEAST(0),
      .doc = "Stop, with a checkpoint, after the iteration at which so many seconds have passed; 0 means no limit."),
    F(bucket, .def.i64 = 1 << 20, .range = BDL_AT_LEAST(0),
      .doc = "With several ranks: bytes of gradients that travel together, while others are still computed; 0 sends "
             "them all after the computation. The result is the same."),
    F(wire, .def.s = "fp32", .choices = wires,
      .doc = "With several ranks: how gradients and changes of weights travel. bf16 halves the bytes, and rounds them: "
             "then the result depends on the number of ranks, and is the same each time with the same number."),
    F(save, .doc = "Directory for the trained model."),
    F(log, .doc = "File for one JSON object a line: iterations, epochs, result."),
    F(summary, .doc = "Directory for TensorBoard event files."),
    F(most_broken, .def.f64 = 0.01, .range = BDL_IN(0, 1),
      .doc = "Share of image files that may be broken: they are left out and counted."),
    F(readers, .def.i64 = 1, .range = BDL_IN(0, 64),
      .doc = "Threads that read and transform samples ahead."),
};

const bdl__schema bdl__train_schema =
    {.name = "train", .fields = fields, .n_fields = BDL__COUNT_OF(fields),
     .params_size = sizeof(bdl__train_params)};

bdl_status bdl__precision_from_name(const char *name, bdl__precision *precision)
{
    for (int i = 0; precisions[i]; i++) {
        if (strcmp(precisions[i], name) == 0) {
            *precision = (bdl__precision)i;
            return BDL_OK;
        }
    }
    const char *const nearest = bdl__nearest_name(name, precisions, 4);
    BDL__FAIL(BDL_ERR_NOT_FOUND, "unknown precision '%s'%s%s; known are fp32, fp32_exact, bf16, f64",
              name, nearest ? "; did you mean " : "", nearest ? nearest : "");
}

bdl_status bdl__precision_choose(const bdl__log *log, const char *name, bdl__precision *precision)
{
    BDL__TRY(bdl__precision_from_name(name, precision));
    if (*precision == BDL__BF16 && bdl__bf16_available() == BDL__BF16_NONE) {
        BDL__LOG(log, BDL__LOG_WARNING,
                 "this processor has neither AVX512-BF16 nor AMX: computing in fp32, not bf16");
        *precision = BDL__FP32;
    }
    return BDL_OK;
}
