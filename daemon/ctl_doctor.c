/* doctor: is everything in order here and at the server? One line per finding; 0 when nothing is
 * wrong. */
#include "compress/kernels/kernels.h"
#include "compress/recipe/recipe.h"
#include "compress/tensor/blas.h"
#include "compressd_version.h"
#include "daemon/ctl_server.h"
#include "daemon/ctl_verbs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct doctor {
    struct session *session;
    struct jbuf json;
    bool sound;
};

static void say(struct doctor *d, const char *what, bool good, const char *detail) {
    d->sound = d->sound && good;
    jbuf_object(&d->json);
    jbuf_kv_string(&d->json, "check", what);
    jbuf_kv_bool(&d->json, "ok", good);
    jbuf_kv_string(&d->json, "detail", detail);
    jbuf_object_end(&d->json);
    if (!d->session->json)
        printf("%-4s %-14s %s\n", good ? "ok" : "BAD", what, detail);
}

static void check_here(struct doctor *d) {
    char text[256];
    snprintf(text, sizeof text, "compressctl %s, %ld cores, instruction set %s", COMPRESSD_VERSION,
             sysconf(_SC_NPROCESSORS_ONLN), kernels_isa());
    say(d, "this machine", true, text);
    const struct blas_facts *blas = blas_facts();
    say(d, "OpenBLAS", blas->sound, blas->text);
}

/* GET as text; NULL when it did not work (and was said). */
static char *get(struct doctor *d, const char *what, const char *path) {
    struct client_answer answer = {0};
    struct err err = ERR_INIT;
    if (client_call(d->session->client, "GET", path, NULL, &answer, &err) < 0 ||
        (answer.status != 200 && client_problem(&answer, &d->session->findings, &err) < 0)) {
        say(d, what, false, err.text);
        client_answer_free(&answer);
        return NULL;
    }
    return answer.body;
}

static void check_server(struct doctor *d) {
    char text[256];
    char *alive = get(d, "server", "/healthz");
    if (!alive)
        return;
    free(alive);
    say(d, "server", true, client_url(d->session->client));
    char *ready = get(d, "readiness", "/readyz");
    if (ready)
        say(d, "readiness", true, "database writable, disk above low water, jobs loop alive");
    free(ready);
    char *version = get(d, "version", "/v1/version");
    struct json_t *document = NULL;
    if (version && jspec_parse(version, strlen(version), &document, NULL) == 0) {
        const char *theirs = json_text(json_get(document, "version"));
        bool same = theirs && strcmp(theirs, COMPRESSD_VERSION) == 0;
        snprintf(text, sizeof text, "compressd %s%s", theirs ? theirs : "?",
                 same ? "" : " (not the tool's version)");
        say(d, "version", theirs != NULL, text);
    } else if (version) {
        say(d, "version", false, "what answers there is no compressd");
    }
    jspec_free(document);
    free(version);
    char *recipes = get(d, "access", "/v1/recipes");
    if (recipes)
        say(d, "access", true, "this token (or none) may use the server");
    free(recipes);
}

static int run(const struct ctl_call *call) {
    struct session session;
    int code = session_open(call, &session);
    if (code == CTL_DONE) {
        struct doctor doctor = {.session = &session, .sound = true};
        jbuf_init(&doctor.json);
        jbuf_array(&doctor.json);
        check_here(&doctor);
        check_server(&doctor);
        jbuf_array_end(&doctor.json);
        char *text = jbuf_take(&doctor.json, NULL);
        if (session.json && text)
            session_print(text);
        free(text);
        code = doctor.sound ? CTL_DONE : CTL_NETWORK;
    }
    session_close(&session);
    return code;
}

static const struct ctl_option options[] = {CTL_SERVER_OPTIONS};

const struct ctl_verb ctl_doctor = {
    .name = "doctor",
    .args = "",
    .doc = "Check this machine and the server.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
