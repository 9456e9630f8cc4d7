/* SPDX-License-Identifier: Apache-2.0 */
/* Gradient clipping: by the norm of the whole gradient first, then each value. */
#ifndef BDL_OPTIM_CLIP_H
#define BDL_OPTIM_CLIP_H

#include "base/json.h"

typedef struct bdl__clip {
    double least, most; /* limits of each value; -inf, inf = none */
    double max_norm;    /* 0 = none */
} bdl__clip;

/* No clipping. */
bdl__clip bdl__clip_none(void);
/* From "norm(5)", "value(0.5)" (both signs), "value(-1, 1)", or both, "norm(5), value(1)"; "" or
 * "none" clips nothing. */
bdl_status bdl__clip_parse(const bdl_allocator *allocator, const char *text, bdl__clip *clip);
/* As bdl__clip_parse reads it. */
void bdl__clip_to_text(const bdl__clip *clip, bdl__text *out);

#endif
