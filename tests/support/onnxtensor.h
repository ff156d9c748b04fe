/*
 * A TensorProto in a file of its own, as test suites of ONNX ship inputs and outputs: read without
 * anything of formats/, so that the two can be held against each other.
 *
 * Owns: nothing, the array is the arena's. Expected failures: ERR_IO, ERR_BAD_MODEL,
 * ERR_UNSUPPORTED (strings, complex numbers, external data, files that hold no tensor). Source:
 * onnx.proto, TensorProto.
 */
#ifndef TESTS_SUPPORT_ONNXTENSOR_H
#define TESTS_SUPPORT_ONNXTENSOR_H

#include "compress/tensor/array.h"

int onnxtensor_read(const char *path, struct arena *arena, struct array **ret, struct err *err);

#endif
