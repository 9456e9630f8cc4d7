/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs: building, names and references, the places of weights, sharing, JSON, errors; and
 * models. */
#include "graph/graph.h"

#include <string.h>

#include "counting_allocator.h"
#include "test.h"

static const bdl_allocator *allocator(void)
{
    return bdl__default_allocator();
}

static bdl__graph *start(int64_t a, int64_t b, int64_t c)
{
    bdl__graph *graph = NULL;
    bdl__shape shape = {.rank = c ? 3 : 1, .dim = {a, b, c}};
    CHECK_OK(bdl__graph_create(allocator(), "net", &graph));
    CHECK_OK(bdl__graph_add_input(graph, "input", &shape, false));
    return graph;
}

static bdl_status add(bdl__graph *graph, const char *type, const char *name, const char *params)
{
    return bdl__graph_add_text(graph, type, name, params, NULL, 0, NULL);
}

static bdl_status add_after(bdl__graph *graph, const char *type, const char *name,
                            const char *params, const char *a, const char *b)
{
    const char *const inputs[2] = {a, b};
    return bdl__graph_add_text(graph, type, name, params, inputs, b ? 2 : 1, NULL);
}

/* ---- building ------------------------------------------------------------------------------- */

BDL_TEST(graph_infers_shapes_in_order)
{
    bdl__graph *const g = start(3, 8, 8);
    CHECK_OK(add(g, "conv2d", "c", "out_channels=5, kernel_size=3"));
    CHECK_OK(add(g, "max_pool2d", NULL, "2"));
    CHECK_OK(add(g, "flatten", NULL, NULL));
    CHECK_OK(add(g, "linear", "fc", "out_features=7"));
    REQUIRE_OK(bdl__graph_finish(g));
    CHECK_EQ_I64(g->n_nodes, 4);
    CHECK_STR_EQ(g->nodes[1]->name, "max_pool2d_2");
    CHECK_EQ_I64(g->nodes[0]->decl.out[0].dim[0], 5);
    CHECK_EQ_I64(g->nodes[0]->decl.out[0].dim[1], 6);
    CHECK_EQ_I64(g->nodes[2]->decl.out[0].dim[0], 45);
    CHECK_EQ_I64(g->n_outputs, 1);
    CHECK_EQ_I64(g->outputs[0].node, 3);
    CHECK(bdl__graph_find(g, "fc") == g->nodes[3]);
    CHECK(bdl__graph_find(g, "nothing") == NULL);
    bdl__graph_release(g);
}

BDL_TEST(graph_places_weights_in_aligned_order)
{
    bdl__graph *const g = start(10, 0, 0);
    CHECK_OK(add(g, "linear", "a", "out_features=3"));
    CHECK_OK(add(g, "batch_norm", "n", NULL));
    CHECK_OK(add(g, "linear", "b", "out_features=500"));
    CHECK_OK(add(g, "linear", "c", "out_features=9, bias=false"));
    g->nodes[2]->frozen = true;
    g->nodes[2]->lr_scale = 2;
    REQUIRE_OK(bdl__graph_finish(g));
    static const struct {
        const char *name;
        int64_t offset, count;
    } want[] = {{"a.weight", 0, 30},     {"a.bias", 32, 3},      {"n.weight", 48, 3},
                {"n.bias", 64, 3},       {"b.weight", 80, 1500}, {"b.bias", 1584, 500},
                {"c.weight", 2096, 4500}};
    REQUIRE(g->n_params == BDL__COUNT_OF(want));
    for (int64_t i = 0; i < g->n_params; i++) {
        CHECK_STR_EQ(g->params[i].name, want[i].name);
        CHECK_EQ_I64(g->params[i].offset, want[i].offset);
        CHECK_EQ_I64(g->params[i].count, want[i].count);
        CHECK(g->params[i].frozen == (g->params[i].node == 2));
        CHECK_NEAR(g->params[i].lr_scale, g->params[i].node == 2 ? 2 : 1, 0);
    }
    CHECK_EQ_I64(g->weights_count, 2 * BDL__BLOCK);
    CHECK(g->n_buffers >= 2 && strcmp(g->buffers[0].name, "n.running_mean") == 0);
    CHECK_EQ_I64(g->buffers[1].offset, BDL__PARAM_ALIGNMENT);
    bdl__graph_release(g);
}

BDL_TEST(graph_shares_weights)
{
    bdl__graph *const g = start(6, 0, 0);
    CHECK_OK(add(g, "linear", "a", "out_features=6"));
    CHECK_OK(add(g, "tanh", NULL, NULL));
    CHECK_OK(add(g, "linear", "b", "out_features=6"));
    g->nodes[2]->share = "a";
    REQUIRE_OK(bdl__graph_finish(g));
    CHECK_EQ_I64(g->n_params, 2);
    CHECK_EQ_I64(g->nodes[2]->first_param, 0);
    bdl__graph_release(g);
}

static void check_share_fails(const char *type, const char *params, const char *share,
                              const char *error)
{
    bdl__graph *const g = start(6, 0, 0);
    CHECK_OK(add(g, "linear", "a", "out_features=6"));
    CHECK_OK(add(g, type, "b", params));
    CHECK_OK(add(g, "linear", "late", "out_features=6"));
    g->nodes[1]->share = share;
    CHECK(bdl__graph_finish(g) != BDL_OK);
    CHECK_STR_HAS(bdl_last_error(), error);
    bdl__graph_release(g);
}

BDL_TEST(graph_refuses_to_share_what_does_not_fit)
{
    check_share_fails("linear", "out_features=6", "nobody", "'nobody', which does not exist");
    check_share_fails("linear", "out_features=6", "late", "'late', which comes later");
    check_share_fails("linear", "out_features=6", "b", "comes later");
    check_share_fails("linear", "out_features=7", "a", "its weight has another shape");
    check_share_fails("tanh", NULL, "a", "cannot share the weights of linear 'a'");
}

BDL_TEST(graph_joins_branches_and_counts_references)
{
    char text[64];
    bdl__graph *const g = start(4, 6, 6);
    CHECK_OK(add_after(g, "split", "s", "sizes=[1,3]", "input", NULL));
    CHECK_OK(add_after(g, "relu", "r", NULL, "s:1", NULL));
    CHECK_OK(add_after(g, "concat", "j", "axis=1", "s", "r"));
    CHECK_OK(bdl__graph_add_output(g, "j"));
    CHECK_OK(bdl__graph_add_output(g, "s:1"));
    REQUIRE_OK(bdl__graph_finish(g));
    CHECK_EQ_I64(bdl__graph_shape(g, g->outputs[0])->dim[0], 4);
    CHECK_EQ_I64(bdl__graph_shape(g, g->outputs[1])->dim[0], 3);
    CHECK_STR_EQ(bdl__graph_ref_text(g, g->outputs[1], text, sizeof text), "s:1");
    CHECK_STR_EQ(bdl__graph_ref_text(g, g->nodes[0]->in[0], text, sizeof text), "input");
    bdl__graph *const shared = bdl__graph_retain(g);
    bdl__graph_release(g);
    CHECK_STR_EQ(shared->name, "net");
    bdl__graph_release(shared);
}

/* ---- errors --------------------------------------------------------------------------------- */

BDL_TEST(graph_names_what_cannot_be_added)
{
    const bdl__shape empty = {.rank = 1, .dim = {0}};
    const bdl__shape one = {.rank = 1, .dim = {1}};
    bdl__graph *const g = start(4, 0, 0);
    CHECK_OK(add(g, "linear", "fc", "out_features=4"));
    CHECK_EQ_I64(add(g, "liner", NULL, NULL), BDL_ERR_NOT_FOUND);
    CHECK_STR_HAS(bdl_last_error(), "'linear'");
    CHECK_EQ_I64(add(g, "linear", "x", "out_feature=4"), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "linear 'x'");
    CHECK_EQ_I64(add(g, "tanh", "fc", NULL), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "'fc' is used twice");
    CHECK_EQ_I64(add(g, "tanh", "input", NULL), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(add(g, "tanh", "", NULL), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(add(g, "tanh", "a b", NULL), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(add(g, "tanh", "a:1", NULL), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(add_after(g, "tanh", "t", NULL, "fx", NULL), BDL_ERR_NOT_FOUND);
    CHECK_EQ_I64(add_after(g, "tanh", "t", NULL, "inputs", NULL), BDL_ERR_NOT_FOUND);
    CHECK_STR_HAS(bdl_last_error(), "did you mean 'input'?");
    CHECK_EQ_I64(add_after(g, "tanh", "t", NULL, "fc:64", NULL), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl__graph_add_output(g, "nothing"), BDL_ERR_NOT_FOUND);
    for (int i = 0; i < BDL__MAX_PORTS; i++) {
        CHECK_OK(bdl__graph_add_output(g, "fc"));
    }
    CHECK_EQ_I64(bdl__graph_add_output(g, "fc"), BDL_ERR_UNSUPPORTED);
    CHECK(bdl__graph_add_input(g, "empty", &empty, false) != BDL_OK);
    CHECK_EQ_I64(bdl__graph_add_input(g, "fc", &one, false), BDL_ERR_INVALID_ARGUMENT);
    REQUIRE_OK(bdl__graph_finish(g));
    CHECK_EQ_I64(g->n_nodes, 1);
    CHECK_EQ_I64(add(g, "tanh", NULL, NULL), BDL_ERR_STATE);
    CHECK_EQ_I64(bdl__graph_finish(g), BDL_ERR_STATE);
    CHECK_EQ_I64(bdl__graph_add_output(g, "fc"), BDL_ERR_STATE);
    bdl__graph_release(g);
}

BDL_TEST(graph_finish_names_the_layer_that_does_not_fit)
{
    bdl__graph *g = start(4, 0, 0);
    CHECK_OK(add(g, "conv2d", "c", "out_channels=5, kernel_size=3"));
    CHECK(bdl__graph_finish(g) != BDL_OK);
    CHECK_STR_HAS(bdl_last_error(), "conv2d 'c'");
    bdl__graph_release(g);
    g = start(4, 0, 0);
    CHECK_OK(add(g, "tanh", "t", NULL));
    CHECK_OK(add_after(g, "relu", "r", NULL, "t:1", NULL));
    CHECK_EQ_I64(bdl__graph_finish(g), BDL_ERR_NOT_FOUND);
    CHECK_STR_HAS(bdl_last_error(), "'t:1' does not exist");
    bdl__graph_release(g);
    g = start(4, 0, 0);
    CHECK_OK(add_after(g, "tanh", "t", NULL, "input", "input"));
    CHECK_EQ_I64(bdl__graph_finish(g), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "takes 1 input (input), got 2");
    bdl__graph_release(g);
    g = start(4, 0, 0);
    CHECK_EQ_I64(bdl__graph_finish(g), BDL_ERR_STATE);
    bdl__graph_release(g);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static bdl_status from_text(const char *text, bdl__graph **graph)
{
    bdl__json *document = NULL;
    bdl_status status = bdl__json_parse(text, strlen(text), "model.json", &document);
    if (status == BDL_OK) {
        status = bdl__graph_from_json(allocator(), document, "model.json", graph);
        bdl__json_free(document);
    }
    return status;
}

BDL_TEST(graph_reads_what_it_writes)
{
    static const char text[] =
        "{\"name\": \"two\", \"inputs\": [{\"name\": \"x\", \"shape\": [3, 4]}, {\"name\": "
        "\"y\", \"shape\": [1], \"integer\": true}], \"nodes\": [{\"name\": \"f\", \"type\": "
        "\"flatten\", \"params\": {}, \"inputs\": [\"x\"]}, {\"name\": \"a\", \"type\": "
        "\"linear\", \"params\": {\"out_features\": 12}, \"inputs\": [\"f\"], \"lr_scale\": "
        "0.5, \"frozen\": true}, {\"name\": \"b\", \"type\": \"linear\", \"params\": "
        "{\"out_features\": 12}, \"inputs\": [\"a\"], \"share\": \"a\", \"decay_scale\": "
        "0}], \"outputs\": [\"b\", \"a\"]}";
    bdl__graph *graph = NULL;
    bdl__text again;
    bdl__json_writer writer;
    REQUIRE_OK(from_text(text, &graph));
    bdl__text_init(&again, allocator());
    bdl__json_writer_init(&writer, &again, 0);
    bdl__graph_to_json(graph, &writer);
    CHECK_STR_EQ(bdl__text_get(&again), text);
    CHECK_EQ_I64(graph->n_inputs, 2);
    CHECK(bdl__graph_integer(graph, (bdl__ref){.node = -1, .port = 1}));
    CHECK(graph->params[0].frozen);
    bdl__text_free(&again);
    bdl__graph_release(graph);
}

#define IN "\"inputs\":[{\"name\":\"x\",\"shape\":[4]}]"

/* Every second node shares its weights; each takes the one two before it. */
static void write_large(bdl__text *text, int64_t n)
{
    bdl__text_append(text, "{\"inputs\":[{\"name\":\"x\",\"shape\":[2]}],\"nodes\":[");
    for (int64_t i = 0; i < n; i++) {
        bdl__text_append(text, "%s{\"name\":\"layer%lld\",\"type\":\"linear\",\"params\":{\"out_features\":2},",
                         i > 0 ? "," : "", (long long)i);
        if (i % 2 > 0) {
            bdl__text_append(text, "\"share\":\"layer%lld\",", (long long)i - 1);
        }
        if (i < 2) {
            bdl__text_append(text, "\"inputs\":[\"x\"]}");
        } else {
            bdl__text_append(text, "\"inputs\":[\"layer%lld\"]}", (long long)i - 2);
        }
    }
    bdl__text_append(text, "]}");
}

/* Names are found where their hash says: no run of taken slots, which a search goes along, is long. */
static int64_t longest_run(const bdl__graph *g)
{
    int64_t longest = 0, run = 0;
    for (int64_t i = 0; i < 2 * g->names_capacity; i++) { /* a run may go over the end */
        run = g->names[i % g->names_capacity].is_taken ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

BDL_TEST(graph_finds_each_of_many_names_at_once)
{
    const int64_t n = 20000;
    bdl__text text;
    bdl__json *json = NULL;
    bdl__graph *g = NULL;
    bdl__text_init(&text, allocator());
    write_large(&text, n);
    REQUIRE_OK(bdl__json_parse(bdl__text_get(&text), text.size, "large", &json));
    REQUIRE_OK(bdl__graph_from_json(allocator(), json, "large", &g));
    CHECK_EQ_I64(g->n_nodes, n);
    CHECK_EQ_I64(g->n_params, n); /* weight and bias of every second one */
    for (int64_t i = 0; i < n; i++) {
        CHECK_EQ_I64(g->nodes[i]->in[0].node, i < 2 ? -1 : i - 2);
        CHECK_EQ_I64(g->nodes[i]->first_param, i / 2 * 2);
        CHECK(bdl__graph_find(g, g->nodes[i]->name) == g->nodes[i]);
    }
    CHECK(bdl__graph_find(g, "layer20000") == NULL);
    CHECK(2 * (n + 1) <= g->names_capacity);
    CHECK(longest_run(g) < 100);
    bdl__graph_release(g);
    bdl__json_free(json);
    bdl__text_free(&text);
}

/* A made name is not that of an input either. */
BDL_TEST(graph_makes_names_that_nothing_has)
{
    bdl__graph *g = NULL;
    const bdl__shape shape = {.rank = 1, .dim = {3}};
    CHECK_OK(bdl__graph_create(allocator(), "net", &g));
    CHECK_OK(bdl__graph_add_input(g, "tanh_1", &shape, false));
    CHECK_OK(add(g, "tanh", NULL, NULL));
    CHECK_STR_EQ(g->nodes[0]->name, "tanh_2");
    CHECK(bdl__graph_find(g, "tanh_1") == NULL);
    bdl__graph_release(g);
}

BDL_TEST(graph_json_errors_say_where)
{
    static const struct {
        const char *text, *error;
    } bad[] = {
        {"[]", "expected an object, got a"},
        {"{}", "inputs"},
        {"{" IN ",\"nodes\":[],\"output\":[]}", "unknown member 'output'; did you mean 'outputs'?"},
        {"{" IN ",\"nodes\":[]}", "at least one layer"},
        {"{" IN ",\"nodes\":[3]}", "model.json: nodes[0]: expected an object"},
        {"{" IN ",\"nodes\":[{\"name\":\"t\",\"type\":\"tanh\"}]}", "nodes[0]"},
        {"{" IN ",\"nodes\":[{\"name\":\"t\",\"type\":\"tanh\",\"inputs\":[]}]}",
         "needs 1 to 64 inputs, got 0"},
        {"{" IN ",\"nodes\":[{\"name\":\"t\",\"type\":\"tanh\",\"inputs\":[4]}]}",
         "inputs are names"},
        {"{" IN ",\"nodes\":[{\"name\":\"t\",\"type\":\"tanhh\",\"inputs\":[\"x\"]}]}", "'tanh'"},
        {"{" IN ",\"nodes\":[{\"name\":\"t\",\"type\":\"tanh\",\"inputs\":[\"y\"]}]}", "named 'y'"},
        {"{" IN
         ",\"nodes\":[{\"name\":\"t\",\"type\":\"tanh\",\"inputs\":[\"x\"],\"frozn\":true}]}",
         "did you mean 'frozen'?"},
        {"{" IN ",\"nodes\":[{\"name\":\"t\",\"type\":\"tanh\",\"inputs\":[\"x\"],\"frozen\":1}]}",
         "needs true or false"},
        {"{" IN
         ",\"nodes\":[{\"name\":\"t\",\"type\":\"tanh\",\"inputs\":[\"x\"],\"lr_scale\":-1}]}",
         "needs a number >= 0"},
        {"{" IN
         ",\"nodes\":[{\"name\":\"t\",\"type\":\"linear\",\"params\":[],\"inputs\":[\"x\"]}]}",
         "params needs an object"},
        {"{\"inputs\":[{\"name\":\"x\",\"shape\":[0]}],\"nodes\":[]}", "whole numbers above 0"},
        {"{\"inputs\":[{\"name\":\"x\",\"shape\":[1.5]}],\"nodes\":[]}", "whole numbers above 0"},
        {"{\"inputs\":[{\"name\":\"x\",\"shape\":[1,1,1,1,1,1,1,1,1]}],\"nodes\":[]}", "at most"},
        {"{" IN
         ",\"nodes\":[{\"name\":\"t\",\"type\":\"tanh\",\"inputs\":[\"x\"]}],\"outputs\":[1]}",
         "outputs[0]: outputs are names"},
    };
    for (int64_t i = 0; i < BDL__COUNT_OF(bad); i++) {
        bdl__graph *graph = NULL;
        CHECK(from_text(bad[i].text, &graph) != BDL_OK);
        CHECK_STR_HAS(bdl_last_error(), bad[i].error);
        CHECK_STR_HAS(bdl_last_error(), "model.json");
        CHECK(graph == NULL);
    }
}

/* ---- models --------------------------------------------------------------------------------- */

static bdl__graph *small_net(void)
{
    bdl__graph *const g = start(1, 6, 6);
    CHECK_OK(add(g, "conv2d", "c", "out_channels=3, kernel_size=3"));
    CHECK_OK(add(g, "batch_norm", "n", NULL));
    CHECK_OK(add(g, "flatten", NULL, NULL));
    CHECK_OK(add(g, "linear", "fc", "out_features=2"));
    CHECK_OK(bdl__graph_finish(g));
    return g;
}

BDL_TEST(model_weights_follow_the_seed)
{
    bdl__graph *const g = small_net();
    bdl__model *a = NULL, *b = NULL, *other = NULL, *wide = NULL;
    REQUIRE_OK(bdl__model_create(allocator(), g, BDL_F32, 1, &a));
    REQUIRE_OK(bdl__model_create(allocator(), g, BDL_F32, 1, &b));
    REQUIRE_OK(bdl__model_create(allocator(), g, BDL_F32, 2, &other));
    REQUIRE_OK(bdl__model_create(allocator(), g, BDL_F64, 1, &wide));
    const size_t size = (size_t)g->weights_count * sizeof(float);
    CHECK(memcmp(a->weights, b->weights, size) == 0);
    CHECK(memcmp(a->weights, other->weights, size) != 0);
    for (int64_t i = 0; i < g->params[0].count; i++) {
        const double precise = ((const double *)bdl__model_param(wide, 0))[i];
        CHECK_NEAR(((const float *)bdl__model_param(a, 0))[i], precise, 1e-7);
    }
    const float *const mean = bdl__model_buffer(a, 0);
    const float *const variance = bdl__model_buffer(a, 1);
    CHECK_NEAR(mean[2], 0, 0);
    CHECK_NEAR(variance[2], 1, 0);
    bdl__graph_release(g);
    bdl__model_free(a);
    bdl__model_free(b);
    bdl__model_free(other);
    bdl__model_free(wide);
    bdl__model_free(NULL);
}

BDL_TEST(graph_and_model_survive_failing_allocations)
{
    counting_allocator counter;
    static const char text[] =
        "{" IN ",\"nodes\":[{\"name\":\"a\",\"type\":\"linear\",\"params\":{\"out_features\":3},"
        "\"inputs\":[\"x\"]},{\"name\":\"n\",\"type\":\"batch_norm\",\"inputs\":[\"a\"]}]}";
    bdl__json *document = NULL;
    REQUIRE_OK(bdl__json_parse(text, strlen(text), "text", &document));
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__graph *graph = NULL;
        bdl__model *model = NULL;
        bdl_status status = bdl__graph_from_json(&counter.allocator, document, "text", &graph);
        if (status == BDL_OK) {
            status = bdl__model_create(&counter.allocator, graph, BDL_F32, 1, &model);
        }
        CHECK(status == (counter.refused ? BDL_ERR_OUT_OF_MEMORY : BDL_OK));
        bdl__model_free(model);
        bdl__graph_release(graph);
    }
    bdl__json_free(document);
}

BDL_TEST_MAIN(graph_infers_shapes_in_order, graph_finds_each_of_many_names_at_once,
              graph_makes_names_that_nothing_has, graph_places_weights_in_aligned_order,
              graph_shares_weights, graph_refuses_to_share_what_does_not_fit,
              graph_joins_branches_and_counts_references, graph_names_what_cannot_be_added,
              graph_finish_names_the_layer_that_does_not_fit, graph_reads_what_it_writes,
              graph_json_errors_say_where, model_weights_follow_the_seed,
              graph_and_model_survive_failing_allocations)
