/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Printing in Torch's form. One format for the whole tensor, chosen from the magnitudes of what is
 * shown: whole numbers as they are; others with four decimals, divided by a common power of ten
 * where they are large or small; scientific where magnitudes span more than four powers of ten.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tensor/tensor.h"

enum { LINE_WIDTH = 80, ELEMENT_SIZE = 40, SHOWN_WHOLE = 1000, SHOWN_ENDS = 3 };

typedef enum print_style {
    INTEGER,
    WHOLE,
    FIXED,
    SCIENTIFIC
} print_style;

typedef struct printer {
    const bdl_tensor *tensor;
    bdl__text *text;
    bool is_cut; /* only both ends of long axes are shown */
    print_style style;
    double scale;
    int width;
} printer;

/* ---- which elements are shown -------------------------------------------------------------- */

static bool is_cut_axis(const printer *p, int32_t axis)
{
    return p->is_cut && p->tensor->shape.dim[axis] > 2 * SHOWN_ENDS;
}

static int64_t shown_count(const printer *p, int32_t axis)
{
    return is_cut_axis(p, axis) ? 2 * SHOWN_ENDS : p->tensor->shape.dim[axis];
}

/* The index that stands at place i of those shown. */
static int64_t shown_index(const printer *p, int32_t axis, int64_t i)
{
    const bool is_behind = is_cut_axis(p, axis) && i >= SHOWN_ENDS;
    return is_behind ? p->tensor->shape.dim[axis] - 2 * SHOWN_ENDS + i : i;
}

static const char *shown_data(const printer *p, const char *data, int32_t axis, int64_t i)
{
    const int64_t size = (int64_t)bdl__dtype_size(p->tensor->dtype);
    return data + shown_index(p, axis, i) * p->tensor->stride[axis] * size;
}

typedef void (*element_fn)(printer *p, const char *element, void *arg);

static void for_each(printer *p, int32_t axis, const char *data, element_fn fn, void *arg)
{
    if (axis == p->tensor->shape.rank) {
        fn(p, data, arg);
        return;
    }
    for (int64_t i = 0; i < shown_count(p, axis); i++) {
        for_each(p, axis + 1, shown_data(p, data, axis, i), fn, arg);
    }
}

/* ---- the format ---------------------------------------------------------------------------- */

typedef struct magnitudes {
    bool is_whole;
    bool has_finite;
    double least, most;
} magnitudes;

static void measure(printer *p, const char *element, void *arg)
{
    magnitudes *const m = arg;
    const double x = fabs(bdl__value_load(p->tensor->dtype, element));
    if (isfinite(x)) {
        m->is_whole = m->is_whole && floor(x) == x;
        m->least = m->has_finite ? fmin(m->least, x) : x;
        m->most = fmax(m->most, x);
        m->has_finite = true;
    }
}

/* Digits before the point; 0 or fewer for numbers below 1. */
static int digits_of(double x)
{
    return x == 0 ? 1 : (int)floor(log10(x)) + 1;
}

static int format_element(const printer *p, const char *element, char *buffer)
{
    const bdl_dtype dtype = p->tensor->dtype;
    const double value = bdl__value_load(dtype, element);
    if (p->style == INTEGER) {
        const int64_t whole = dtype == BDL_I64 ? *(const int64_t *)(const void *)element
                                               : (int64_t)value;
        return snprintf(buffer, ELEMENT_SIZE, "%" PRId64, whole);
    }
    if (!isfinite(value)) {
        return snprintf(buffer, ELEMENT_SIZE, "%s",
                        isnan(value) ? "nan"
                        : value < 0  ? "-inf"
                                     : "inf");
    }
    const char *const format = p->style == WHOLE ? "%.1f" : p->style == FIXED ? "%.4f" : "%.4e";
    return snprintf(buffer, ELEMENT_SIZE, format, value / p->scale);
}

static void widen(printer *p, const char *element, void *arg BDL__UNUSED)
{
    char buffer[ELEMENT_SIZE];
    p->width = BDL__MAX(p->width, format_element(p, element, buffer));
}

static void choose_format(printer *p)
{
    magnitudes m = {.is_whole = true};
    for_each(p, 0, p->tensor->data, measure, &m);
    const int most = digits_of(m.most);
    const int least = digits_of(m.least);
    p->scale = 1;
    if (!bdl__dtype_is_float(p->tensor->dtype)) {
        p->style = INTEGER;
    } else if (m.is_whole) {
        p->style = most > 9 ? SCIENTIFIC : WHOLE;
    } else if (most - least > 4) {
        p->style = SCIENTIFIC;
    } else {
        p->style = FIXED;
        p->scale = most > 5 || most < 0 ? pow(10, most - 1) : 1;
    }
    for_each(p, 0, p->tensor->data, widen, NULL);
}

/* ---- text ---------------------------------------------------------------------------------- */

static void print_scale(printer *p, const char *indent)
{
    if (p->scale != 1) {
        bdl__text_append(p->text, "%s%g *\n", indent, p->scale);
    }
}

static void print_element(printer *p, const char *element, void *arg)
{
    char buffer[ELEMENT_SIZE];
    (void)format_element(p, element, buffer);
    bdl__text_append(p->text, "%s%*s", (const char *)arg, p->width, buffer);
}

/* Columns [first, end) of those shown of a matrix whose axes are the last two. */
static void print_columns(printer *p, const char *data, const char *indent, int64_t first,
                          int64_t end)
{
    const int32_t column_axis = p->tensor->shape.rank - 1;
    const int32_t row_axis = column_axis - 1;
    for (int64_t i = 0; i < shown_count(p, row_axis); i++) {
        const char *const row = shown_data(p, data, row_axis, i);
        if (i == SHOWN_ENDS && is_cut_axis(p, row_axis)) {
            bdl__text_append(p->text, "%s...\n", indent);
        }
        for (int64_t j = first; j < end; j++) {
            const bool is_gap = j == SHOWN_ENDS && is_cut_axis(p, column_axis);
            const char *const before = j == first ? indent : is_gap ? "  ...  " : "  ";
            print_element(p, shown_data(p, row, column_axis, j), (void *)(uintptr_t)before);
        }
        bdl__text_append(p->text, "\n");
    }
}

static void print_matrix(printer *p, const char *data, const char *indent)
{
    const int64_t n = shown_count(p, p->tensor->shape.rank - 1);
    const int64_t n_line = BDL__MAX((LINE_WIDTH + 2 - (int64_t)strlen(indent)) / (p->width + 2), 1);
    const bool is_cut = is_cut_axis(p, p->tensor->shape.rank - 1);
    print_scale(p, indent);
    for (int64_t first = 0; first < n; first += n_line) {
        const int64_t end = is_cut ? n : BDL__MIN(first + n_line, n);
        if (end - first < n) {
            bdl__text_append(p->text, "%s%sColumns %" PRId64 " to %" PRId64 "\n",
                             first > 0 ? "\n" : "", indent, first, end - 1);
        }
        print_columns(p, data, indent, first, end);
        if (is_cut) {
            return;
        }
    }
}

static void print_row(printer *p)
{
    print_scale(p, "");
    for (int64_t i = 0; i < shown_count(p, 0); i++) {
        if (i == SHOWN_ENDS && is_cut_axis(p, 0)) {
            bdl__text_append(p->text, "...\n");
        }
        print_element(p, shown_data(p, p->tensor->data, 0, i), (void *)(uintptr_t)"");
        bdl__text_append(p->text, "\n");
    }
}

/* One matrix after another, each under its index: "(0,1,.,.) =". */
static void print_slices(printer *p, int32_t axis, const char *data, int64_t index[BDL_MAX_RANK],
                         bool *is_first)
{
    if (axis < p->tensor->shape.rank - 2) {
        for (int64_t i = 0; i < shown_count(p, axis); i++) {
            index[axis] = shown_index(p, axis, i);
            print_slices(p, axis + 1, shown_data(p, data, axis, i), index, is_first);
        }
        return;
    }
    bdl__text_append(p->text, *is_first ? "(" : "\n(");
    *is_first = false;
    for (int32_t i = 0; i < axis; i++) {
        bdl__text_append(p->text, "%" PRId64 ",", index[i]);
    }
    bdl__text_append(p->text, ".,.) =\n");
    print_matrix(p, data, " ");
}

static const char *class_name(bdl_dtype dtype)
{
    switch (dtype) {
    case BDL_F32:
        return "Float";
    case BDL_F64:
        return "Double";
    case BDL_I32:
        return "Int";
    case BDL_I64:
        return "Long";
    case BDL_U8:
        return "Byte";
    case BDL_BF16:
        break;
    }
    return "";
}

static void print_elements(printer *p)
{
    int64_t index[BDL_MAX_RANK] = {0};
    bool is_first = true;
    switch (p->tensor->shape.rank) {
    case 0:
        print_scale(p, "");
        print_element(p, p->tensor->data, (void *)(uintptr_t)"");
        bdl__text_append(p->text, "\n");
        return;
    case 1:
        print_row(p);
        return;
    case 2:
        print_matrix(p, p->tensor->data, "");
        return;
    default:
        print_slices(p, 0, p->tensor->data, index, &is_first);
    }
}

void bdl__tensor_print(const bdl_tensor *tensor, bdl__text *text)
{
    char shape[BDL__SHAPE_TEXT_SIZE];
    printer p = {.tensor = tensor, .text = text};
    bdl__c_locale locale;
    p.is_cut = bdl__tensor_count(tensor) > SHOWN_WHOLE;
    bdl__c_locale_enter(&locale);
    choose_format(&p);
    print_elements(&p);
    bdl__c_locale_leave(&locale);
    bdl__text_append(text, "[bdl.%sTensor of ", class_name(tensor->dtype));
    if (tensor->shape.rank == 0) {
        bdl__text_append(text, "rank 0]\n");
    } else {
        bdl__text_append(text, "size %s]\n",
                         bdl__shape_text(&tensor->shape, shape, sizeof shape));
    }
}
