/* SPDX-License-Identifier: Apache-2.0 */
/* csv:FILE reads a table of numbers with a label column; rows are kept as float32. */
#include <string.h>

#include "data/csv.h"

typedef struct csv_params {
    const char *label;
    bdl__choice header;
    bdl__choice task;
    const char *delimiter;
    const char *ignore;
    int64_t classes;
} csv_params;

static const char *const header_choices[] = {"auto", "yes", "no", NULL};
static const char *const task_choices[] = {"class", "regression", NULL};

static const bdl__field fields[] = {
    BDL_FIELD(csv_params, label,
              .doc = "The label's column: its name, or its number from 0 (negative: from the end); "
                     "'none' = there is none. Default: the last column."),
    BDL_FIELD(csv_params, header, .def.s = "auto", .choices = header_choices,
              .doc = "Whether the first line has the columns' names; auto: if no field of it is a "
                     "number."),
    BDL_FIELD(csv_params, task, .def.s = "class", .choices = task_choices,
              .doc =
                  "class: labels are class numbers from 0, or names, whose sorted order gives the "
                  "classes; regression: the label is a value to predict."),
    BDL_FIELD(csv_params, delimiter, .def.s = "auto",
              .doc = "What separates fields: one character, 'tab', or auto (of , ; tab | the one "
                     "that the first line has most)."),
    BDL_FIELD(csv_params, ignore, .doc = "Columns to leave out, by name or number: 'id,date'."),
    BDL_FIELD(csv_params, classes, .def.i64 = 0, .range = BDL_IN(0, 1000000),
              .doc = "Number of classes where labels are numbers; 0 = the largest plus one."),
};

static bdl_status parse_delimiter(const char *text, char *delimiter)
{
    *delimiter = 0;
    if (strcmp(text, "auto") == 0) {
        return BDL_OK;
    }
    const bool is_tab = strcmp(text, "tab") == 0 || strcmp(text, "\\t") == 0;
    BDL__CHECK(is_tab || (strlen(text) == 1 && text[0] != '"' && text[0] != '\n'),
               BDL_ERR_INVALID_ARGUMENT,
               "delimiter must be one character, 'tab' or 'auto', got '%s'", text);
    *delimiter = is_tab ? '\t' : text[0];
    return BDL_OK;
}

static bdl_status open_set(bdl__dataset *dataset, const bdl__open_args *args)
{
    const csv_params *params = args->params;
    bdl__csv_options options = {.label = params->label,
                                .ignore = params->ignore,
                                .header = params->header.i,
                                .is_regression = params->task.i == 1,
                                .n_classes = params->classes};
    BDL__TRY(parse_delimiter(params->delimiter, &options.delimiter));
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&dataset->arena, sizeof(bdl__csv_table), &memory));
    bdl__csv_table *table = memory;
    bdl__map map;
    BDL__TRY(bdl__file_map(args->source, &map));
    const bdl_status status =
        bdl__csv_parse(dataset->allocator, map.data, map.size, args->source, &options, table);
    bdl__file_unmap(&map);
    BDL__TRY(status);
    dataset->state = table;
    dataset->n = table->n;
    dataset->shape = (bdl__shape){.rank = 1, .dim = {table->n_features}};
    dataset->element = BDL__ELEMENT_F32;
    dataset->n_classes = table->n_classes;
    dataset->class_names = table->class_names;
    dataset->target_shape = (bdl__shape){.rank = 1, .dim = {1}};
    dataset->label_kind = options.is_regression  ? BDL__LABEL_FLOATS
                          : table->n_classes > 0 ? BDL__LABEL_CLASS
                                                 : BDL__LABEL_NONE;
    if (params->label != NULL && strcmp(params->label, "none") == 0) {
        dataset->label_kind = BDL__LABEL_NONE;
    }
    return BDL_OK;
}

static bdl_status read_row(const bdl__dataset *dataset, int64_t i, bdl__sample *sample)
{
    const bdl__csv_table *table = dataset->state;
    sample->element = BDL__ELEMENT_F32;
    sample->shape = dataset->shape;
    sample->data = table->values + i * table->n_features;
    sample->label = table->labels[i];
    sample->target = table->targets + i;
    return BDL_OK;
}

static void close_set(bdl__dataset *dataset)
{
    if (dataset->state != NULL) {
        bdl__csv_free(dataset->state);
    }
}

static const bdl__reader csv = {
    .name = "csv",
    .source = "FILE",
    .needs_source = true,
    .summary = "A table of numbers with a label column.",
    .doc = "Delimited text as in RFC 4180: quoted fields, LF or CR LF. Every column but the "
           "label's and\n"
           "ignored ones is a feature and must be a finite number in every row: a missing value is "
           "an\n"
           "error that says line and column. Samples are vectors of float32.",
    .schema = {.name = "csv",
               .fields = fields,
               .n_fields = BDL__COUNT_OF(fields),
               .params_size = sizeof(csv_params)},
    .open = open_set,
    .read = read_row,
    .close = close_set,
};
BDL_READER(csv, &csv);
