/* SPDX-License-Identifier: Apache-2.0 */
/* The listing of a plan: what `bdl inspect --plan` shows. */
#include <stdio.h>
#include <string.h>

#include "plan/plan.h"

static const char *size_text(size_t bytes, char *buffer, size_t size)
{
    if (bytes < 10240) {
        snprintf(buffer, size, "%zu B", bytes);
    } else if (bytes < (size_t)10 << 20) {
        snprintf(buffer, size, "%.1f KiB", (double)bytes / 1024);
    } else {
        snprintf(buffer, size, "%.1f MiB", (double)bytes / 1048576);
    }
    return buffer;
}

/* "forward conv1 (conv2d): 1x28x28 -> 6x24x24, direct, in place, keeps 4.1 KiB a part" */
static void print_op(const bdl__plan *plan, const bdl__op *op, bdl__text *out)
{
    char from[BDL__SHAPE_TEXT_SIZE], to[BDL__SHAPE_TEXT_SIZE], bytes[32];
    const bdl__planned_step *const planned = &plan->steps[op->i_step];
    const bdl__step *const step = &planned->step;
    bdl__text_append(out, "    %-8s %-24s %-14s %12s -> %-12s", op->is_backward ? "backward" : "forward",
                     step->name, step->layer->name,
                     bdl__shape_text(&step->src_shape[0], from, sizeof from),
                     bdl__shape_text(&step->dst_shape[0], to, sizeof to));
    if (op->is_dropped) {
        bdl__text_append(out, " view, no work\n");
        return;
    }
    if (op->is_backward) {
        const bool wants_src = op->diff_src_area[0] >= 0;
        const char *const data = step->impl_backward_data ? step->impl_backward_data : step->impl;
        const char *const weights =
            step->impl_backward_weights ? step->impl_backward_weights : step->impl;
        bdl__text_append(out, " %s%s%s%s", wants_src ? "data: " : "", wants_src ? data : "",
                         step->needs_diff_weights ? (wants_src ? ", weights: " : "weights: ") : "",
                         step->needs_diff_weights ? weights : "");
    } else {
        bdl__text_append(out, " %s", step->impl);
    }
    if (!op->is_last_pass) {
        bdl__text_append(out, ", sums over the batch");
    }
    size_t saved = 0;
    for (int i = 0; i < BDL__MAX_SAVED && !op->is_backward; i++) {
        saved += planned->saved_size[i];
    }
    if (saved > 0) {
        bdl__text_append(out, ", saves %s a part", size_text(saved, bytes, sizeof bytes));
    }
    if (!op->is_backward && step->n_in == 1 && op->is_last_pass &&
        bdl__plan_area(plan, op->src_area[0]) == bdl__plan_area(plan, planned->dst_area[0])) {
        bdl__text_append(out, ", in place");
    }
    bdl__text_append(out, "\n");
}

static void print_segment(const bdl__plan *plan, int64_t i, bdl__text *out)
{
    char bytes[32];
    const bdl__segment *const s = &plan->segments[i];
    bdl__text_append(out, "  segment %lld: %s, %d team%s of %d", (long long)i + 1,
                     s->is_breadth ? "layer by layer" : "part by part", s->n_teams,
                     bdl__plural(s->n_teams), s->team_size);
    if (s->leaf_count > 0) {
        bdl__text_append(out, ", gradients %s",
                         size_text((size_t)s->leaf_count * plan->scalar_size, bytes, sizeof bytes));
    }
    bdl__text_append(out, "\n");
    for (int64_t o = s->first_op; o < s->end_op; o++) {
        print_op(plan, &plan->ops[o], out);
    }
}

void bdl__plan_print(const bdl__plan *plan, bdl__text *out)
{
    char parts[32], teams[32], packed[32];
    static const char *const precisions[] = {"fp32", "fp32_exact", "bf16", "f64"};
    bdl__text_append(out,
                     "%s plan of '%s': batch %lld in %lld slice%s of %d, %lld part%s of %d lane%s, "
                     "%s, %s, %d worker%s\n",
                     plan->options.is_training ? "training" : "inference", plan->graph->name,
                     (long long)plan->options.global_batch, (long long)plan->options.n_slices,
                     bdl__plural(plan->options.n_slices), BDL__SLICE, (long long)plan->n_parts,
                     bdl__plural(plan->n_parts), plan->lanes, bdl__plural(plan->lanes),
                     bdl__target_name(plan->options.target), precisions[plan->options.precision],
                     plan->options.n_workers, bdl__plural(plan->options.n_workers));
    for (int64_t i = 0; i < plan->n_segments; i++) {
        print_segment(plan, i, out);
    }
    bdl__text_append(out, "  memory: %s for all parts, %s a team, packed weights %s\n",
                     size_text(plan->part_size * (size_t)plan->n_parts, parts, sizeof parts),
                     size_text(plan->team_size, teams, sizeof teams),
                     size_text(plan->packed_size, packed, sizeof packed));
}
