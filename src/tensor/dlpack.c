/* SPDX-License-Identifier: Apache-2.0 */
/* Sharing elements with other libraries of the process by DLPack, without copying. */
#include "dlpack.h"

#include <inttypes.h>

#include "tensor/tensor.h"

/* ---- out ----------------------------------------------------------------------------------- */

/* What a consumer holds; `managed` is its view of it. */
typedef struct exported {
    DLManagedTensor managed;
    bdl_allocator allocator;
    bdl_tensor *view; /* owned */
} exported;

static DLDataType type_of(bdl_dtype dtype)
{
    const uint8_t code = bdl__dtype_is_float(dtype) ? kDLFloat : dtype == BDL_U8 ? kDLUInt : kDLInt;
    return (DLDataType){.code = code, .bits = (uint8_t)(8 * bdl__dtype_size(dtype)), .lanes = 1};
}

static void delete_exported(DLManagedTensor *self)
{
    exported *const e = self->manager_ctx;
    const bdl_allocator allocator = e->allocator;
    bdl__tensor_free(e->view);
    bdl__free(&allocator, e, sizeof *e);
}

bdl_status bdl__tensor_to_dlpack(const bdl_tensor *tensor, struct DLManagedTensor **out)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(&tensor->storage->allocator, sizeof(exported), &memory));
    exported *const e = memory;
    e->allocator = tensor->storage->allocator;
    const bdl_status status = bdl__tensor_share(tensor, &e->view);
    if (status != BDL_OK) {
        const bdl_allocator allocator = e->allocator;
        bdl__free(&allocator, e, sizeof *e);
        return status;
    }
    e->managed = (DLManagedTensor){
        .dl_tensor = {.data = e->view->data,
                      .device = {.device_type = kDLCPU},
                      .ndim = e->view->shape.rank,
                      .dtype = type_of(e->view->dtype),
                      .shape = e->view->shape.dim,
                      .strides = e->view->stride},
        .manager_ctx = e,
        .deleter = delete_exported,
    };
    *out = &e->managed;
    return BDL_OK;
}

/* ---- in ------------------------------------------------------------------------------------ */

static bdl_status dtype_of(DLDataType type, bdl_dtype *dtype)
{
    static const bdl_dtype all[] = {BDL_F32, BDL_F64, BDL_I32, BDL_I64, BDL_U8};
    for (int64_t i = 0; i < BDL__COUNT_OF(all); i++) {
        const DLDataType known = type_of(all[i]);
        if (type.code == known.code && type.bits == known.bits && type.lanes == 1) {
            *dtype = all[i];
            return BDL_OK;
        }
    }
    return bdl__fail(
        BDL_ERR_UNSUPPORTED,
        "DLPack: expected f32, f64, i32, i64 or u8, got type code %d of %d bits and %d "
        "lanes",
        type.code, type.bits, type.lanes);
}

static bdl_status read_header(const DLTensor *from, bdl_tensor *header)
{
    BDL__CHECK(from->device.device_type == kDLCPU, BDL_ERR_UNSUPPORTED,
               "DLPack: expected a tensor in CPU memory (device 1), got device %d",
               (int)from->device.device_type);
    BDL__TRY(dtype_of(from->dtype, &header->dtype));
    BDL__TRY(bdl__shape_make(from->ndim, from->shape, "DLPack", &header->shape));
    bdl__row_major(&header->shape, header->stride);
    for (int32_t i = 0; i < from->ndim && from->strides != NULL; i++) {
        header->stride[i] = from->strides[i];
    }
    BDL__CHECK(from->data != NULL, BDL_ERR_INVALID_ARGUMENT,
               "DLPack: expected a pointer to elements, got NULL");
    header->data = (char *)from->data + from->byte_offset;
    BDL__CHECK((uintptr_t)header->data % bdl__dtype_size(header->dtype) == 0,
               BDL_ERR_INVALID_ARGUMENT, "DLPack: expected elements aligned to %zu bytes, got %p",
               bdl__dtype_size(header->dtype), (void *)header->data);
    return BDL_OK;
}

bdl_status bdl__tensor_take_dlpack(const bdl_allocator *allocator, struct DLManagedTensor *managed,
                                   bdl_tensor **out)
{
    bdl_tensor header = {0};
    void *memory = NULL;
    BDL__TRY(read_header(&managed->dl_tensor, &header));
    BDL__TRY(bdl__alloc(allocator, sizeof(bdl__storage), &memory));
    bdl__storage *const storage = memory;
    storage->allocator = *allocator;
    atomic_init(&storage->n_users, 1);
    storage->managed = managed;
    const bdl_status status = bdl__tensor_of_storage(storage, &header, out);
    if (status != BDL_OK) {
        bdl__free(allocator, storage, sizeof *storage); /* the elements stay the caller's */
    }
    return status;
}
