/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every registered layer, through every generic check.
 *
 *     generic [--seed N] [--case NAME] [--check NAME] [--brief] [--list] [--layers]
 *
 * `--case conv2d,linear/3` stands for all cases of conv2d and one of linear. A failure prints the line
 * that repeats it; --brief then leaves out the layer's other cases. BDL_TEST_SMALL keeps to the first
 * case of each layer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "test.h"

/* ctest: timeout=600 */

typedef struct named_check {
    const char *name;
    void (*run)(check *k);
} named_check;

static const named_check case_checks[] = {
    {"targets", check_targets},   {"gradient", check_gradient},
    {"padding", check_padding},   {"deterministic", check_deterministic},
    {"adding", check_adding},     {"in_place", check_in_place},
    {"skipping", check_skipping}, {"json", check_json},
    {"reference", check_reference}, {"empty", check_empty},
};

static const named_check layer_checks[] = {
    {"descriptor", check_descriptor},
    {"refusals", check_refusals},
    {"fuzz", check_fuzz},
};

static struct {
    const char *program;
    const char *only_subject, *only_check; /* "" = all */
    uint64_t seed;
    bool only_list, is_brief;
    const char *failed_layer; /* the last, "" = none */
    int n_passed, n_failed;
} state = {.only_subject = "", .only_check = "", .seed = 42, .failed_layer = ""};

static void run_check(const named_check *named, const char *subject, const layer_case *c,
                      const bdl__layer *layer)
{
    if (*state.only_check && strcmp(state.only_check, named->name) != 0) {
        return;
    }
    if (state.only_list) {
        printf("%s %s\n", subject, named->name);
        return;
    }
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    check k = {.name = named->name,
               .subject = subject,
               .c = c,
               .layer = layer,
               .seed = state.seed,
               .arena = &arena};
    named->run(&k);
    bdl__arena_free(&arena);
    if (k.n_failures > 0) {
        printf("FAIL %s %s: repeat with: %s --case %s --check %s --seed %llu\n", subject,
               named->name, state.program, subject, named->name, (unsigned long long)state.seed);
        state.n_failed++;
        state.failed_layer = layer->name;
    } else {
        state.n_passed++;
    }
}

/* Whether the first `size` characters of `name` are the subject, or its layer. */
static bool is_named(const char *subject, const char *name, size_t size)
{
    return strncmp(name, subject, size) == 0 && (subject[size] == '\0' || subject[size] == '/');
}

static bool is_wanted(const char *subject)
{
    const char *name = state.only_subject;
    bool wanted = !*name;
    while (*name && !wanted) {
        const size_t size = strcspn(name, ",");
        wanted = is_named(subject, name, size);
        name += size + (name[size] == ',');
    }
    return wanted;
}

static void run_cases(void)
{
    char subject[CASE_NAME_SIZE];
    const layer_case *c;
    for (int64_t i = 0; (c = case_at(i, subject, sizeof subject)) != NULL; i++) {
        const bool is_extra = bdl_test_small() && strcmp(strrchr(subject, '/'), "/0") != 0;
        const bdl__layer *layer;
        if (!is_wanted(subject) || is_extra) {
            continue;
        }
        if (bdl__layer_find(c->layer, &layer) != BDL_OK || strcmp(layer->name, c->layer) != 0) {
            printf("FAIL %s: a case for a layer that is not there\n", subject);
            state.n_failed++;
            continue;
        }
        for (int64_t j = 0; j < BDL__COUNT_OF(case_checks); j++) {
            if (state.is_brief && strcmp(state.failed_layer, layer->name) == 0) {
                break;
            }
            run_check(&case_checks[j], subject, c, layer);
        }
    }
}

static bool has_case(const bdl__layer *layer)
{
    char subject[CASE_NAME_SIZE];
    const layer_case *c;
    for (int64_t i = 0; (c = case_at(i, subject, sizeof subject)) != NULL; i++) {
        if (strcmp(c->layer, layer->name) == 0) {
            return true;
        }
    }
    return false;
}

static void run_layers(void)
{
    int64_t n;
    const bdl__layer *const *layers = bdl__layers_all(&n);
    for (int64_t i = 0; i < n; i++) {
        if (!is_wanted(layers[i]->name)) {
            continue;
        }
        if (!has_case(layers[i])) {
            printf("FAIL %s: no case in tests/layers\n", layers[i]->name);
            state.n_failed++;
        }
        for (int64_t j = 0; j < BDL__COUNT_OF(layer_checks); j++) {
            run_check(&layer_checks[j], layers[i]->name, NULL, layers[i]);
        }
    }
}

/* Each layer, and what its gradient comes from. */
static void list_layers(void)
{
    int64_t n;
    const bdl__layer *const *layers = bdl__layers_all(&n);
    for (int64_t i = 0; i < n; i++) {
        const bool is_view = (layers[i]->flags & BDL__VIEW) != 0;
        printf("%s %s\n", layers[i]->name,
               !layers[i]->backward ? "nothing" : (is_view ? "view" : "backward"));
    }
}

int main(int argc, char **argv)
{
    const char *seed = getenv("BDL_TEST_SEED");
    state.program = argv[0];
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = argv[++i];
        } else if (strcmp(argv[i], "--case") == 0 && i + 1 < argc) {
            state.only_subject = argv[++i];
        } else if (strcmp(argv[i], "--check") == 0 && i + 1 < argc) {
            state.only_check = argv[++i];
        } else if (strcmp(argv[i], "--brief") == 0) {
            state.is_brief = true;
        } else if (strcmp(argv[i], "--list") == 0) {
            state.only_list = true;
        } else if (strcmp(argv[i], "--layers") == 0) {
            list_layers();
            return 0;
        } else {
            printf("usage: %s [--seed N] [--case NAME] [--check NAME] [--brief] [--list] "
                   "[--layers]\n",
                   argv[0]);
            return 2;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    state.seed = seed && *seed ? strtoull(seed, NULL, 0) : 42;
    run_cases();
    run_layers();
    end_workers();
    if (!state.only_list) {
        printf("%d passed, %d failed, 0 skipped\n", state.n_passed, state.n_failed);
    }
    return state.n_failed > 0;
}
