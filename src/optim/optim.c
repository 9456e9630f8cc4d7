/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the methods share: finding and creating them, walking the ranges of the flat vector, and the
 * norm of the whole gradient, which is the same for any split into ranges of blocks.
 */
#include "optim/optim.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { TENSOR_ALIGNMENT = 16, MAX_METHODS = 64 };

struct bdl__optim {
    const bdl_allocator *allocator; /* borrowed */
    bdl__arena arena;               /* holds params */
    const bdl__optim_method *method;
    void *params;
};

/* ---- methods ------------------------------------------------------------------------------- */

#define BDL_ENTRY(family) extern const bdl__optim_family bdl__optim_family_##family;
#include "optims_gen.inc"
#undef BDL_ENTRY

const bdl__optim_method *bdl__optim_method_at(int64_t i)
{
#define BDL_ENTRY(family) &bdl__optim_family_##family,
    static const bdl__optim_family *const families[] = {
#include "optims_gen.inc"
    };
#undef BDL_ENTRY
    for (int64_t i_family = 0; i_family < BDL__COUNT_OF(families); i_family++) {
        if (i < families[i_family]->n) {
            return families[i_family]->methods[i];
        }
        i -= families[i_family]->n;
    }
    return NULL;
}

static bdl_status find_method(const char *name, const bdl__optim_method **method)
{
    const char *names[MAX_METHODS];
    int64_t n = 0;
    for (const bdl__optim_method *at; (at = bdl__optim_method_at(n)) != NULL; n++) {
        assert(n < MAX_METHODS);
        if (strcmp(at->name, name) == 0) {
            *method = at;
            return BDL_OK;
        }
        names[n] = at->name;
    }
    return bdl__fail_unknown("optimization method", name, names, n);
}

/* ---- creation ------------------------------------------------------------------------------ */

static bdl_status create_empty(const bdl_allocator *allocator, bdl__optim **optim)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof **optim, &memory));
    *optim = memory;
    (*optim)->allocator = allocator;
    bdl__arena_init(&(*optim)->arena, allocator);
    return BDL_OK;
}

/* Finds the method and makes room for its params. */
static bdl_status set_method(bdl__optim *optim, const char *name)
{
    BDL__TRY(find_method(name, &optim->method));
    return bdl__arena_alloc(&optim->arena, optim->method->schema.params_size, &optim->params);
}

static bdl_status check(const bdl__optim *optim)
{
    return optim->method->check == NULL ? BDL_OK : optim->method->check(optim->params);
}

static bdl_status parse_text(bdl__optim *optim, const char *text)
{
    const char *name = NULL;
    const char *args = NULL;
    BDL__TRY(bdl__split_call(&optim->arena, text, &name, &args));
    BDL__TRY(set_method(optim, name));
    BDL__TRY(bdl__params_from_text(&optim->method->schema, &optim->arena, args, optim->params));
    return check(optim);
}

bdl_status bdl__optim_create(const bdl_allocator *allocator, const char *text, bdl__optim **optim)
{
    bdl__optim *made = NULL;
    BDL__TRY(create_empty(allocator, &made));
    const bdl_status status = parse_text(made, text);
    if (status != BDL_OK) {
        bdl__optim_free(made);
        return status;
    }
    *optim = made;
    return BDL_OK;
}

static bdl_status parse_json(bdl__optim *optim, const bdl__json *object, const char *where)
{
    const char *name = NULL;
    const bdl__json *params = NULL;
    BDL__TRY(bdl__json_need_string(object, "name", where, &name));
    BDL__TRY(set_method(optim, name));
    if (bdl__json_get(object, "params") != NULL) {
        BDL__TRY(bdl__json_need(object, "params", BDL__JSON_OBJECT, where, &params));
    }
    BDL__TRY(bdl__params_from_json(&optim->method->schema, &optim->arena, params, optim->params));
    return check(optim);
}

bdl_status bdl__optim_from_json(const bdl_allocator *allocator, const bdl__json *object,
                                const char *where, bdl__optim **optim)
{
    BDL__CHECK(bdl__json_kind_of(object) == BDL__JSON_OBJECT, BDL_ERR_FORMAT,
               "%s: an optimization method must be an object, got %s", where,
               bdl__json_kind_name(bdl__json_kind_of(object)));
    bdl__optim *made = NULL;
    BDL__TRY(create_empty(allocator, &made));
    const bdl_status status = parse_json(made, object, where);
    if (status != BDL_OK) {
        bdl__optim_free(made);
        return status;
    }
    *optim = made;
    return BDL_OK;
}

void bdl__optim_free(bdl__optim *optim)
{
    if (optim != NULL) {
        bdl__arena_free(&optim->arena);
        bdl__free(optim->allocator, optim, sizeof *optim);
    }
}

/* ---- access -------------------------------------------------------------------------------- */

const bdl__optim_method *bdl__optim_method_of(const bdl__optim *optim)
{
    return optim->method;
}

const void *bdl__optim_params_of(const bdl__optim *optim)
{
    return optim->params;
}

static const bdl__optim_params *common_params(const bdl__optim *optim)
{
    return optim->params;
}

double bdl__optim_lr(const bdl__optim *optim)
{
    return common_params(optim)->lr;
}

int bdl__optim_n_states(const bdl__optim *optim)
{
    return optim->method->n_states(optim->params);
}

void bdl__optim_to_text(const bdl__optim *optim, bdl__text *out)
{
    bdl__text_append(out, "%s(", optim->method->name);
    bdl__params_to_text(&optim->method->schema, optim->params, out);
    bdl__text_append(out, ")");
}

void bdl__optim_to_json(const bdl__optim *optim, bdl__json_writer *writer)
{
    bdl__json_open(writer, '{');
    bdl__json_write_key(writer, "name");
    bdl__json_write_string(writer, optim->method->name);
    bdl__json_write_key(writer, "params");
    bdl__params_to_json(&optim->method->schema, optim->params, false, writer);
    bdl__json_close(writer, '}');
}

/* ---- an iteration -------------------------------------------------------------------------- */

void bdl__optim_begin(const bdl__optim *optim, int64_t iteration, double rate, double grad_scale,
                      const bdl__clip *clip, bdl__optim_step *step)
{
    const bdl__clip limits = clip == NULL ? bdl__clip_none() : *clip;
    *step = (bdl__optim_step){
        .method = optim->method,
        .weight_decay = common_params(optim)->weight_decay,
        .max_norm = limits.max_norm,
        .n_states = bdl__optim_n_states(optim),
        .constants = {.rate = rate,
                      .grad_scale = grad_scale,
                      .clip_least = limits.least,
                      .clip_most = limits.most},
    };
    optim->method->begin(optim->params, iteration, &step->constants);
}

/* The first range that reaches beyond `begin`. */
static int64_t first_range(bdl__param_ranges ranges, int64_t begin)
{
    int64_t low = 0;
    int64_t high = ranges.n;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (ranges.range[middle].end > begin) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* The constants of one range. */
static bdl__optim_constants range_constants(const bdl__optim_step *step,
                                            const bdl__param_range *range)
{
    bdl__optim_constants constants = step->constants;
    const double decay = step->weight_decay * range->decay_scale;
    constants.rate *= range->lr_scale;
    constants.decay = step->method->decoupled ? 0 : decay;
    constants.keep = step->method->decoupled ? 1 - constants.rate * decay : 1;
    return constants;
}

static size_t scalar_size(bdl__target target)
{
    return target == BDL__TARGET_F64 ? sizeof(double) : sizeof(float);
}

static void *at(const void *vector, int64_t i, size_t size)
{
    return vector == NULL ? NULL : (char *)(uintptr_t)vector + (size_t)i * size;
}

void bdl__optim_update(const bdl__optim_step *step, bdl__target target, void *weights,
                       const void *grads, void *const states[], bdl__param_ranges ranges,
                       int64_t begin, int64_t end)
{
    assert(begin % TENSOR_ALIGNMENT == 0 && end % TENSOR_ALIGNMENT == 0);
    const struct bdl__optim_kernels *const kernels = bdl__optim_kernels(target);
    const size_t size = scalar_size(target);
    for (int64_t i = first_range(ranges, begin); i < ranges.n; i++) {
        const bdl__param_range *const range = &ranges.range[i];
        const int64_t from = BDL__MAX(begin, range->begin);
        const int64_t to = BDL__MIN(end, bdl__round_up(range->end, TENSOR_ALIGNMENT));
        if (range->begin >= end) {
            break;
        }
        if (range->frozen || from >= to) {
            continue;
        }
        real *state[BDL__MAX_OPTIM_STATES] = {0};
        for (int i_state = 0; i_state < step->n_states; i_state++) {
            state[i_state] = at(states[i_state], from, size);
        }
        const bdl__optim_constants constants = range_constants(step, range);
        step->method->update(kernels, at(weights, from, size), at(grads, from, size), state,
                             to - from, &constants);
    }
}

/* ---- the norm ------------------------------------------------------------------------------ */

static double block_square_sum(const struct bdl__optim_kernels *kernels, size_t size,
                               const void *grads, bdl__param_ranges ranges, int64_t begin)
{
    const int64_t end = begin + BDL__BLOCK;
    double total = 0;
    for (int64_t i = first_range(ranges, begin); i < ranges.n && ranges.range[i].begin < end; i++) {
        const bdl__param_range *const range = &ranges.range[i];
        const int64_t from = BDL__MAX(begin, range->begin);
        const int64_t to = BDL__MIN(end, bdl__round_up(range->end, TENSOR_ALIGNMENT));
        if (!range->frozen && from < to) {
            double sum = 0;
            kernels->optim_square_sum(at(grads, from, size), to - from, &sum);
            total += sum;
        }
    }
    return total;
}

void bdl__optim_square_sums(bdl__target target, const void *grads, bdl__param_ranges ranges,
                            int64_t begin, int64_t end, double *sums)
{
    assert(begin % BDL__BLOCK == 0 && end % BDL__BLOCK == 0);
    const struct bdl__optim_kernels *const kernels = bdl__optim_kernels(target);
    const size_t size = scalar_size(target);
    for (int64_t i = begin; i < end; i += BDL__BLOCK) {
        sums[i / BDL__BLOCK] = block_square_sum(kernels, size, grads, ranges, i);
    }
}

/* The left half holds the largest power of two below n. */
static double tree_sum(const double *values, int64_t n)
{
    if (n <= 1) {
        return n == 1 ? values[0] : 0;
    }
    int64_t half = 1;
    while (half * 2 < n) {
        half *= 2;
    }
    return tree_sum(values, half) + tree_sum(values + half, n - half);
}

double bdl__optim_norm(const double *sums, int64_t n_blocks)
{
    return sqrt(tree_sum(sums, n_blocks));
}

double bdl__optim_clip_norm(bdl__optim_step *step, double norm)
{
    const double scaled = norm * step->constants.grad_scale;
    const double scale = step->max_norm / (scaled + 1e-6);
    /* Not `scale < 1`: a gradient that is not a number must reach the weights, where it is
     * noticed. */
    if (step->max_norm > 0 && !(scale >= 1)) {
        step->constants.grad_scale *= scale;
    }
    return scaled;
}
