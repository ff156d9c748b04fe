/* The one part of progress that formats. */
#include "compress/base/progress.h"

#include <stdarg.h>
#include <stdio.h>

void progress_logf(const struct progress *p, const char *level, const char *format, ...) {
    if (!p || !p->log)
        return;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    p->log(p->self, level, text);
}
