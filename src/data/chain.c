/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains of transforms: parsing, text and JSON forms, running, and the plan that lets the batcher
 * do the pointwise end of a chain (scale, normalize ...) by one table of 256 results for each
 * channel.
 */
#include "data/data_private.h"

#include <string.h>

struct bdl__chain {
    const bdl_allocator *allocator; /* borrowed */
    bdl__arena arena;
    bdl__transform_step *steps; /* in the arena */
    int64_t n;
};

enum { MAX_STEPS = 64 };

static bdl_status create(const bdl_allocator *allocator, int64_t n, bdl__chain **chain)
{
    BDL__CHECK(n <= MAX_STEPS, BDL_ERR_INVALID_ARGUMENT,
               "a chain has at most %d transforms, got %lld", MAX_STEPS, (long long)n);
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof(bdl__chain), &memory));
    bdl__chain *made = memory;
    *made = (bdl__chain){.allocator = allocator};
    bdl__arena_init(&made->arena, allocator);
    void *steps = NULL;
    const bdl_status status =
        bdl__arena_alloc(&made->arena, (size_t)n * sizeof(bdl__transform_step), &steps);
    if (status != BDL_OK) {
        bdl__chain_free(made);
        return status;
    }
    made->steps = steps;
    *chain = made;
    return BDL_OK;
}

void bdl__chain_free(bdl__chain *chain)
{
    if (chain == NULL) {
        return;
    }
    bdl__arena_free(&chain->arena);
    bdl__free(chain->allocator, chain, sizeof(bdl__chain));
}

int64_t bdl__chain_size(const bdl__chain *chain)
{
    return chain != NULL ? chain->n : 0;
}

/* Room for one more step of the transform of this name, params still zero. */
static bdl_status begin_step(bdl__chain *chain, const char *name, bdl__transform_step *step)
{
    *step = (bdl__transform_step){.arena = &chain->arena};
    BDL__TRY(bdl__transform_find(name, &step->transform));
    void *params = NULL;
    BDL__TRY(bdl__arena_alloc(&chain->arena, step->transform->schema.params_size, &params));
    step->params = params;
    return BDL_OK;
}

static bdl_status end_step(bdl__chain *chain, bdl__transform_step *step)
{
    if (step->transform->plan != NULL) {
        const bdl_status status = step->transform->plan(step);
        if (status != BDL_OK) {
            return bdl__fail_in(status, "%s", step->transform->name);
        }
    }
    chain->steps[chain->n++] = *step;
    return BDL_OK;
}

static bdl_status add_text(bdl__chain *chain, const char *text)
{
    const char *name, *args;
    bdl__transform_step step;
    BDL__TRY(bdl__split_call(&chain->arena, text, &name, &args));
    BDL__TRY(begin_step(chain, name, &step));
    BDL__TRY(
        bdl__params_from_text(&step.transform->schema, &chain->arena, args, (void *)step.params));
    return end_step(chain, &step);
}

bdl_status bdl__chain_from_text(const bdl_allocator *allocator, const char *text,
                                bdl__chain **chain)
{
    bdl__arena scratch;
    bdl__arena_init(&scratch, allocator);
    bdl__chain *made = NULL;
    const char *const *pieces = NULL;
    int64_t n = 0;
    bdl_status status = BDL_OK;
    if (text != NULL && text[strspn(text, " \t\n")] != 0) {
        BDL__TRY_DONE(status, bdl__split_list(&scratch, text, ',', &pieces, &n));
    }
    BDL__TRY_DONE(status, create(allocator, n, &made));
    for (int64_t i = 0; i < n; i++) {
        BDL__TRY_DONE(status, add_text(made, pieces[i]));
    }
done:
    bdl__arena_free(&scratch);
    if (status != BDL_OK) {
        bdl__chain_free(made);
        return bdl__fail_in(status, "transforms");
    }
    *chain = made;
    return BDL_OK;
}

static bdl_status add_json(bdl__chain *chain, const bdl__json *object, const char *where)
{
    const char *name;
    bdl__transform_step step;
    BDL__CHECK(bdl__json_kind_of(object) == BDL__JSON_OBJECT, BDL_ERR_FORMAT,
               "%s: a transform must be an object, got %s", where,
               bdl__json_kind_name(bdl__json_kind_of(object)));
    BDL__TRY(bdl__json_need_string(object, "type", where, &name));
    BDL__TRY(begin_step(chain, name, &step));
    const bdl__json *params = bdl__json_get(object, "params");
    BDL__CHECK(params == NULL || bdl__json_kind_of(params) == BDL__JSON_OBJECT, BDL_ERR_FORMAT,
               "%s: the params of '%s' must be an object", where, name);
    BDL__TRY(
        bdl__params_from_json(&step.transform->schema, &chain->arena, params, (void *)step.params));
    return end_step(chain, &step);
}

bdl_status bdl__chain_from_json(const bdl_allocator *allocator, const bdl__json *array,
                                const char *where, bdl__chain **chain)
{
    BDL__CHECK(bdl__json_kind_of(array) == BDL__JSON_ARRAY, BDL_ERR_FORMAT,
               "%s: transforms must be an array, got %s", where,
               bdl__json_kind_name(bdl__json_kind_of(array)));
    bdl__chain *made;
    BDL__TRY(create(allocator, bdl__json_count(array), &made));
    for (const bdl__json *at = bdl__json_first(array); at != NULL; at = bdl__json_next(at)) {
        const bdl_status status = add_json(made, at, where);
        if (status != BDL_OK) {
            bdl__chain_free(made);
            return status;
        }
    }
    *chain = made;
    return BDL_OK;
}

void bdl__chain_to_json(const bdl__chain *chain, bdl__json_writer *writer)
{
    bdl__json_open(writer, '[');
    for (int64_t i = 0; i < bdl__chain_size(chain); i++) {
        const bdl__transform_step *step = &chain->steps[i];
        bdl__json_open(writer, '{');
        bdl__json_write_key(writer, "type");
        bdl__json_write_string(writer, step->transform->name);
        bdl__json_write_key(writer, "params");
        bdl__params_to_json(&step->transform->schema, step->params, false, writer);
        bdl__json_close(writer, '}');
    }
    bdl__json_close(writer, ']');
}

void bdl__chain_to_text(const bdl__chain *chain, bdl__text *out)
{
    for (int64_t i = 0; i < bdl__chain_size(chain); i++) {
        const bdl__transform_step *step = &chain->steps[i];
        bdl__text_append(out, "%s%s(", i == 0 ? "" : ", ", step->transform->name);
        bdl__params_to_text(&step->transform->schema, step->params, out);
        bdl__text_append(out, ")");
    }
}

/* Shape and element after one step. */
static bdl_status infer_step(const bdl__transform_step *step, bdl__shape *shape,
                             bdl__element *element)
{
    const bdl__transform *transform = step->transform;
    if ((transform->flags & BDL__TRANSFORM_IMAGE) != 0 && shape->rank != 3) {
        char text[BDL__SHAPE_TEXT_SIZE];
        BDL__FAIL(BDL_ERR_SHAPE, "%s needs images (channels, height, width), got %s",
                  transform->name, bdl__shape_text(shape, text, sizeof text));
    }
    if (transform->infer == NULL) {
        return BDL_OK;
    }
    const bdl_status status = transform->infer(step, shape, element);
    return status == BDL_OK ? bdl__shape_check(shape, transform->name)
                            : bdl__fail_in(status, "%s", transform->name);
}

bdl_status bdl__chain_infer(const bdl__chain *chain, const bdl__shape *shape, bdl__element element,
                            bdl__shape *result)
{
    bdl__shape at = *shape;
    for (int64_t i = 0; i < bdl__chain_size(chain); i++) {
        BDL__TRY(infer_step(&chain->steps[i], &at, &element));
    }
    *result = at;
    return BDL_OK;
}

void bdl__chain_scratch_init(bdl__chain_scratch *scratch, const bdl_allocator *allocator)
{
    bdl__sample_init(&scratch->sample[0], allocator);
    bdl__sample_init(&scratch->sample[1], allocator);
}

void bdl__chain_scratch_free(bdl__chain_scratch *scratch)
{
    bdl__sample_free(&scratch->sample[0]);
    bdl__sample_free(&scratch->sample[1]);
}

/* Gives `dst` memory of its own for its shape and element, and src's label. */
static bdl_status make_room(const bdl__sample *src, const bdl__shape *shape, bdl__element element,
                            bdl__sample *dst)
{
    size_t size;
    const size_t element_size = element == BDL__ELEMENT_U8 ? 1 : sizeof(float);
    BDL__CHECK(bdl__bytes_of(bdl__shape_count(shape), element_size, &size), BDL_ERR_SHAPE,
               "a sample is too large");
    BDL__TRY(bdl__buffer_need(&dst->buffer, size));
    dst->shape = *shape;
    dst->element = element;
    dst->data = dst->buffer.data;
    dst->label = src->label;
    dst->target = src->target;
    return BDL_OK;
}

/* The one of the two scratch samples that is not `at`. */
static bdl__sample *other(bdl__chain_scratch *scratch, const bdl__sample *at)
{
    return at == &scratch->sample[0] ? &scratch->sample[1] : &scratch->sample[0];
}

bdl_status bdl__chain_run(const bdl__chain *chain, int64_t begin, int64_t end,
                          const bdl__sample *src, bdl__chain_scratch *scratch, bdl__rng *rng,
                          const bdl__sample **result)
{
    const bdl__sample *at = src;
    for (int64_t i = begin; i < end; i++) {
        const bdl__transform_step *step = &chain->steps[i];
        bdl__shape shape = at->shape;
        bdl__element element = at->element;
        BDL__TRY(infer_step(step, &shape, &element));
        bdl__sample *dst = other(scratch, at);
        BDL__TRY(make_room(at, &shape, element, dst));
        const bdl_status status = step->transform->apply(step, at, dst, rng);
        if (status != BDL_OK) {
            return bdl__fail_in(status, "%s", step->transform->name);
        }
        at = dst;
    }
    *result = at;
    return BDL_OK;
}

bdl_status bdl__chain_apply(const bdl__chain *chain, const bdl__sample *src,
                            bdl__chain_scratch *scratch, bdl__rng *rng, const bdl__sample **result)
{
    const bdl__sample *at;
    BDL__TRY(bdl__chain_run(chain, 0, bdl__chain_size(chain), src, scratch, rng, &at));
    if (at->element == BDL__ELEMENT_U8) {
        bdl__sample *dst = other(scratch, at);
        BDL__TRY(make_room(at, &at->shape, BDL__ELEMENT_F32, dst));
        const uint8_t *bytes = at->data;
        float *values = dst->buffer.data;
        const int64_t n = bdl__shape_count(&dst->shape);
        for (int64_t i = 0; i < n; i++) {
            values[i] = (float)bytes[i];
        }
        at = dst;
    }
    *result = at;
    return BDL_OK;
}

int64_t bdl__channels_of(const bdl__shape *shape)
{
    return shape->rank > 0 && shape->dim[0] <= BDL__MAX_LIST ? shape->dim[0] : 1;
}

/* Runs the rest of the chain on the bytes 0 .. 255 in each channel. */
static bdl_status make_tables(const bdl__chain *chain, bdl__chain_plan *plan)
{
    bdl__sample bytes;
    bdl__chain_scratch scratch;
    bdl__sample_init(&bytes, plan->allocator);
    bdl__chain_scratch_init(&scratch, plan->allocator);
    const bdl__shape shape = {.rank = 3, .dim = {plan->n_channels, 16, 16}};
    bdl_status status;
    BDL__TRY_DONE(status, make_room(&bytes, &shape, BDL__ELEMENT_U8, &bytes));
    for (int64_t i = 0; i < plan->n_channels * 256; i++) {
        ((uint8_t *)bytes.buffer.data)[i] = (uint8_t)i;
    }
    const bdl__sample *result;
    BDL__TRY_DONE(status, bdl__chain_run(chain, plan->n_prefix, bdl__chain_size(chain), &bytes,
                                         &scratch, NULL, &result));
    void *tables = NULL;
    BDL__TRY_DONE(status, bdl__alloc(plan->allocator,
                                     (size_t)plan->n_channels * 256 * sizeof(float), &tables));
    plan->tables = tables;
    for (int64_t i = 0; i < plan->n_channels * 256; i++) {
        plan->tables[i] = result->element == BDL__ELEMENT_U8 ? ((const uint8_t *)result->data)[i]
                                                             : ((const float *)result->data)[i];
    }
done:
    bdl__sample_free(&bytes);
    bdl__chain_scratch_free(&scratch);
    return status;
}

bool bdl__chain_is_pointwise(const bdl__chain *chain)
{
    for (int64_t i = 0; i < bdl__chain_size(chain); i++) {
        if ((chain->steps[i].transform->flags & BDL__TRANSFORM_POINTWISE) == 0) {
            return false;
        }
    }
    return true;
}

bdl_status bdl__chain_plan_create(const bdl_allocator *allocator, const bdl__chain *chain,
                                  const bdl__shape *shape, bdl__element element,
                                  bdl__chain_plan *plan)
{
    bdl__chain_plan made = {.shape = *shape, .element = element, .allocator = allocator};
    bdl__shape at = *shape;
    bdl__element at_element = element;
    for (int64_t i = 0; i < bdl__chain_size(chain); i++) {
        const unsigned flags = chain->steps[i].transform->flags;
        made.is_random = made.is_random || (flags & BDL__TRANSFORM_RANDOM) != 0;
        BDL__TRY(infer_step(&chain->steps[i], &at, &at_element));
        if ((flags & BDL__TRANSFORM_POINTWISE) == 0) { /* what follows may be the pointwise end */
            made.n_prefix = i + 1;
            made.shape = at;
            made.element = at_element;
        }
    }
    if (made.element == BDL__ELEMENT_U8) {
        made.n_channels = bdl__channels_of(&made.shape);
        BDL__TRY(make_tables(chain, &made));
    } else { /* floats all the way */
        made.n_prefix = bdl__chain_size(chain);
        made.shape = at;
    }
    *plan = made;
    return BDL_OK;
}

void bdl__chain_plan_free(bdl__chain_plan *plan)
{
    if (plan->tables != NULL) {
        bdl__free(plan->allocator, plan->tables, (size_t)plan->n_channels * 256 * sizeof(float));
    }
    plan->tables = NULL;
}
