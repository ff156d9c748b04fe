/* See log.h. */
#include "compress/base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

static log_sink *the_sink;
static void *the_self;
static enum log_level the_level = LOG_LEVEL_INFO;

void log_set_sink(log_sink *sink, void *self, enum log_level up_to) {
    the_sink = sink;
    the_self = self;
    the_level = up_to;
}

void log_line(enum log_level level, const char *format, ...) {
    if (!the_sink || level > the_level)
        return;
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    the_sink(the_self, level, text);
}
