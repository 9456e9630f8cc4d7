/* SPDX-License-Identifier: Apache-2.0 */
/* The strict check of a JSON text that comes before it is parsed, for json.c only. */
#ifndef BDL_BASE_JSON_SCAN_H
#define BDL_BASE_JSON_SCAN_H

#include "base/text.h"

/* Whether the text is one JSON value within bdl's limits; errors name line and column. */
bdl_status bdl__json_scan(const char *text, size_t size, const char *where);

/* Fails at the text's n-th key (from 1), which repeats an earlier one of its object. The text must
 * have passed bdl__json_scan. */
bdl_status bdl__json_fail_at_key(const char *text, size_t size, const char *where, int64_t n_key,
                                 const char *key);

#endif
