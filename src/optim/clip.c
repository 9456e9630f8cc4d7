/* SPDX-License-Identifier: Apache-2.0 */
/* The text of gradient clipping: "norm(5)", "value(-1, 1)". */
#include "optim/clip.h"

#include <math.h>
#include <string.h>

#include "schema/schema.h"

bdl__clip bdl__clip_none(void)
{
    return (bdl__clip){.least = -HUGE_VAL, .most = HUGE_VAL};
}

/* The finite numbers of "a" or "a, b". */
static bdl_status parse_numbers(bdl__arena *arena, const char *part, const char *args,
                                double numbers[2], int64_t *n)
{
    const char *const *pieces = NULL;
    BDL__TRY(bdl__split_list(arena, args, ',', &pieces, n));
    BDL__CHECK(*n >= 1 && *n <= 2, BDL_ERR_INVALID_ARGUMENT,
               "clip '%s': expected one or two numbers in parentheses", part);
    for (int64_t i = 0; i < *n; i++) {
        BDL__CHECK(bdl__parse_f64(pieces[i], &numbers[i]) && isfinite(numbers[i]),
                   BDL_ERR_INVALID_ARGUMENT, "clip '%s': expected a number, got '%s'", part,
                   pieces[i]);
    }
    return BDL_OK;
}

static bdl_status fail_unknown(const char *name)
{
    static const char *const names[] = {"norm", "value", "none"};
    const char *const nearest = bdl__nearest_name(name, names, BDL__COUNT_OF(names));
    BDL__CHECK(!nearest, BDL_ERR_NOT_FOUND, "no clipping is named '%s'; did you mean '%s'?", name,
               nearest);
    BDL__FAIL(BDL_ERR_NOT_FOUND,
              "no clipping is named '%s'; there are: norm(most), value(limit), value(least, most)",
              name);
}

static bdl_status parse_part(bdl__arena *arena, const char *part, bdl__clip *clip)
{
    const char *name = NULL;
    const char *args = NULL;
    double number[2] = {0};
    int64_t n = 0;
    BDL__TRY(bdl__split_call(arena, part, &name, &args));
    if (strcmp(name, "none") == 0 && args[0] == '\0') {
        return BDL_OK;
    }
    if (strcmp(name, "norm") != 0 && strcmp(name, "value") != 0) {
        return fail_unknown(name);
    }
    BDL__TRY(parse_numbers(arena, part, args, number, &n));
    if (strcmp(name, "norm") == 0) {
        BDL__CHECK(n == 1 && number[0] > 0, BDL_ERR_INVALID_ARGUMENT,
                   "clip '%s': expected one number above 0", part);
        clip->max_norm = number[0];
        return BDL_OK;
    }
    clip->least = n == 1 ? -number[0] : number[0];
    clip->most = n == 1 ? number[0] : number[1];
    BDL__CHECK(clip->least < clip->most, BDL_ERR_INVALID_ARGUMENT,
               "clip '%s': the least value must be below the most", part);
    return BDL_OK;
}

static bdl_status parse(bdl__arena *arena, const char *text, bdl__clip *clip)
{
    const char *const *parts = NULL;
    int64_t n = 0;
    BDL__TRY(bdl__split_list(arena, text, ',', &parts, &n));
    for (int64_t i = 0; i < n; i++) {
        if (parts[i][0] != '\0' || n > 1) {
            BDL__TRY(parse_part(arena, parts[i], clip));
        }
    }
    return BDL_OK;
}

bdl_status bdl__clip_parse(const bdl_allocator *allocator, const char *text, bdl__clip *clip)
{
    bdl__arena arena;
    bdl__arena_init(&arena, allocator);
    bdl__clip parsed = bdl__clip_none();
    const bdl_status status = parse(&arena, text, &parsed);
    bdl__arena_free(&arena);
    if (status == BDL_OK) {
        *clip = parsed;
    }
    return status;
}

void bdl__clip_to_text(const bdl__clip *clip, bdl__text *out)
{
    char least[32];
    char most[32];
    const bool has_norm = clip->max_norm > 0;
    const bool has_value = isfinite(clip->least) || isfinite(clip->most);
    if (has_norm) {
        bdl__format_f64(clip->max_norm, most, sizeof most);
        bdl__text_append(out, "norm(%s)", most);
    }
    if (has_value) {
        bdl__format_f64(clip->least, least, sizeof least);
        bdl__format_f64(clip->most, most, sizeof most);
        bdl__text_append(out, "%svalue(%s, %s)", has_norm ? ", " : "", least, most);
    }
    if (!has_norm && !has_value) {
        bdl__text_append(out, "none");
    }
}
