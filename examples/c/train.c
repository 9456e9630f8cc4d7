/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training from C: LeNet learns generated digits and is saved in the folder "model", which predict.c and the command
 * read. Build and run against an installed bdl:
 *
 *     cc train.c $(pkg-config --cflags --libs bdl) -o train && ./train
 */
#include <bdl/bdl.h>
#include <stdio.h>
#include <stdlib.h>

static void must(bdl_status status)
{
    if (status != BDL_OK) {
        fprintf(stderr, "train: %s\n", bdl_last_error());
        exit(1);
    }
}

/* Called for every step, epoch, validation and checkpoint. */
static void on_event(void *user, const bdl_event *event)
{
    (void)user;
    if (event->kind == BDL_EVENT_EPOCH) {
        printf("epoch %d: loss %.3f", (int)event->epoch, event->loss);
        for (int i = 0; i < event->n_metrics; i++) {
            printf(", validation %s %.3f", event->metric_names[i], event->metrics[i]);
        }
        printf("\n");
    }
}

int main(void)
{
    /* The names and values are those of the command's options: `bdl train --help` lists them. */
    static const char *const pairs[][2] = {{"model", "lenet"},
                                           {"data", "digits(count=8000)"},
                                           {"val", "digits(count=1000)"},
                                           {"optim", "sgd(lr=0.05, momentum=0.9)"},
                                           {"epochs", "2"},
                                           {"save", "model"}};
    bdl_context *context = NULL;
    bdl_options *options = NULL;
    bdl_trainer *trainer = NULL;

    must(bdl_context_create(NULL, &context)); /* a worker for each processor */
    must(bdl_options_create(context, "train", &options));
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        must(bdl_options_set(options, pairs[i][0], pairs[i][1]));
    }
    must(bdl_trainer_create(context, options, &trainer));
    must(bdl_trainer_run(trainer, on_event, NULL));

    bdl_trainer_free(trainer);
    bdl_options_free(options);
    bdl_context_free(context);
    return 0;
}
