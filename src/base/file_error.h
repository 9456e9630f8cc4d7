/* SPDX-License-Identifier: Apache-2.0 */
/* The error of a failed system call on a path, for file.c and directory.c only. */
#ifndef BDL_BASE_FILE_ERROR_H
#define BDL_BASE_FILE_ERROR_H

#include "base/status.h"

/* "cannot <what> '<path>': <text of errno>". */
bdl_status bdl__fail_errno(const char *what, const char *path);

#endif
