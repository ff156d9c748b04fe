/*
 * The cases of every row of the operator table, as lines of tests/support/opcase.h: op_cases_<row>,
 * NULL-terminated. A row without them does not link; rows that the executor runs by itself have an
 * empty list. A line per way a row can go: every attribute, optional inputs given and not,
 * broadcasting both ways, axes from both ends, sizes that no tile divides, old versions whose
 * meaning differs. Values keep away from kinks; where a function jumps they may not go.
 *
 * Inputs whose content is written out ({...}) are constants: they get no gradient.
 */
#ifndef TESTS_NUMERIC_OP_CASES_H
#define TESTS_NUMERIC_OP_CASES_H

#include "compress/graph/op_rows.h"

#define OP_CASES_DECLARE(row) extern const char *const op_cases_##row[];
OP_ROWS(OP_CASES_DECLARE)
#undef OP_CASES_DECLARE

#endif
