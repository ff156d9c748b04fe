/* See tinynpy.h. */
#include "tests/support/tinynpy.h"

#include <stdio.h>
#include <string.h>

void tinynpy(struct bytebuf *b, const char *descr, const char *shape, const void *data,
             size_t len) {
    char text[256];
    snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr,
             shape);
    tinynpy_header(b, 1, text, data, len);
}

void tinynpy_header(struct bytebuf *b, unsigned version, const char *text, const void *data,
                    size_t len) {
    size_t front = version == 1 ? 10 : 12, text_len = strlen(text);
    size_t total = (front + text_len + 1 + 63) / 64 * 64;
    bytebuf_text(b, "\x93NUMPY");
    bytebuf_u8(b, (uint8_t)version);
    bytebuf_u8(b, 0);
    if (version == 1)
        bytebuf_u16(b, (uint16_t)(total - front));
    else
        bytebuf_u32(b, (uint32_t)(total - front));
    bytebuf_text(b, text);
    bytebuf_fill(b, ' ', total - front - text_len - 1);
    bytebuf_u8(b, '\n');
    bytebuf_raw(b, data, len);
}
