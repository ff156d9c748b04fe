/* The table of what operators mean to roles: no row twice, every row whole. */
#include "compress/graph/role_ops.h"

#include <string.h>

#include "tests/support/check.h"

static void rows(void **state) {
    size_t count = 0;
    for (const struct role_op *op; (op = role_op_at(count)) != NULL; count++) {
        CHECK(op->op_type[0] && op->kind != ROLE_OP_OTHER);
        bool has_weight = op->kind == ROLE_OP_PRODUCT || op->kind == ROLE_OP_CONV ||
                          op->kind == ROLE_OP_NORM || op->kind == ROLE_OP_RNN;
        CHECK(!has_weight || op->weight > 0);
        CHECK(op->kind != ROLE_OP_NORM || op->bias > op->weight);
        CHECK(op->kind != ROLE_OP_ATTENTION || (op->end > op->data) != (op->weight > 0));
        for (size_t k = 0; k < count; k++)
            CHECK(strcmp(role_op_at(k)->op_type, op->op_type) != 0 ||
                  role_op_at(k)->microsoft != op->microsoft);
    }
    CHECK(count > 70);
}

static void domains(void **state) {
    struct node node = {.op_type = "Attention", .domain = ""};
    CHECK_INT(role_op_of(&node)->weight, ROLE_OP_NONE);
    node.domain = "com.microsoft"; /* another operator of that name, with its weight */
    CHECK_INT(role_op_of(&node)->weight, 1);
    node.domain = "com.example";
    CHECK_INT(role_op_of(&node)->kind, ROLE_OP_OTHER);
    node = (struct node){.op_type = "MatMulNBits", .domain = ""};
    CHECK_INT(role_op_of(&node)->kind, ROLE_OP_OTHER);
    node.domain = "com.microsoft";
    CHECK_INT(role_op_of(&node)->kind, ROLE_OP_PRODUCT);
    node.op_type = "MatMul"; /* in a file whose nodes all say so */
    CHECK_INT(role_op_of(&node)->kind, ROLE_OP_PRODUCT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows),
        cmocka_unit_test(domains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
