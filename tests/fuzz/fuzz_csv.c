/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzer of the table reader. The first byte chooses the options. */
#include <stdlib.h>
#include <string.h>

#include "data/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a table promises: finite features, labels within the classes, names. */
static void check(const bdl__csv_table *table, bool is_regression)
{
    for (int64_t i = 0; i < table->n * table->n_features; i++) {
        if (!(table->values[i] - table->values[i] == 0)) {
            abort();
        }
    }
    for (int64_t i = 0; !is_regression && table->n_classes > 0 && i < table->n; i++) {
        if (table->labels[i] < 0 || table->labels[i] >= table->n_classes) {
            abort();
        }
    }
    for (int64_t i = 1; table->class_names != NULL && i < table->n_classes; i++) {
        if (strcmp(table->class_names[i - 1], table->class_names[i]) >= 0) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    static const char *const labels[] = {NULL, "0", "none", "label"};
    const unsigned choice = data[0];
    const bdl__csv_options options = {.label = labels[choice & 3],
                                      .ignore = (choice & 4) != 0 ? "1" : NULL,
                                      .delimiter = (choice & 8) != 0 ? ';' : 0,
                                      .header = (int)(choice >> 4 & 3) % 3,
                                      .is_regression = (choice & 64) != 0};
    /* In memory of its own, so that reading beyond the end is seen. */
    char *copy = malloc(size - 1 + (size == 1));
    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, data + 1, size - 1);
    bdl__csv_table table;
    if (bdl__csv_parse(bdl__default_allocator(), copy, size - 1, "fuzz", &options, &table) ==
        BDL_OK) {
        check(&table, options.is_regression);
        bdl__csv_free(&table);
    }
    free(copy);
    return 0;
}
