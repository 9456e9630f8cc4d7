/* SPDX-License-Identifier: Apache-2.0 */
/* bdl bench: the speed of training and prediction on this machine, as one line of JSON a case. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "api/bench.h"

#define WARM_UP_SECONDS 0.5
#define WINDOW_SECONDS 0.1 /* a rate is measured over at least so long */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bdl__bench_sort(double *values, int64_t n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
}

static double percentile(const bdl__measured *r, double share)
{
    return r->value[(int64_t)(share * (double)(r->n - 1) + 0.5)];
}

static double peak_rss_mib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024;
}

/* ---- training ----------------------------------------------------------------------------------- */

typedef struct training {
    bdl__measured *measured;
    double seconds;
    double window_start;
    int64_t window_iteration, batch;
    bdl__cancel stop;
} training;

static void on_event(void *arg, const bdl__event *e)
{
    training *const t = arg;
    const double now = e->seconds;
    if (e->kind != BDL__EVENT_STEP || now < WARM_UP_SECONDS) {
        t->window_start = now;
        t->window_iteration = e->iteration;
        return;
    }
    if (now - t->window_start >= WINDOW_SECONDS && t->measured->n < BDL__BENCH_MAX) {
        t->measured->value[t->measured->n++] =
            (double)(t->batch * (e->iteration - t->window_iteration)) / (now - t->window_start);
        t->window_start = now;
        t->window_iteration = e->iteration;
    }
    if (now >= t->seconds + WARM_UP_SECONDS && t->measured->n > 0) {
        atomic_store(&t->stop.is_asked, 1);
    }
}

static bdl_status bench_train(bdl_context *context, const char *model, const char *data,
                              const char *optim, const char *precision, int64_t batch,
                              double seconds, bdl__measured *measured)
{
    training t = {.measured = measured,
                  .seconds = seconds,
                  .batch = batch,
                  .stop = {.outer = &context->cancel}};
    bdl__session session = bdl__context_session(context);
    bdl__arena arena;
    bdl__train_params params;
    bdl__trainer *trainer = NULL;
    session.cancel = &t.stop;
    bdl__arena_init(&arena, &context->allocator);
    bdl_status status;
    BDL__TRY_DONE(status, bdl__params_default(&bdl__train_schema, &arena, &params));
    params.model = model;
    params.data = data;
    params.optim = optim;
    params.precision = precision;
    params.batch = batch;
    params.epochs = INT32_MAX;
    BDL__TRY_DONE(status, bdl__trainer_create(&session, &params, NULL, &trainer));
    status = bdl__trainer_run(trainer, on_event, &t);
    status = status == BDL_ERR_CANCELLED && !bdl__is_cancelled(&context->cancel) ? BDL_OK : status;
done:
    bdl__trainer_free(trainer);
    bdl__arena_free(&arena);
    return status;
}

static bdl_status lenet_train(bdl_context *context, double seconds, bdl__measured *measured)
{
    return bench_train(context, "lenet", "digits", "sgd(lr=0.001, momentum=0.9)", "fp32", 128,
                       seconds, measured);
}

static bdl_status lenet_train_512(bdl_context *context, double seconds, bdl__measured *measured)
{
    return bench_train(context, "lenet", "digits", "sgd(lr=0.001, momentum=0.9)", "fp32", 512,
                       seconds, measured);
}

static bdl_status bench_vgg(bdl_context *context, const char *precision, double seconds,
                            bdl__measured *measured)
{
    return bench_train(context, "vgg_cifar", "synthetic(count=512, shape=[3,32,32], classes=10)",
                       "sgd(lr=0.0001, momentum=0.9, weight_decay=0.0005)", precision, 128,
                       3 * seconds, measured);
}

static bdl_status vgg_cifar_train(bdl_context *context, double seconds, bdl__measured *measured)
{
    return bench_vgg(context, "fp32", seconds, measured);
}

static bdl_status vgg_cifar_train_bf16(bdl_context *context, double seconds, bdl__measured *measured)
{
    return bench_vgg(context, "bf16", seconds, measured);
}

/* 224x224 images of 1,000 classes, batch 32. */
static bdl_status bench_imagenet(bdl_context *context, const char *model, const char *precision,
                                 double seconds, bdl__measured *measured)
{
    return bench_train(context, model, "synthetic(count=64, shape=[3,224,224], classes=1000)",
                       "sgd(lr=0.0001, momentum=0.9)", precision, 32, 5 * seconds, measured);
}

static bdl_status resnet18_train(bdl_context *context, double seconds, bdl__measured *measured)
{
    return bench_imagenet(context, "resnet(depth=18, dataset=imagenet)", "fp32", seconds, measured);
}

static bdl_status resnet50_train(bdl_context *context, double seconds, bdl__measured *measured)
{
    return bench_imagenet(context, "resnet(depth=50, dataset=imagenet)", "fp32", seconds, measured);
}

static bdl_status resnet50_train_bf16(bdl_context *context, double seconds, bdl__measured *measured)
{
    return bench_imagenet(context, "resnet(depth=50, dataset=imagenet)", "bf16", seconds, measured);
}

static bdl_status inception_v1_train(bdl_context *context, double seconds, bdl__measured *measured)
{
    return bench_imagenet(context, "inception_v1", "fp32", seconds, measured);
}

/* ---- prediction --------------------------------------------------------------------------------- */

/* Images a second, `batch` of them a call. */
static bdl_status bench_forward(bdl_context *context, const char *name, int64_t batch,
                                double seconds, bdl__measured *measured)
{
    bdl_model *model = NULL;
    int64_t n_src, n_dst;
    void *src = NULL, *dst = NULL;
    size_t src_size = 0, dst_size = 0;
    bdl_status status;
    BDL__TRY_DONE(status, bdl_model_open(context, name, 1, &model));
    BDL__TRY_DONE(status, bdl_model_sizes(model, &n_src, &n_dst));
    src_size = (size_t)(n_src * batch) * sizeof(float);
    dst_size = (size_t)(n_dst * batch) * sizeof(float);
    BDL__TRY_DONE(status, bdl__alloc(&context->allocator, src_size, &src));
    BDL__TRY_DONE(status, bdl__alloc(&context->allocator, dst_size, &dst));
    for (int64_t i = 0; i < n_src * batch; i++) {
        ((float *)src)[i] = (float)(i % 251) / 251;
    }
    const double start = bdl__now();
    while (bdl__now() - start < seconds + WARM_UP_SECONDS && measured->n < BDL__BENCH_MAX) {
        const double before = bdl__now();
        int64_t n = 0;
        while (bdl__now() - before < WINDOW_SECONDS) {
            BDL__TRY_DONE(status, bdl_model_forward(model, src, batch, dst));
            n += batch;
        }
        if (before - start >= WARM_UP_SECONDS) {
            measured->value[measured->n++] = (double)n / (bdl__now() - before);
        }
        status = bdl__is_cancelled(&context->cancel) ? bdl__fail(BDL_ERR_CANCELLED, "cancelled") : BDL_OK;
        if (status != BDL_OK) {
            goto done;
        }
    }
done:
    bdl__free(&context->allocator, src, src_size);
    bdl__free(&context->allocator, dst, dst_size);
    bdl_model_free(model);
    return status;
}

static bdl_status lenet_forward(bdl_context *context, double seconds, bdl__measured *measured)
{
    return bench_forward(context, "lenet", 1024, seconds, measured);
}

/* One image a call: what a service that answers single requests sees. */
static bdl_status lenet_single(bdl_context *context, double seconds, bdl__measured *measured)
{
    return bench_forward(context, "lenet", 1, seconds, measured);
}

static bdl_status inception_single(bdl_context *context, double seconds, bdl__measured *measured)
{
    return bench_forward(context, "inception_v1", 1, seconds, measured);
}

static bdl_status resnet50_single(bdl_context *context, double seconds, bdl__measured *measured)
{
    return bench_forward(context, "resnet(depth=50, dataset=imagenet)", 1, seconds, measured);
}

static bdl_status vgg16_single(bdl_context *context, double seconds, bdl__measured *measured)
{
    return bench_forward(context, "vgg16", 1, seconds, measured);
}

static bdl_status vgg_cifar_single(bdl_context *context, double seconds, bdl__measured *measured)
{
    return bench_forward(context, "vgg_cifar", 1, seconds, measured);
}

static bdl_status push(bdl_context *context, double seconds, bdl__measured *measured)
{
    return bdl__bench_push(context, false, seconds, measured);
}

static bdl_status push_spilled(bdl_context *context, double seconds, bdl__measured *measured)
{
    return bdl__bench_push(context, true, seconds, measured);
}

/* ---- cases -------------------------------------------------------------------------------------- */

typedef struct bench_case {
    const char *name;
    const char *unit;
    const char *summary;
    bdl_status (*run)(bdl_context *context, double seconds, bdl__measured *measured);
} bench_case;

static const bench_case cases[] = {
    {"lenet_train", "images/s", "training of LeNet on digits, batch 128", lenet_train},
    {"lenet_train_512", "images/s", "training of LeNet on digits, batch 512", lenet_train_512},
    {"vgg_cifar_train", "images/s", "training of VGG for CIFAR-10, batch 128", vgg_cifar_train},
    {"vgg_cifar_train_bf16", "images/s", "the same with precision bf16", vgg_cifar_train_bf16},
    {"resnet18_train", "images/s", "training of ResNet-18 at 224x224, batch 32", resnet18_train},
    {"resnet50_train", "images/s", "training of ResNet-50 at 224x224, batch 32", resnet50_train},
    {"resnet50_train_bf16", "images/s", "the same with precision bf16", resnet50_train_bf16},
    {"inception_v1_train", "images/s", "training of Inception-v1 at 224x224, batch 32",
     inception_v1_train},
    {"lenet_forward", "images/s", "LeNet forward, 1,024 images a call", lenet_forward},
    {"lenet_single", "images/s", "LeNet forward, one image a call", lenet_single},
    {"vgg_cifar_single", "images/s", "VGG for CIFAR-10 forward, one image a call", vgg_cifar_single},
    {"inception_single", "images/s", "Inception-v1 forward, one image a call", inception_single},
    {"resnet50_single", "images/s", "ResNet-50 forward, one image a call", resnet50_single},
    {"vgg16_single", "images/s", "VGG-16 forward, one image a call", vgg16_single},
    {"conv", "share of peak", "each kernel of convolution and linear on one core, a line each",
     bdl__bench_conv},
    {"push", "MB/s", "pushing rows of 784 floats into memory", push},
    {"push_spilled", "MB/s", "the same with 16 MiB of memory, the rest in a file", push_spilled},
    {"allreduce_100mb", "share of a plain copy",
     "all-reduce of 100 MB, 2 ranks over loopback, against a plain copy both ways",
     bdl__bench_allreduce_100mb},
    {"allreduce_4b", "ms", "all-reduce of one number, 4 ranks over loopback",
     bdl__bench_allreduce_4b},
};

bdl_status bdl_bench_list(bdl_context *context, char **text)
{
    BDL__TRY(bdl__need_arguments(context && text, __func__));
    bdl__text out;
    bdl__text_init(&out, &context->allocator);
    for (int64_t i = 0; i < BDL__COUNT_OF(cases); i++) {
        bdl__text_append(&out, "  %-22s %s\n", cases[i].name, cases[i].summary);
    }
    return bdl__text_give(&out, text);
}

static bdl_status find_case(const char *name, const bench_case **found)
{
    const char *names[BDL__COUNT_OF(cases)];
    for (int64_t i = 0; i < BDL__COUNT_OF(cases); i++) {
        names[i] = cases[i].name;
        if (strcmp(names[i], name) == 0) {
            *found = &cases[i];
            return BDL_OK;
        }
    }
    const char *const nearest = bdl__nearest_name(name, names, BDL__COUNT_OF(cases));
    if (nearest) {
        BDL__FAIL(BDL_ERR_NOT_FOUND, "there is no bench '%s'; did you mean '%s'?", name, nearest);
    }
    char known[512] = "";
    size_t used = 0;
    for (int64_t i = 0; i < BDL__COUNT_OF(cases) && used < sizeof known; i++) {
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", names[i]);
    }
    BDL__FAIL(BDL_ERR_NOT_FOUND, "there is no bench '%s'; known are %s", name, known);
}

/* The line that ends a case. */
static void write_result(const bench_case *found, bdl__measured *measured)
{
    bdl__json_writer w;
    bdl__bench_sort(measured->value, measured->n);
    bdl__json_writer_init(&w, &measured->lines, 0);
    bdl__json_open(&w, '{');
    bdl__json_write_key(&w, "case");
    bdl__json_write_string(&w, found->name);
    bdl__json_write_key(&w, "unit");
    bdl__json_write_string(&w, found->unit);
    bdl__json_write_key(&w, "median");
    bdl__json_write_f64(&w, percentile(measured, 0.5));
    bdl__json_write_key(&w, "p10");
    bdl__json_write_f64(&w, percentile(measured, 0.1));
    bdl__json_write_key(&w, "p90");
    bdl__json_write_f64(&w, percentile(measured, 0.9));
    bdl__json_write_key(&w, "peak_rss_mib");
    bdl__json_write_f64(&w, peak_rss_mib());
    bdl__json_close(&w, '}');
    bdl__text_append(&measured->lines, "\n");
}

bdl_status bdl_bench(bdl_context *context, const char *name, double seconds, char **json)
{
    BDL__TRY(bdl__need_arguments(context && name && json, __func__));
    const bench_case *found = NULL;
    void *memory = NULL;
    BDL__CHECK(seconds > 0, BDL_ERR_INVALID_ARGUMENT, "a bench needs seconds above 0, got %g", seconds);
    BDL__TRY(find_case(name, &found));
    BDL__TRY(bdl__alloc(&context->allocator, sizeof(bdl__measured), &memory));
    bdl__measured *const measured = memory;
    bdl__text_init(&measured->lines, &context->allocator);
    bdl_status status = found->run(context, seconds, measured);
    if (status == BDL_OK && measured->n == 0) {
        status = bdl__fail(BDL_ERR_INTERNAL, "%s: nothing was measured", name);
    }
    if (status == BDL_OK) {
        write_result(found, measured);
        status = bdl__text_give(&measured->lines, json);
    } else {
        bdl__text_free(&measured->lines);
    }
    bdl__free(&context->allocator, memory, sizeof(bdl__measured));
    return status;
}
