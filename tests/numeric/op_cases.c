/*
 * Cases of the operator table, in the order of op_rows.h. A row that has none is a row that nobody
 * tests. Long because it is a table.
 */
#include "tests/numeric/op_cases.h"

#include <stddef.h>

#define CASES(row, ...) const char *const op_cases_##row[] = {__VA_ARGS__, NULL}

/* op_act.c: activations */
CASES(relu, "Relu x:f32[3,5]", "Relu x:f32[101,103]", "Relu x:f32[]", "Relu x:f32[0,4]");
