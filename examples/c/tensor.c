/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tensors from C: make, view, compute, print. Build and run against an installed bdl:
 *
 *     cc tensor.c $(pkg-config --cflags --libs bdl) -o tensor && ./tensor
 */
#include <bdl/bdl.h>
#include <stdio.h>
#include <stdlib.h>

static void must(bdl_status status)
{
    if (status != BDL_OK) {
        fprintf(stderr, "tensor: %s\n", bdl_last_error());
        exit(1);
    }
}

static void show(const char *name, const bdl_tensor *tensor)
{
    char text[1024];
    must(bdl_tensor_to_text(tensor, text, sizeof text, NULL));
    printf("%s =\n%s\n", name, text);
}

int main(void)
{
    const int64_t shape[] = {2, 2};
    const int64_t three[] = {3, 4};
    bdl_tensor *ones = NULL;
    bdl_tensor *x = NULL;
    bdl_tensor *columns = NULL;
    bdl_tensor *means = NULL;
    bdl_tensor *centered = NULL;
    bdl_tensor *turned = NULL;
    bdl_tensor *gram = NULL;

    /* NULL is the default allocator. */
    must(bdl_tensor_zeros(NULL, BDL_F64, 2, shape, &ones));
    must(bdl_tensor_fill(ones, 1.0));
    show("ones", ones);

    /* Views share their elements: writing to two columns changes x. */
    must(bdl_tensor_rand(NULL, BDL_F32, 2, three, 42, &x));
    must(bdl_tensor_narrow(x, 1, 2, 2, &columns));
    must(bdl_tensor_fill(columns, 0.5));
    show("x", x);

    /* Broadcasting: each column's mean (4) is taken from all rows (3,4). */
    must(bdl_tensor_mean(x, 0, false, &means));
    must(bdl_tensor_sub(x, means, &centered));
    must(bdl_tensor_transpose(centered, 0, 1, &turned));
    must(bdl_tensor_matmul(turned, centered, &gram));
    show("x' x", gram);

    /* Errors say what was expected and what was found. */
    bdl_tensor *wrong = NULL;
    if (bdl_tensor_add(x, ones, &wrong) != BDL_OK) {
        printf("as it should be, refused: %s\n", bdl_last_error());
    }

    bdl_tensor_free(ones);
    bdl_tensor_free(x);
    bdl_tensor_free(columns);
    bdl_tensor_free(means);
    bdl_tensor_free(centered);
    bdl_tensor_free(turned);
    bdl_tensor_free(gram);
    return 0;
}
