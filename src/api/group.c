/* SPDX-License-Identifier: Apache-2.0 */
/* Public groups: ranks that train together. */
#include <stdio.h>
#include <string.h>

#include "api/api.h"

static bdl_status check_options(const bdl_group_options *o)
{
    BDL__CHECK(o->n_ranks >= 1 && o->n_ranks <= BDL__MOST_RANKS, BDL_ERR_INVALID_ARGUMENT,
               "n_ranks must be in [1, %d], got %d", BDL__MOST_RANKS, (int)o->n_ranks);
    BDL__CHECK(o->rank >= 0 && o->rank < o->n_ranks, BDL_ERR_INVALID_ARGUMENT,
               "rank must be in [0, %d), got %d", (int)o->n_ranks, (int)o->rank);
    BDL__CHECK(o->secret || o->n_ranks == 1, BDL_ERR_INVALID_ARGUMENT,
               "a group needs a secret of %d bytes", BDL__SECRET_SIZE);
    return BDL_OK;
}

/* Fails, on every rank, when one of them is of another version. The trainer compares what else matters. */
static bdl_status check_alike(const bdl_group *group)
{
    size_t own_size = 0;
    const int rank = bdl__group_rank(group->group);
    const char *const own = bdl__group_hello(group->group, rank, &own_size);
    for (int i = 0; i < bdl__group_size(group->group); i++) {
        size_t size = 0;
        const char *const other = bdl__group_hello(group->group, i, &size);
        if (size != own_size || memcmp(own, other, size) != 0) {
            const bdl_status status = bdl__fail(
                BDL_ERR_STATE,
                "rank %d runs bdl %.*s, rank %d %.*s: all must run the same",
                rank, (int)own_size, own, i, (int)BDL__MIN(size, sizeof group->hello), other);
            bdl__group_abort(group->group, status, bdl_last_error());
            return status;
        }
    }
    return BDL_OK;
}

bdl_status bdl_group_create(bdl_context *context, const bdl_group_options *options, bdl_group **group)
{
    BDL__TRY(bdl__need_arguments(context && options && group, __func__));
    void *memory = NULL;
    BDL__TRY(bdl__context_use(context));
    bdl_group_options taken;
    BDL__TRY(bdl__struct_take(options, sizeof taken, "bdl_group_options", &taken));
    const bdl_group_options *const o = &taken;
    BDL__TRY(check_options(o));
    BDL__TRY(bdl__alloc(&context->allocator, sizeof **group, &memory));
    bdl_group *const made = memory;
    made->context = context;
    (void)snprintf(made->hello, sizeof made->hello, "%s", bdl_version());
    const bdl__group_options inner = {.rank = o->rank,
                                      .n_ranks = o->n_ranks,
                                      .secret = o->secret,
                                      .bind = o->bind,
                                      .first_port = o->first_port,
                                      .last_port = o->last_port,
                                      .connect_seconds = o->connect_seconds,
                                      .wait_seconds = o->wait_seconds,
                                      .silence_seconds = o->silence_seconds,
                                      .tls = o->encrypt,
                                      .hello = made->hello,
                                      .hello_size = strlen(made->hello),
                                      .cancel = &context->cancel,
                                      .cancels_connect_only = true};
    const bdl_status status =
        bdl__group_listen(&context->allocator, &context->log, &inner, &made->group);
    if (status != BDL_OK) {
        bdl_group_free(made);
        return status;
    }
    *group = made;
    return BDL_OK;
}

const char *bdl_group_address(const bdl_group *group) { return bdl__group_address(group->group); }

bdl_status bdl_group_connect(bdl_group *group, const char *const *addresses)
{
    BDL__TRY(bdl__need_arguments(group && addresses, __func__));
    BDL__TRY(bdl__group_connect(group->group, addresses));
    BDL__TRY(check_alike(group));
    group->is_connected = true;
    return BDL_OK;
}

void bdl_group_abort(bdl_group *group, const char *cause)
{
    bdl__group_abort(group->group, BDL_ERR_STATE, cause);
}

void bdl_group_free(bdl_group *group)
{
    if (group) {
        const bdl_allocator *const allocator = &group->context->allocator;
        bdl__group_free(group->group);
        bdl__free(allocator, group, sizeof *group);
    }
}

bdl_status bdl_options_set_group(bdl_options *options, bdl_group *group)
{
    BDL__TRY(bdl__need_arguments(options != NULL, __func__));
    BDL__CHECK(!group || group->is_connected, BDL_ERR_STATE,
               "the group is not connected: call bdl_group_connect first");
    BDL__CHECK(!group || options->schema == &bdl__train_schema, BDL_ERR_INVALID_ARGUMENT,
               "only training has a group, not '%s'", options->schema->name);
    options->group = group ? group->group : NULL;
    return BDL_OK;
}
