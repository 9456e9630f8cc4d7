/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ready-made models: numbers of weights as published or worked out by hand, shapes, names,
 * errors, and the way through JSON and back.
 */
#include "zoo/zoo.h"

#include <string.h>

#include "counting_allocator.h"
#include "test.h"

static bdl__graph *build(const char *text)
{
    bdl__graph *graph = NULL;
    CHECK_OK(bdl__zoo_build(bdl__default_allocator(), text, &graph));
    return graph;
}

static int64_t count_weights(const bdl__graph *graph)
{
    int64_t n = 0;
    for (int64_t i = 0; i < graph->n_params; i++) {
        n += graph->params[i].count;
    }
    return n;
}

typedef struct model_case {
    const char *text;
    int64_t n_weights;
    int64_t outputs; /* scalars of output 0 */
} model_case;

/* lenet: 156 + 1,812 + 19,300 + 1,010. vgg_cifar: convolutions 14,714,688 with biases, their
 * batch norms 8,448, linear layers 262,656 + 5,130, batch norm 1,024. The others' numbers are
 * those of torchvision's and Caffe's models, and of He et al. (0.27 and 1.7 millions). */
static const model_case cases[] = {
    {"lenet", 22278, 10},
    {"lenet(variant=article, classes=26)", 22278 + 16 * 101, 26},
    {"lenet_caffe", 431080, 10},
    {"linear", 7850, 10},
    {"linear(classes=3, shape=[5])", 18, 3},
    {"linear(2, [3,32,32])", 6146, 2},
    {"mlp", 785 * 128 + 1290, 10},
    {"mlp(hidden=[300,100], activation=tanh)", 785 * 300 + 301 * 100 + 1010, 10},
    {"autoencoder", 785 * 32 + 33 * 784, 784},
    {"autoencoder(bottleneck=4, shape=[2,3])", 7 * 4 + 5 * 6, 6},
    {"vgg_cifar", 14714688 + 8448 + 262656 + 1024 + 5130, 10},
    {"vgg_cifar(classes=100)", 14714688 + 8448 + 262656 + 1024 + 51300, 100},
    {"vgg16", 138357544, 1000},
    {"vgg19", 143667240, 1000},
    {"alexnet", 61100840, 1000},
    {"alexnet(variant=caffe)", 60965224, 1000},
    {"inception_v1", 6998552, 1000},
    {"resnet", 272474, 10},
    {"resnet(shortcut=A)", 269722, 10},
    {"resnet(depth=110)", 1730714, 10},
    {"resnet(18, imagenet)", 11689512, 1000},
    {"resnet(34, imagenet)", 21797672, 1000},
    {"resnet(50, imagenet)", 25557032, 1000},
    {"resnet(101, imagenet)", 44549160, 1000},
    {"resnet(152, imagenet, classes=5)", 60192808 - 995 * 2049, 5},
};

BDL_TEST(zoo_models_have_the_published_sizes)
{
    for (int64_t i = 0; i < BDL__COUNT_OF(cases); i++) {
        bdl__graph *const graph = build(cases[i].text);
        REQUIRE(graph != NULL);
        CHECK_EQ_I64(count_weights(graph), cases[i].n_weights);
        CHECK_EQ_I64(graph->n_outputs, 1);
        CHECK_EQ_I64(bdl__shape_count(bdl__graph_shape(graph, graph->outputs[0])),
                     cases[i].outputs);
        bdl__graph_release(graph);
    }
}

/* Types of the layers one after the other, "conv2d tanh ...". */
static void check_layers(const char *model, const char *types)
{
    bdl__text text;
    bdl__graph *const graph = build(model);
    REQUIRE(graph != NULL);
    bdl__text_init(&text, bdl__default_allocator());
    for (int64_t i = 0; i < graph->n_nodes; i++) {
        bdl__text_append(&text, "%s%s", i ? " " : "", graph->nodes[i]->layer->name);
    }
    CHECK_STR_EQ(bdl__text_get(&text), types);
    bdl__text_free(&text);
    bdl__graph_release(graph);
}

BDL_TEST(zoo_layers_stand_in_order)
{
    check_layers("lenet",
                 "conv2d tanh max_pool2d conv2d tanh max_pool2d flatten linear tanh linear "
                 "log_softmax");
    check_layers("lenet(variant=article)",
                 "conv2d tanh max_pool2d tanh conv2d max_pool2d flatten linear tanh linear "
                 "log_softmax");
    check_layers("lenet_caffe",
                 "conv2d max_pool2d conv2d max_pool2d flatten linear relu linear log_softmax");
    check_layers("autoencoder", "flatten linear relu linear sigmoid reshape");
    check_layers("mlp(hidden=[4,3], activation=gelu)",
                 "flatten linear gelu linear gelu linear log_softmax");
    check_layers("alexnet(variant=caffe)",
                 "conv2d relu lrn max_pool2d conv2d relu lrn max_pool2d conv2d relu conv2d relu "
                 "conv2d relu max_pool2d flatten linear relu dropout linear relu dropout linear "
                 "log_softmax");
}

BDL_TEST(zoo_vgg_cifar_is_as_specified)
{
    static const char *const stage = "conv2d batch_norm relu dropout ";
    static const char *const last = "conv2d batch_norm relu max_pool2d ";
    static const int convs[] = {2, 2, 3, 3, 3};
    bdl__text text;
    bdl__text_init(&text, bdl__default_allocator());
    for (int s = 0; s < 5; s++) {
        for (int i = 1; i < convs[s]; i++) {
            bdl__text_append(&text, "%s", stage);
        }
        bdl__text_append(&text, "%s", last);
    }
    bdl__text_append(&text, "flatten dropout linear batch_norm relu dropout linear log_softmax");
    check_layers("vgg_cifar", bdl__text_get(&text));
    bdl__text_free(&text);
}

BDL_TEST(zoo_inception_has_caffes_names)
{
    static const char *const names[] = {"conv1/7x7_s2",        "conv2/3x3_reduce",
                                        "inception_3a/1x1",    "inception_3a/3x3_reduce",
                                        "inception_4c/5x5",    "inception_5b/pool_proj",
                                        "inception_4e/output", "pool4/3x3_s2",
                                        "pool5/drop_7x7_s1",   "loss3/classifier"};
    static const struct {
        const char *name;
        int64_t c, h;
    } shapes[] = {{"pool1/3x3_s2", 64, 56},         {"conv2/norm2", 192, 56},
                  {"pool2/3x3_s2", 192, 28},        {"inception_3a/output", 256, 28},
                  {"inception_3b/output", 480, 28}, {"inception_4a/output", 512, 14},
                  {"inception_4d/output", 528, 14}, {"inception_4e/output", 832, 14},
                  {"inception_5b/output", 1024, 7}, {"pool5/7x7_s1", 1024, 1}};
    bdl__graph *const graph = build("inception_v1");
    REQUIRE(graph != NULL);
    for (int64_t i = 0; i < BDL__COUNT_OF(names); i++) {
        CHECK(bdl__graph_find(graph, names[i]) != NULL);
    }
    for (int64_t i = 0; i < BDL__COUNT_OF(shapes); i++) {
        const bdl__node *const node = bdl__graph_find(graph, shapes[i].name);
        REQUIRE(node != NULL);
        CHECK_EQ_I64(node->decl.out[0].dim[0], shapes[i].c);
        CHECK_EQ_I64(node->decl.out[0].dim[1], shapes[i].h);
        CHECK_EQ_I64(node->decl.out[0].dim[2], shapes[i].h);
    }
    bdl__graph_release(graph);
}

static int64_t count_type(const bdl__graph *graph, const char *type)
{
    int64_t n = 0;
    for (int64_t i = 0; i < graph->n_nodes; i++) {
        n += strcmp(graph->nodes[i]->layer->name, type) == 0;
    }
    return n;
}

typedef struct resnet_case {
    const char *text;
    int64_t n_convs, n_adds, n_pads;
} resnet_case;

BDL_TEST(zoo_resnet_shortcuts_and_blocks)
{
    static const resnet_case rows[] = {
        {"resnet(20, shortcut=A)", 19, 9, 2},
        {"resnet(20, shortcut=B)", 21, 9, 0},
        {"resnet(20, shortcut=C)", 28, 9, 0},
        {"resnet(50, imagenet)", 53, 16, 0},
        {"resnet(50, imagenet, shortcut=A)", 49, 16, 4},
        {"resnet(200, imagenet)", 203, 66, 0},
    };
    for (int64_t i = 0; i < BDL__COUNT_OF(rows); i++) {
        bdl__graph *const graph = build(rows[i].text);
        REQUIRE(graph != NULL);
        CHECK_EQ_I64(count_type(graph, "conv2d"), rows[i].n_convs);
        CHECK_EQ_I64(count_type(graph, "batch_norm"), rows[i].n_convs);
        CHECK_EQ_I64(count_type(graph, "add"), rows[i].n_adds);
        CHECK_EQ_I64(count_type(graph, "pad"), rows[i].n_pads);
        bdl__graph_release(graph);
    }
}

/* Initial weights of the residual net for ImageNet: N(0, sqrt(2 / (k k out))), last norms at 0. */
BDL_TEST(zoo_resnet_starts_as_specified)
{
    bdl__model *model = NULL;
    bdl__graph *const graph = build("resnet(18, imagenet, classes=4)");
    REQUIRE(graph != NULL);
    REQUIRE_OK(bdl__model_create(bdl__default_allocator(), graph, BDL_F32, 3, &model));
    int64_t n_zero_norms = 0;
    for (int64_t i = 0; i < graph->n_params; i++) {
        const bdl__param *const p = &graph->params[i];
        const float *const values = bdl__model_param(model, i);
        double sum = 0, squares = 0;
        for (int64_t k = 0; k < p->count; k++) {
            sum += values[k];
            squares += (double)values[k] * values[k];
        }
        if (strcmp(p->name, "layer2.0.conv2.weight") == 0) {
            CHECK_NEAR(squares / (double)p->count * (9 * 128) / 2, 1, 0.05);
        } else if (strstr(p->name, "bn2.weight")) {
            n_zero_norms += squares <= 0;
        } else if (strstr(p->name, "bn1.weight")) {
            CHECK_NEAR(sum, (double)p->count, 0);
        }
    }
    CHECK_EQ_I64(n_zero_norms, 8);
    bdl__model_free(model);
    bdl__graph_release(graph);
}

static void to_text(const bdl__graph *graph, bdl__text *text)
{
    bdl__json_writer writer;
    bdl__text_init(text, bdl__default_allocator());
    bdl__json_writer_init(&writer, text, 0);
    bdl__graph_to_json(graph, &writer);
    CHECK_OK(bdl__text_status(text));
}

BDL_TEST(zoo_models_survive_json)
{
    for (int64_t i = 0; i < BDL__COUNT_OF(cases); i++) {
        bdl__text first, second;
        bdl__json *document = NULL;
        bdl__graph *again = NULL;
        bdl__graph *const graph = build(cases[i].text);
        REQUIRE(graph != NULL);
        to_text(graph, &first);
        REQUIRE_OK(bdl__json_parse(first.data, first.size, "graph", &document));
        REQUIRE_OK(bdl__graph_from_json(bdl__default_allocator(), document, "graph", &again));
        to_text(again, &second);
        CHECK_STR_EQ(bdl__text_get(&first), bdl__text_get(&second));
        CHECK_EQ_I64(again->weights_count, graph->weights_count);
        bdl__json_free(document);
        bdl__text_free(&first);
        bdl__text_free(&second);
        bdl__graph_release(graph);
        bdl__graph_release(again);
    }
}

BDL_TEST(zoo_list_is_sorted_and_documented)
{
    const bdl__zoo_model *before = NULL;
    int64_t n = 0;
    for (const bdl__zoo_model *m = bdl__zoo_at(0); m; before = m, m = bdl__zoo_at(n)) {
        CHECK(!before || strcmp(before->name, m->name) < 0);
        CHECK(m->summary && m->doc && strlen(m->doc) > 20);
        CHECK_STR_EQ(m->schema.name, m->name);
        n++;
    }
    CHECK_EQ_I64(n, 11);
    CHECK(bdl__zoo_at(-1) == NULL);
}

BDL_TEST(zoo_says_what_is_wrong)
{
    static const struct {
        const char *text;
        bdl_status status;
        const char *error;
    } bad[] = {
        {"lenut", BDL_ERR_NOT_FOUND, "there is no model 'lenut'; did you mean 'lenet'?"},
        {"zzzzzzzz", BDL_ERR_NOT_FOUND, "there is no model 'zzzzzzzz'"},
        {"lenet(clases=3)", BDL_ERR_INVALID_ARGUMENT, "did you mean 'classes'"},
        {"lenet(classes=1)", BDL_ERR_INVALID_ARGUMENT, "classes"},
        {"lenet(variant=v9)", BDL_ERR_INVALID_ARGUMENT, "article"},
        {"resnet(depth=19)", BDL_ERR_INVALID_ARGUMENT, "depth must be 6k + 2"},
        {"resnet(20, imagenet)", BDL_ERR_INVALID_ARGUMENT, "18, 34, 50, 101, 152 or 200, got 20"},
        {"mlp(hidden=[0])", BDL_ERR_INVALID_ARGUMENT, "hidden"},
        {"autoencoder(shape=[16777216,16777216,16777216])", BDL_ERR_SHAPE, "autoencoder"},
    };
    for (int64_t i = 0; i < BDL__COUNT_OF(bad); i++) {
        bdl__graph *graph = NULL;
        CHECK_EQ_I64(bdl__zoo_build(bdl__default_allocator(), bad[i].text, &graph), bad[i].status);
        CHECK_STR_HAS(bdl_last_error(), bad[i].error);
        CHECK(graph == NULL);
    }
}

BDL_TEST(zoo_survives_failing_allocations)
{
    counting_allocator counter;
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__graph *graph = NULL;
        const bdl_status status =
            bdl__zoo_build(&counter.allocator, "resnet(8, shortcut=A)", &graph);
        CHECK(status == (counter.refused ? BDL_ERR_OUT_OF_MEMORY : BDL_OK));
        bdl__graph_release(graph);
    }
}

BDL_TEST_MAIN(zoo_models_have_the_published_sizes, zoo_layers_stand_in_order,
              zoo_vgg_cifar_is_as_specified, zoo_inception_has_caffes_names,
              zoo_resnet_shortcuts_and_blocks, zoo_resnet_starts_as_specified,
              zoo_models_survive_json, zoo_list_is_sorted_and_documented, zoo_says_what_is_wrong,
              zoo_survives_failing_allocations)
