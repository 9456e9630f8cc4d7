/* SPDX-License-Identifier: Apache-2.0 */
#include "cases.h"

static const layer_case cases[] = {
    {"prelu", "", "3x5x4"},
    {"prelu", "3", "3x5x4"},
    {"prelu", "num_parameters=7, weight_init='uniform(low=-1, high=1)'", "7"},
    {"prelu", "2", "2x9x8"},
    {"prelu", "", "scalar"},
};
BDL_LAYER_CASES(prelu, cases)

/* torch.nn.PReLU: max(0, x) + weight min(0, x), the weight being one for all or one for each channel;
 * the derivatives by cases. */
static void prelu_reference(const problem *p, run_result *expected)
{
    const tensor *x = &p->in[0];
    const tensor *weight = &p->weights[0];
    for (int64_t i = 0; i < x->n_samples * x->count; i++) {
        const int64_t w = i % x->count * weight->count / x->count;
        const double value = x->data[i];
        const double diff = p->out_diff[0].data[i];
        expected->out[0].data[i] = fmax(0, value) + weight->data[w] * fmin(0, value);
        expected->in_diff[0].data[i] = value > 0 ? diff : weight->data[w] * diff;
        expected->grads[0].data[w] += fmin(0, value) * diff;
    }
}
BDL_LAYER_REFERENCE(prelu, prelu_reference)
