/* See problemdoc.h. */
#include "compress/base/problemdoc.h"

static void one_error(struct jbuf *b, const struct err *err) {
    jbuf_object(b);
    jbuf_kv_string(b, "pointer", err->pointer);
    jbuf_kv_string(b, "detail", err->text);
    if (err->tensor[0])
        jbuf_kv_string(b, "tensor", err->tensor);
    if (err->file[0])
        jbuf_kv_string(b, "file", err->file);
    if (err->offset != ERR_NO_OFFSET)
        jbuf_kv_uint(b, "offset", err->offset);
    if (err->nearest[0])
        jbuf_kv_string(b, "nearest", err->nearest);
    jbuf_object_end(b);
}

void problemdoc_members(struct jbuf *b, const struct err *err, const struct violations *list) {
    jbuf_key(b, "type");
    jbuf_stringf(b, "/problems/%s", err_slug(err->code));
    jbuf_kv_string(b, "title", err_title(err->code));
    jbuf_kv_string(b, "detail", err->text);
    jbuf_key(b, "errors");
    if (list && list->count > 0) {
        jbuf_violations(b, list);
        return;
    }
    jbuf_array(b);
    if (err->pointer[0] || err->tensor[0] || err->file[0] || err->offset != ERR_NO_OFFSET)
        one_error(b, err);
    jbuf_array_end(b);
}

char *problemdoc_json(const struct err *err, const struct violations *list) {
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    problemdoc_members(&b, err, list);
    jbuf_object_end(&b);
    size_t len;
    return jbuf_take(&b, &len);
}
