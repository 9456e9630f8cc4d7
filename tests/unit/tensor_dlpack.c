/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors shared by DLPack: no copies, deleters called once, foreign tensors checked. */
#include "dlpack.h"

#include "counting_allocator.h"
#include "tensor_help.h"
#include "test.h"

BDL_TEST(exported_tensors_share_and_keep_the_elements)
{
    bdl_tensor *const t = tensor_of("f64 2x3: 1 2 3 4 5 6");
    bdl_tensor *turned = NULL;
    DLManagedTensor *managed = NULL;
    REQUIRE_OK(bdl_tensor_transpose(t, 0, 1, &turned));
    REQUIRE_OK(bdl_tensor_to_dlpack(turned, &managed));
    const DLTensor *const dl = &managed->dl_tensor;
    CHECK(dl->data == bdl_tensor_data(t) && dl->byte_offset == 0);
    CHECK(dl->device.device_type == kDLCPU && dl->ndim == 2);
    CHECK(dl->dtype.code == kDLFloat && dl->dtype.bits == 64 && dl->dtype.lanes == 1);
    CHECK(dl->shape[0] == 3 && dl->shape[1] == 2 && dl->strides[0] == 1 && dl->strides[1] == 3);
    bdl_tensor_free(t);
    bdl_tensor_free(turned);
    CHECK_NEAR(((const double *)dl->data)[5], 6, 0);
    managed->deleter(managed);
}

static int n_deleted;

static void count_delete(DLManagedTensor *self)
{
    (void)self;
    n_deleted++;
}

static DLManagedTensor make_foreign(void *data, int64_t *shape, int64_t *strides)
{
    return (DLManagedTensor){
        .dl_tensor = {.data = data,
                      .device = {.device_type = kDLCPU},
                      .ndim = 2,
                      .dtype = {.code = kDLInt, .bits = 32, .lanes = 1},
                      .shape = shape,
                      .strides = strides},
        .deleter = count_delete,
    };
}

BDL_TEST(foreign_tensors_are_used_in_place)
{
    int32_t data[] = {0, 1, 2, 3, 4, 5, 6};
    int64_t shape[] = {2, 3};
    int64_t backwards[] = {-3, -1};
    DLManagedTensor plain = make_foreign(data, shape, NULL);
    DLManagedTensor turned = make_foreign(data, shape, backwards);
    bdl_tensor *a = NULL;
    bdl_tensor *b = NULL;
    bdl_tensor *part = NULL;
    plain.dl_tensor.byte_offset = 4;
    turned.dl_tensor.byte_offset = 24;
    n_deleted = 0;
    REQUIRE_OK(bdl_tensor_take_dlpack(NULL, &plain, &a));
    REQUIRE_OK(bdl_tensor_take_dlpack(NULL, &turned, &b));
    CHECK_STR_EQ(tensor_text(a), "i32 2x3: 1 2 3 4 5 6");
    CHECK_STR_EQ(tensor_text(b), "i32 2x3: 6 5 4 3 2 1");
    CHECK_OK(bdl_tensor_copy(a, b)); /* overlapping, in opposite directions */
    CHECK_STR_EQ(tensor_text(a), "i32 2x3: 6 5 4 3 2 1");
    CHECK_EQ_I64(data[1], 6);
    REQUIRE_OK(bdl_tensor_select(a, 0, 1, &part));
    bdl_tensor_free(a);
    CHECK_EQ_I64(n_deleted, 0);
    bdl_tensor_free(part);
    CHECK_EQ_I64(n_deleted, 1);
    bdl_tensor_free(b);
    CHECK_EQ_I64(n_deleted, 2);
}

BDL_TEST(a_missing_deleter_is_fine)
{
    int32_t data[] = {1, 2};
    int64_t shape[] = {1, 2};
    DLManagedTensor managed = make_foreign(data, shape, NULL);
    managed.deleter = NULL;
    EXPECT_TENSOR(bdl_tensor_take_dlpack(NULL, &managed, &out), "i32 1x2: 1 2");
}

BDL_TEST(tensors_come_back)
{
    bdl_tensor *const t = tensor_of("u8 3: 1 2 3");
    DLManagedTensor *managed = NULL;
    bdl_tensor *again = NULL;
    REQUIRE_OK(bdl_tensor_to_dlpack(t, &managed));
    REQUIRE_OK(bdl_tensor_take_dlpack(NULL, managed, &again));
    CHECK(bdl_tensor_data(again) == bdl_tensor_data(t));
    bdl_tensor_free(t);
    CHECK_STR_EQ(tensor_text(again), "u8 3: 1 2 3");
    bdl_tensor_free(again);
}

BDL_TEST(what_does_not_fit_is_refused)
{
    int32_t data[] = {1, 2, 3};
    int64_t shape[] = {1, 2};
    int64_t empty[] = {0, 2};
    DLManagedTensor managed = make_foreign(data, shape, NULL);
    n_deleted = 0;
    managed.dl_tensor.device.device_type = (DLDeviceType)2;
    EXPECT_FAILURE(bdl_tensor_take_dlpack(NULL, &managed, &out), BDL_ERR_UNSUPPORTED, "device 2");
    managed = make_foreign(data, shape, NULL);
    managed.dl_tensor.dtype.lanes = 2;
    EXPECT_FAILURE(bdl_tensor_take_dlpack(NULL, &managed, &out), BDL_ERR_UNSUPPORTED, "2 lanes");
    managed = make_foreign(data, shape, NULL);
    managed.dl_tensor.dtype.bits = 16;
    EXPECT_FAILURE(bdl_tensor_take_dlpack(NULL, &managed, &out), BDL_ERR_UNSUPPORTED, "16 bits");
    managed = make_foreign(data, empty, NULL);
    EXPECT_FAILURE(bdl_tensor_take_dlpack(NULL, &managed, &out), BDL_ERR_SHAPE, "got 0");
    managed = make_foreign(data, shape, NULL);
    managed.dl_tensor.byte_offset = 2;
    EXPECT_FAILURE(bdl_tensor_take_dlpack(NULL, &managed, &out), BDL_ERR_INVALID_ARGUMENT,
                   "aligned to 4 bytes");
    managed = make_foreign(NULL, shape, NULL);
    EXPECT_FAILURE(bdl_tensor_take_dlpack(NULL, &managed, &out), BDL_ERR_INVALID_ARGUMENT,
                   "got NULL");
    EXPECT_FAILURE(bdl_tensor_take_dlpack(NULL, NULL, &out), BDL_ERR_INVALID_ARGUMENT, "NULL");
    CHECK_EQ_I64(n_deleted, 0); /* all stayed the caller's */
}

BDL_TEST(refused_memory_leaves_both_sides_whole)
{
    int32_t data[] = {1, 2};
    int64_t shape[] = {1, 2};
    counting_allocator counter;
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        DLManagedTensor managed = make_foreign(data, shape, NULL);
        DLManagedTensor *exported = NULL;
        bdl_tensor *t = NULL;
        n_deleted = 0;
        bdl_status status = bdl_tensor_take_dlpack(&counter.allocator, &managed, &t);
        CHECK(status == BDL_OK || (status == BDL_ERR_OUT_OF_MEMORY && t == NULL));
        if (status == BDL_OK) {
            status = bdl_tensor_to_dlpack(t, &exported);
            CHECK(status == BDL_OK || (status == BDL_ERR_OUT_OF_MEMORY && exported == NULL));
        }
        const bool was_taken = t != NULL;
        bdl_tensor_free(t);
        if (exported != NULL) {
            CHECK_EQ_I64(n_deleted, 0);
            exported->deleter(exported);
        }
        CHECK_EQ_I64(n_deleted, was_taken);
    }
}

BDL_TEST_MAIN(exported_tensors_share_and_keep_the_elements, foreign_tensors_are_used_in_place,
              a_missing_deleter_is_fine, tensors_come_back, what_does_not_fit_is_refused,
              refused_memory_leaves_both_sides_whole)
