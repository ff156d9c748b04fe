/* GET /v1/version and /openapi.json: the registries, printed. */
#include "api/routes/routes.h"

#include "api/http/request.h"
#include "api/routes/openapi.h"
#include "compress/base/limits.h"
#include "compress/kernels/cpu.h"
#include "compress/kernels/kernels.h"
#include "compress/tensor/blas.h"
#include "compressd_version.h"

#include <pthread.h>
#include <stdlib.h>

static const struct {
    enum cpu_flag flag;
    const char *name;
} features[] = {{CPU_AVX2, "avx2"}, {CPU_AVX512, "avx512"}, {CPU_NEON, "neon"}};

static void view_limits(struct jbuf *b, const struct server_options *options) {
    jbuf_key(b, "limits");
    jbuf_object(b);
    jbuf_kv_uint(b, "upload_bytes", options->max_upload_bytes);
    jbuf_kv_uint(b, "connections", options->max_connections);
    jbuf_kv_uint(b, "event_streams", options->max_streams);
    jbuf_kv_uint(b, "min_body_bytes_per_second", options->min_body_rate);
    jbuf_kv_uint(b, "body_bytes", LIMIT_BODY_BYTES);
    jbuf_kv_uint(b, "model_files", LIMIT_MODEL_FILES);
    jbuf_kv_uint(b, "tensors", LIMIT_TENSORS);
    jbuf_object_end(b);
}

int capabilities_version(struct request *r, struct err *err) {
    char cpu[64];
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_string(&b, "version", COMPRESSD_VERSION);
#ifdef COMPRESSD_COMMIT
    jbuf_kv_string(&b, "commit", *COMPRESSD_COMMIT ? COMPRESSD_COMMIT : NULL);
#else
    jbuf_kv_string(&b, "commit", NULL);
#endif
    jbuf_kv_int(&b, "api", 1);
    jbuf_kv_string(&b, "cpu", cpu_name(cpu, sizeof cpu));
    jbuf_key(&b, "cpu_features");
    jbuf_array(&b);
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        if (cpu_flags() & features[i].flag)
            jbuf_string(&b, features[i].name);
    jbuf_array_end(&b);
    jbuf_kv_string(&b, "instruction_set", kernels_isa());
    jbuf_kv_string(&b, "blas", blas_facts()->text);
    view_limits(&b, &r->service->options);
    jbuf_object_end(&b);
    return reply_json(r, 200, &b, err);
}

/* Printed once: it changes with the program only. */
static char *document;
static size_t document_len;
static pthread_once_t document_once = PTHREAD_ONCE_INIT;

static void make_document(void) {
    document = openapi_document(&document_len);
}

int capabilities_openapi(struct request *r, struct err *err) {
    pthread_once(&document_once, make_document);
    if (!document)
        return err_set(err, ERR_NO_MEMORY, "no memory for the document");
    return reply_static(r, 200, "application/json", document, document_len);
}
