/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When to stop: "top1 >= 0.98 or epoch >= 20", "(loss < 0.1 and epoch >= 2) or iteration >= 5000".
 * Names are epoch and iteration (whole ones done), loss (mean of the last epoch, or of validation where
 * there is one), and the validation's metrics. `and` binds tighter than `or`.
 */
#ifndef BDL_TRAIN_TRIGGER_H
#define BDL_TRAIN_TRIGGER_H

#include "base/text.h"

typedef struct bdl__trigger bdl__trigger;

/* `names` are what a condition may speak of. `text` must live as long as the trigger. */
bdl_status bdl__trigger_parse(bdl__arena *arena, const char *text, const char *const *names,
                              int64_t n_names, bdl__trigger **trigger);

/* Whether it fires; values[i] belongs to names[i], and one that is not a number makes its comparison
 * false (not measured yet). */
bool bdl__trigger_fires(const bdl__trigger *trigger, const double *values);

/* Of one that fires: the comparisons that made it so, as they were written, "epoch >= 2 and loss < 0.1"; of an `or`
 * those of the first side that fires. Cut to `size`. */
void bdl__trigger_reason(const bdl__trigger *trigger, const double *values, char *text, size_t size);

#endif
