/* SPDX-License-Identifier: Apache-2.0 */
/* Prints what bdl finds on this machine, for which it looks for its oneDNN library. */
#include <bdl/bdl.h>
#include <stdio.h>

int main(void)
{
    bdl_context *context = NULL;
    char *text = NULL;
    bdl_status status = bdl_context_create(NULL, &context);
    if (status == BDL_OK) {
        status = bdl_doctor(context, false, &text);
    }
    if (status == BDL_OK) {
        printf("%s", text);
        bdl_text_free(text);
    } else {
        fprintf(stderr, "%s\n", bdl_last_error());
    }
    bdl_context_free(context);
    return status != BDL_OK;
}
