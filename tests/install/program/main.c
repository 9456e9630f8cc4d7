/* SPDX-License-Identifier: Apache-2.0 */
/* A program outside the project, in the common part of C11 and C++17. */
#include <bdl/bdl.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    if (strcmp(bdl_status_text(BDL_OK), "success") != 0) {
        return 1;
    }
    printf("bdl %s: %s\n", BDL_VERSION_STRING, bdl_status_text(BDL_ERR_NOT_FOUND));
    return 0;
}
