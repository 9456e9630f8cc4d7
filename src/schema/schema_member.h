/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share: one field's value outside of its struct, and its checks. */
#ifndef BDL_SCHEMA_SCHEMA_MEMBER_H
#define BDL_SCHEMA_SCHEMA_MEMBER_H

#include "schema/schema.h"

/* Largest whole number that JSON numbers hold exactly (2^53). */
#define BDL__JSON_WHOLE_LIMIT INT64_C(9007199254740992)
/* A limit this large stands for "no limit" (BDL_AT_LEAST). */
#define BDL__NO_LIMIT 9e18
#define BDL__MAX_FIELDS 64
#define BDL__NUMBER_SIZE 32 /* room for any number's text */

typedef union bdl__member {
    bool b;
    int64_t i64;
    double f64;
    const char *s;
    bdl__choice choice;
    bdl__i64s i64s;
    bdl__f64s f64s;
} bdl__member;

void bdl__member_read(const bdl__field *field, const void *params, bdl__member *member);
void bdl__member_write(const bdl__field *field, const bdl__member *member, void *params);

/* The default of a field; zero where it is required. An error is a mistake in the table. */
bdl_status bdl__member_default(const bdl__schema *schema, const bdl__field *field,
                               bdl__member *member);

/* Range, length and choice of one field. */
bdl_status bdl__member_check(const bdl__schema *schema, const bdl__field *field,
                             const bdl__member *member);

/* Whether the member is what the field has when it is not given. */
bool bdl__member_is_default(const bdl__schema *schema, const bdl__field *field,
                            const bdl__member *member);

int32_t bdl__field_n_choices(const bdl__field *field);
/* Least and most numbers of a list field, with the table's zeros resolved. */
int32_t bdl__field_least_n(const bdl__field *field);
int32_t bdl__field_most_n(const bdl__field *field);

/* The choice of that name, or an error that lists them. */
bdl_status bdl__field_choose(const bdl__schema *schema, const bdl__field *field, const char *name,
                             bdl__choice *choice);
/* Fails because a list field got `n` numbers. */
bdl_status bdl__field_fail_length(const bdl__schema *schema, const bdl__field *field, int64_t n);

#endif
