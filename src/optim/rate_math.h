/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions that learning rates are made of, in plain double arithmetic: a libm's last bit
 * differs from machine to machine and would end up in the weights. Errors stay within a few units
 * of the last place.
 */
#ifndef BDL_OPTIM_RATE_MATH_H
#define BDL_OPTIM_RATE_MATH_H

#include <stdint.h>

double bdl__rate_exp(double x);
double bdl__rate_log(double x); /* x > 0, normal */
double bdl__rate_cos_pi(double x); /* cos(pi x) for x in [0, 1] */
double bdl__rate_power(double base, int64_t exponent); /* by squaring; exponent >= 0 */
double bdl__rate_pow(double base, double exponent); /* base >= 0, exponent >= 0 */

#endif
