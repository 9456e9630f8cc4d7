/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzer of checkpoints. The checksum would turn almost every input away, so the first byte chooses: 'F' =
 * the rest is a whole file; 'D' = the rest is the JSON document of a good file. Whatever is refused must
 * leave weights, state and position as they were.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "train/checkpoint_file.h"
#include "zoo/zoo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_SCALARS = BDL__BLOCK };

static const char model_text[] = "mlp(hidden=[3], classes=2, shape=[4])";
static float state[2][N_SCALARS];
static void *const states[2] = {state[0], state[1]};
static bdl__checkpoint_io io;
static bdl__safetensors *good; /* a checkpoint of this model */

static void need(bool ok)
{
    if (!ok) {
        fprintf(stderr, "fuzz_checkpoint: %s\n", bdl_last_error());
        abort();
    }
}

/* Writes a checkpoint and opens it. */
static void open_good(void)
{
    char path[] = "/tmp/fuzz_checkpoint_XXXXXX";
    const bdl__position position = {.epoch = 1, .step = 2, .iteration = 12, .epoch_divisor = 1};
    const int fd = mkstemp(path);
    need(fd >= 0 && close(fd) == 0);
    need(bdl__checkpoint_file_write(&io, &position, path) == BDL_OK);
    need(bdl__safetensors_open(io.allocator, path, &good) == BDL_OK);
    need(unlink(path) == 0);
}

static void prepare(void)
{
    bdl__graph *graph = NULL;
    bdl__optim *optim = NULL;
    io.allocator = bdl__default_allocator();
    io.states = states;
    io.settings = "{\"batch\": 16, \"data\": \"digits\"}";
    io.target = BDL__TARGET_AVX2;
    need(bdl__zoo_build(io.allocator, model_text, &graph) == BDL_OK);
    need(graph->weights_count == N_SCALARS);
    need(bdl__model_create(io.allocator, graph, BDL_F32, 1, &io.model) == BDL_OK);
    need(bdl__optim_create(io.allocator, "adam", &optim) == BDL_OK);
    need(bdl__schedule_create(io.allocator, "warmup(5) then plateau", &io.schedule) == BDL_OK);
    bdl__graph_release(graph);
    io.optim = optim;
    open_good();
}

static bdl_status read_file(const uint8_t *data, size_t size, bdl__position *position)
{
    bdl__safetensors *file = NULL;
    BDL__TRY(bdl__safetensors_parse(io.allocator, data, size, "fuzz", &file));
    bdl_status status = bdl__checkpoint_file_check(file, "fuzz");
    if (status == BDL_OK) {
        const char *const document = bdl__safetensors_metadata(file, "bdl");
        status = bdl__checkpoint_file_take(&io, NULL, file, document, "fuzz", position);
    }
    bdl__safetensors_free(file);
    return status;
}

static bdl_status read_document(const uint8_t *data, size_t size, bdl__position *position)
{
    char *const text = malloc(size + 1);
    if (!text) {
        return BDL_ERR_OUT_OF_MEMORY;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    const bdl_status status = bdl__checkpoint_file_take(&io, NULL, good, text, "fuzz", position);
    free(text);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bdl__position position = {.epoch = -1};
    if (!good) {
        prepare();
    }
    if (size == 0) {
        return 0;
    }
    float *const weights = io.model->weights;
    weights[0] = 1e30F;
    state[0][0] = 1e30F;
    const bdl_status status = data[0] == 'F' ? read_file(data + 1, size - 1, &position)
                                             : read_document(data + 1, size - 1, &position);
    const bool is_changed = weights[0] < 1e29F || state[0][0] < 1e29F || position.epoch != -1;
    if (status == BDL_OK && (position.epoch < 0 || position.step < 0 || position.iteration < 0)) {
        abort();
    }
    if (status != BDL_OK && is_changed) {
        abort();
    }
    return 0;
}
