/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts, and texts that are given to the caller. */
#include <string.h>

#include "api/api.h"

static int default_threads(void)
{
    bdl__cpu_info info;
    bdl__cpu_query(&info);
    int n = info.n_online;
    if (info.cgroup_cpus > 0 && info.cgroup_cpus < n) {
        n = (int)info.cgroup_cpus;
    }
    return BDL__MAX(n, 1);
}

bdl_status bdl__struct_take(const void *given, size_t size, const char *what, void *taken)
{
    size_t given_size;
    BDL__CHECK(given, BDL_ERR_INVALID_ARGUMENT, "%s must not be NULL", what);
    memcpy(&given_size, given, sizeof given_size);
    BDL__CHECK(given_size > sizeof given_size && given_size <= size, BDL_ERR_INVALID_ARGUMENT,
               "%s: struct_size is %zu, expected sizeof the struct, which is %zu in this version", what, given_size, size);
    memset(taken, 0, size);
    memcpy(taken, given, given_size);
    return BDL_OK;
}

bdl_status bdl_context_create(const bdl_context_options *options, bdl_context **context)
{
    BDL__TRY(bdl__need_arguments(context != NULL, __func__));
    static const bdl_context_options none = {.struct_size = sizeof none, .log_level = 2};
    bdl_context_options taken;
    const bdl_context_options *const o = &taken;
    BDL__TRY(bdl__struct_take(options ? options : &none, sizeof taken, "bdl_context_options", &taken));
    BDL__CHECK(o->n_threads >= 0 && o->n_threads <= 1024, BDL_ERR_INVALID_ARGUMENT,
               "threads must be between 1 and 1024 (0 = all), got %d", (int)o->n_threads);
    const bdl_allocator *const allocator = o->allocator ? o->allocator : bdl__default_allocator();
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof **context, &memory));
    bdl_context *const made = memory;
    made->allocator = *allocator;
    made->log = (bdl__log){.fn = o->log, .user = o->log_user, .level = (bdl__log_level)o->log_level};
    bdl_status status = bdl__target_choose(&made->target);
    if (status == BDL_OK) {
        const int n = o->n_threads ? o->n_threads : default_threads();
        status = bdl__pool_create(&made->allocator, n, &made->pool);
    }
    if (status != BDL_OK) {
        bdl_context_free(made);
        return status;
    }
    *context = made;
    return BDL_OK;
}

void bdl_context_free(bdl_context *context)
{
    if (context) {
        const bdl_allocator allocator = context->allocator;
        bdl__pool_free(context->pool);
        bdl__free(&allocator, context, sizeof *context);
    }
}

void bdl_context_cancel(bdl_context *context) { atomic_store(&context->cancel.is_asked, 1); }

void bdl_context_clear_cancel(bdl_context *context) { atomic_store(&context->cancel.is_asked, 0); }

int32_t bdl_context_threads(const bdl_context *context) { return bdl__pool_size(context->pool); }

bdl_status bdl__context_use(const bdl_context *context)
{
    BDL__CHECK(context, BDL_ERR_INVALID_ARGUMENT, "context must not be NULL");
    return bdl__pool_check(context->pool);
}

bdl__session bdl__context_session(bdl_context *context)
{
    return (bdl__session){.allocator = &context->allocator,
                          .log = &context->log,
                          .pool = context->pool,
                          .target = context->target,
                          .cancel = &context->cancel};
}

const char *bdl_version(void) { return BDL_VERSION_STRING; }

/* A given text remembers, before its first character, how it is to be freed. */
typedef struct given_header {
    bdl_allocator allocator;
    size_t size;
} given_header;

#define HEADER_SIZE 64
_Static_assert(sizeof(given_header) <= HEADER_SIZE, "the header of a given text");

bdl_status bdl__text_give(bdl__text *text, char **given)
{
    void *memory = NULL;
    bdl_status status = bdl__text_status(text);
    const size_t length = strlen(bdl__text_get(text));
    const size_t size = HEADER_SIZE + length + 1;
    if (status == BDL_OK) {
        status = bdl__alloc(text->allocator, size, &memory);
    }
    if (status == BDL_OK) {
        const given_header header = {.allocator = *text->allocator, .size = size};
        memcpy(memory, &header, sizeof header);
        memcpy((char *)memory + HEADER_SIZE, bdl__text_get(text), length + 1);
        *given = (char *)memory + HEADER_SIZE;
    }
    bdl__text_free(text);
    return status;
}

void bdl_text_free(char *text)
{
    if (text) {
        given_header header;
        memcpy(&header, text - HEADER_SIZE, sizeof header);
        bdl__free(&header.allocator, text - HEADER_SIZE, header.size);
    }
}
