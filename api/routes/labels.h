/* Labels of a job: an object of short strings. Threads: any. */
#ifndef API_ROUTES_LABELS_H
#define API_ROUTES_LABELS_H

#include "compress/base/jspec.h"

#define LABELS_MAX 32
#define LABEL_KEY_MAX 63
#define LABEL_VALUE_MAX 255

/* Canonical text, malloc'd; NULL with violations below `pointer`, or when memory ran out. */
char *labels_read(const struct json_t *object, const char *pointer, struct arena *arena,
                  struct violations *list);

#endif
