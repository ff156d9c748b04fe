/* The error object. See err.h for the contract. */
#include "compress/base/err.h"

#include "compress/base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct row {
    enum err_code code;
    enum err_kind kind;
    const char *name;
    const char *slug;
    const char *title;
};

static const struct row table[] = {
#define ERR_ROW(name, number, kind, slug, title) {ERR_##name, ERR_KIND_##kind, #name, slug, title},
    ERR_CODES(ERR_ROW)
#undef ERR_ROW
};

static const unsigned table_len = sizeof table / sizeof table[0];

static const struct row *row_of(enum err_code code) {
    for (unsigned i = 0; i < table_len; i++)
        if (table[i].code == code)
            return &table[i];
    return row_of(ERR_BUG);
}

/* In place: what a terminal, a log line or a JSON string could choke on becomes '?'. A sequence cut
 * in half by the buffer's end is dropped. */
static void make_printable(char *text) {
    size_t len = strlen(text);
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        char *at = text + len - back;
        if ((*at & 0xc0) == 0xc0 && utf8_len(at, back) == 0)
            *at = 0;
        if ((*at & 0xc0) != 0x80)
            break;
    }
    utf8_make_printable(text);
}

__attribute__((format(printf, 3, 0))) static void vput(char *dst, size_t cap, const char *format,
                                                       va_list args) {
    vsnprintf(dst, cap, format, args);
    make_printable(dst);
}

int(err_set)(struct err *err, enum err_code code, const char *format, ...) {
    if (!err || err->code != ERR_OK)
        return -1;
    va_list args;
    va_start(args, format);
    err->code = code;
    vput(err->text, sizeof err->text, format, args);
    va_end(args);
    return -1;
}

int(err_set_errno)(struct err *err, enum err_code code, int errno_value, const char *format, ...) {
    if (!err || err->code != ERR_OK)
        return -1;
    if (errno_value == ENOSPC || errno_value == EDQUOT)
        code = ERR_NO_SPACE;
    else if (errno_value == ENOMEM)
        code = ERR_NO_MEMORY;
    va_list args;
    va_start(args, format);
    err->code = code;
    vput(err->text, sizeof err->text, format, args);
    va_end(args);
    size_t used = strlen(err->text);
    char buf[128];
    /* GNU strerror_r: may return a static string instead of filling the buffer. */
    snprintf(err->text + used, sizeof err->text - used, ": %s",
             strerror_r(errno_value, buf, sizeof buf));
    return -1;
}

int(err_context)(struct err *err, const char *format, ...) {
    if (!err || err->code == ERR_OK)
        return -1;
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    va_list args;
    va_start(args, format);
    vput(err->text, sizeof err->text, format, args);
    va_end(args);
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", old);
    make_printable(err->text);
    return -1;
}

int(err_at_tensor)(struct err *err, const char *name) {
    if (err && !err->tensor[0] && name) {
        snprintf(err->tensor, sizeof err->tensor, "%s", name);
        make_printable(err->tensor);
    }
    return -1;
}

int(err_at_file)(struct err *err, const char *path, uint64_t offset) {
    if (!err)
        return -1;
    if (!err->file[0] && path) {
        snprintf(err->file, sizeof err->file, "%s", path);
        make_printable(err->file);
    }
    if (err->offset == ERR_NO_OFFSET)
        err->offset = offset;
    return -1;
}

int(err_at_pointer)(struct err *err, const char *format, ...) {
    if (err && !err->pointer[0]) {
        va_list args;
        va_start(args, format);
        vput(err->pointer, sizeof err->pointer, format, args);
        va_end(args);
    }
    return -1;
}

int(err_nearest)(struct err *err, const char *format, ...) {
    if (err && !err->nearest[0]) {
        va_list args;
        va_start(args, format);
        vput(err->nearest, sizeof err->nearest, format, args);
        va_end(args);
    }
    return -1;
}

void err_clear(struct err *err) {
    if (err)
        *err = ERR_INIT;
}

enum err_kind err_kind(enum err_code code) {
    return row_of(code)->kind;
}

const char *err_slug(enum err_code code) {
    return row_of(code)->slug;
}

const char *err_title(enum err_code code) {
    return row_of(code)->title;
}

const char *err_name(enum err_code code) {
    return row_of(code)->name;
}

int err_code_at(unsigned i) {
    return i < table_len ? (int)table[i].code : -1;
}
