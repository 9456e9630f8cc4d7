/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of layers, made from the families that the build lists, and what hooks share. */
#include "layers/layer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- registry -------------------------------------------------------------------------------- */

#define BDL_FAMILY(family) extern const bdl__layer_family bdl__family_##family;
#include "families_gen.inc"
#undef BDL_FAMILY

#define BDL_FAMILY(family) &bdl__family_##family,
static const bdl__layer_family *const families[] = {
#include "families_gen.inc"
};
#undef BDL_FAMILY

#define MOST_LAYERS 512
#define NAMES_PER_LAYER 4

/* Sorted once; constant from then on. */
static const bdl__layer *sorted_layers[MOST_LAYERS];
static int64_t n_sorted_layers;
static pthread_once_t sorted_once = PTHREAD_ONCE_INIT;

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const bdl__layer *const *)a)->name, (*(const bdl__layer *const *)b)->name);
}

static void sort_layers(void)
{
    int64_t n = 0;
    for (int64_t i = 0; i < BDL__COUNT_OF(families); i++) {
        for (int64_t j = 0; j < families[i]->n && n < MOST_LAYERS; j++) {
            sorted_layers[n++] = families[i]->layers[j];
        }
    }
    qsort(sorted_layers, (size_t)n, sizeof sorted_layers[0], compare_names);
    n_sorted_layers = n;
}

const bdl__layer *const *bdl__layers_all(int64_t *n)
{
    pthread_once(&sorted_once, sort_layers);
    *n = n_sorted_layers;
    return sorted_layers;
}

static const char *name_of(const bdl__layer *layer, int i_name)
{
    switch (i_name) {
    case 0:
        return layer->name;
    case 1:
        return layer->names.pytorch;
    case 2:
        return layer->names.torch;
    default:
        return layer->names.keras;
    }
}

static bdl_status layer_not_found(const char *name, const bdl__layer *const *layers, int64_t n)
{
    const char *names[MOST_LAYERS * NAMES_PER_LAYER];
    int64_t n_names = 0;
    for (int i_name = 0; i_name < NAMES_PER_LAYER; i_name++) {
        for (int64_t i = 0; i < n; i++) {
            const char *candidate = name_of(layers[i], i_name);
            if (candidate != NULL) {
                names[n_names++] = candidate;
            }
        }
    }
    const char *nearest = bdl__nearest_name(name, names, n_names);
    if (nearest != NULL) {
        BDL__FAIL(BDL_ERR_NOT_FOUND, "no layer is called '%s'; did you mean '%s'?", name, nearest);
    }
    BDL__FAIL(BDL_ERR_NOT_FOUND, "no layer is called '%s'; `bdl layers` lists all", name);
}

bdl_status bdl__layer_find(const char *name, const bdl__layer **layer)
{
    int64_t n = 0;
    const bdl__layer *const *layers = bdl__layers_all(&n);
    /* bdl's own names come first: a foreign name may be another layer's own. */
    for (int i_name = 0; i_name < NAMES_PER_LAYER; i_name++) {
        for (int64_t i = 0; i < n; i++) {
            const char *candidate = name_of(layers[i], i_name);
            if (candidate != NULL && strcmp(candidate, name) == 0) {
                *layer = layers[i];
                return BDL_OK;
            }
        }
    }
    return layer_not_found(name, layers, n);
}

/* ---- helpers for infer ----------------------------------------------------------------------- */

bdl_status bdl__decl_out(bdl__decl *decl, const bdl__shape *shape, bool integer)
{
    BDL__CHECK(decl->n_out < BDL__MAX_PORTS, BDL_ERR_INVALID_ARGUMENT, "more than %d outputs",
               BDL__MAX_PORTS);
    BDL__TRY(bdl__shape_check(shape, "output"));
    decl->out[decl->n_out] = *shape;
    decl->out_integer[decl->n_out] = integer;
    decl->n_out++;
    return BDL_OK;
}

bdl_status bdl__decl_weights(bdl__decl *decl, const bdl__weight_decl *weights)
{
    BDL__CHECK(decl->n_weights < BDL__MAX_WEIGHTS, BDL_ERR_INVALID_ARGUMENT,
               "more than %d weight tensors", BDL__MAX_WEIGHTS);
    BDL__TRY(bdl__shape_check(&weights->shape, weights->name));
    decl->weights[decl->n_weights++] = *weights;
    return BDL_OK;
}

bdl_status bdl__decl_buffer(bdl__decl *decl, const char *name, const bdl__shape *shape,
                            double value)
{
    BDL__CHECK(decl->n_buffers < BDL__MAX_WEIGHTS, BDL_ERR_INVALID_ARGUMENT, "more than %d buffers",
               BDL__MAX_WEIGHTS);
    BDL__TRY(bdl__shape_check(shape, name));
    decl->buffers[decl->n_buffers++] =
        (bdl__buffer_decl){.name = name, .shape = *shape, .value = value};
    return BDL_OK;
}

bdl_status bdl__decl_same(const bdl__infer_in *in, bdl__decl *decl)
{
    return bdl__decl_out(decl, &in->shape[0], in->integer[0]);
}

bdl_status bdl__need_rank(const bdl__infer_in *in, int i, int32_t rank, const char *expected)
{
    char got[BDL__SHAPE_TEXT_SIZE];
    BDL__CHECK(in->shape[i].rank == rank, BDL_ERR_SHAPE, "needs %s, got %s", expected,
               bdl__shape_text(&in->shape[i], got, sizeof got));
    return BDL_OK;
}

bdl_status bdl__need_float(const bdl__infer_in *in, int i)
{
    BDL__CHECK(!in->integer[i], BDL_ERR_UNSUPPORTED,
               "input %d must hold real numbers, got integers", i);
    return BDL_OK;
}

bdl_status bdl__layer_axis(int64_t axis, int32_t rank, int32_t *sample_axis)
{
    const int64_t counted = axis >= 0 ? axis : axis + rank + 1;
    BDL__CHECK(counted != 0, BDL_ERR_INVALID_ARGUMENT,
               "axis %" PRId64 " is the batch; the sample's axes are 1 to %" PRId32, axis, rank);
    BDL__CHECK(counted >= 1 && counted <= rank, BDL_ERR_INVALID_ARGUMENT,
               "axis %" PRId64 " is not there; the sample's axes are 1 to %" PRId32
               ", or -1 to -%" PRId32,
               axis, rank, rank);
    *sample_axis = (int32_t)counted - 1;
    return BDL_OK;
}

void bdl__expand(const bdl__i64s *list, int n, int64_t fallback, int64_t *values)
{
    for (int i = 0; i < n; i++) {
        if (list->n == 0) {
            values[i] = fallback;
        } else {
            values[i] = list->v[i < list->n ? i : list->n - 1];
        }
    }
}

/* ---- helpers for execution ------------------------------------------------------------------- */

void bdl__cx_split(const bdl__cx *cx, int64_t n, int64_t *begin, int64_t *end)
{
    const int64_t size = cx->team_size > 1 ? cx->team_size : 1;
    const int64_t rank = cx->team_size > 1 ? cx->team_rank : 0;
    *begin = n / size * rank + n % size * rank / size;
    *end = n / size * (rank + 1) + n % size * (rank + 1) / size;
}

void bdl__merge_add(double *into, const double *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        into[i] += from[i];
    }
}

void bdl__merge_moments(double *into, const double *from, int64_t n)
{
    for (int64_t i = 0; i < n; i += 3) {
        const double count = into[i] + from[i];
        if (count == 0) {
            continue;
        }
        const double delta = from[i + 1] - into[i + 1];
        const double share = from[i] / count;
        into[i + 1] += delta * share;
        into[i + 2] += from[i + 2] + delta * delta * into[i] * share;
        into[i] = count;
    }
}

void bdl__step_fail(const bdl__step *step, const char *library, const char *error)
{
    const char *none = NULL;
    if (atomic_compare_exchange_strong(&step->failure->error, &none, error)) {
        step->failure->library = library;
        step->failure->name = step->name; /* read when all workers have ended */
    }
}
