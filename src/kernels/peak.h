/* SPDX-License-Identifier: Apache-2.0 */
/* peak.h: the fused multiply-add peak of a core, as benchmarks of kernels compare with it. */
#ifndef BDL_KERNELS_PEAK_H
#define BDL_KERNELS_PEAK_H

#include "kernels/family.h"

#define BDL__PEAK_CHAINS 12

/* Runs n times BDL__PEAK_CHAINS multiply-adds of reals, all in registers. */
#define BDL__PEAK_KERNELS(X) X(peak, (int64_t n, scalar *result))
BDL__KERNEL_FAMILY(peak, BDL__PEAK_KERNELS)

#endif
