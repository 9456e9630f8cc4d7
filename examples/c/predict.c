/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prediction from C: reads digits with the model that train.c has saved. The model's folder holds the preprocessing
 * too, so that data are given as they are. Build and run against an installed bdl:
 *
 *     cc predict.c $(pkg-config --cflags --libs bdl) -o predict && ./predict
 */
#include <bdl/bdl.h>
#include <stdio.h>
#include <stdlib.h>

enum { N_IMAGES = 10, N_PIXELS = 28 * 28, N_CLASSES = 10 };

static void must(bdl_status status)
{
    if (status != BDL_OK) {
        fprintf(stderr, "predict: %s\n", bdl_last_error());
        exit(1);
    }
}

static int best_of(const float scores[N_CLASSES])
{
    int best = 0;
    for (int i = 1; i < N_CLASSES; i++) {
        best = scores[i] > scores[best] ? i : best;
    }
    return best;
}

int main(void)
{
    static float pixels[N_IMAGES * N_PIXELS], scores[N_IMAGES * N_CLASSES];
    double labels[N_IMAGES];
    bdl_context *context = NULL;
    bdl_model *model = NULL;
    bdl_data *data = NULL;
    int n_right = 0;

    /* Other data: images:DIR, npy:X,Y and so on, or arrays of your own by bdl_data_wrap. */
    must(bdl_context_create(NULL, &context));
    must(bdl_model_open(context, "model", 0, &model));
    must(bdl_data_open(context, "digits(count=10)", "test", &data));
    must(bdl_predict_on(context, NULL, model, data, scores, NULL));

    must(bdl_data_read(data, 0, N_IMAGES, pixels, labels)); /* for the true digits */
    for (int i = 0; i < N_IMAGES; i++) {
        const int digit = best_of(scores + i * N_CLASSES);
        printf("image %d is a %d, predicted %d\n", i, (int)labels[i], digit);
        n_right += digit == (int)labels[i];
    }
    printf("%d of %d right\n", n_right, N_IMAGES);

    bdl_data_free(data);
    bdl_model_free(model);
    bdl_context_free(context);
    return 0;
}
