/*
 * compressd: the daemon. Reads like a table of contents – settings, store, engine, server, wait,
 * and the same backwards.
 */
#include "api/http/server.h"
#include "compress/base/log.h"
#include "compress/kernels/kernels.h"
#include "compress/tensor/blas.h"
#include "compressd_version.h"
#include "daemon/config.h"
#include "daemon/sink.h"
#include "jobs/crash.h"
#include "jobs/engine.h"
#include "storage/store.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void print_help(FILE *out) {
    fprintf(out,
            "compressd %s – model compression as a service\n\n"
            "  compressd serve [settings]   run the daemon\n"
            "  compressd config             print a commented configuration file\n"
            "  compressd version            print the version\n\n"
            "settings (flag, or COMPRESSD_KEY in the environment, or key = value in a file):\n",
            COMPRESSD_VERSION);
    config_print_help(out);
}

/* Tells systemd how far we are (sd_notify(3), without its library). */
static void notify(const char *state) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (!path || strlen(path) >= sizeof to.sun_path)
        return;
    memcpy(to.sun_path, path, strlen(path));
    if (to.sun_path[0] == '@')
        to.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (sendto(fd, state, strlen(state), 0, (struct sockaddr *)&to, len) < 0)
        log_line(LOG_LEVEL_WARN, "systemd was not told: %s", strerror(errno));
    close(fd);
}

/* The first socket that systemd passed to this process (sd_listen_fds(3)), or -1. */
static int inherited_socket(void) {
    const char *pid = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    if (!pid || !count || strtol(pid, NULL, 10) != (long)getpid() || strtol(count, NULL, 10) < 1)
        return -1;
    return 3;
}

/* TERM, INT and HUP are waited for by main alone; a broken connection is an error code, not a
 * signal. */
static sigset_t block_signals(void) {
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN);
    return ends;
}

static void wait_for_end(const sigset_t *ends) {
    int got = 0;
    while (sigwait(ends, &got) != 0 || got == SIGHUP)
        ;
    log_line(LOG_LEVEL_INFO, "stopping (signal %d); a second one stops at once", got);
    notify("STOPPING=1");
    /* From here on the next one has its default effect. */
    pthread_sigmask(SIG_UNBLOCK, ends, NULL);
}

static int split_hosts(const struct config *config, const char ***ret, struct err *err) {
    size_t capacity = 0, count = 0;
    const char **list = NULL;
    char *rest = arena_strdup(config->arena, config->allow_host);
    for (char *word = rest ? strtok_r(rest, ", ", &rest) : NULL; word;
         word = strtok_r(NULL, ", ", &rest)) {
        list = arena_grow(config->arena, list, &capacity, count + 2, sizeof *list);
        if (!list)
            return err_set(err, ERR_NO_MEMORY, "no memory for the settings");
        list[count++] = word;
    }
    *ret = list;
    return 0;
}

static int fill_server_options(const struct config *config, struct server_options *options,
                               struct err *err) {
    const char **hosts = NULL;
    *options = (struct server_options){
        .listen_fd = inherited_socket(),
        .threads = (unsigned)config->http_threads,
        .tokens_path = config->tokens[0] ? config->tokens : NULL,
        .allow_open = config->allow_open,
        .max_connections = (unsigned)config->max_connections,
        .max_streams = (unsigned)config->max_streams,
        .max_upload_bytes = config->max_upload,
        .min_body_rate = config->min_body_rate,
    };
    if (config_split_listen(config, &options->listen_host, &options->listen_port, err) < 0 ||
        split_hosts(config, &hosts, err) < 0)
        return -1;
    options->allowed_hosts = hosts;
    return 0;
}

/* What somebody who reads the log wants to know first. */
static void log_start(const struct config *config, const struct server *server,
                      struct engine *engine) {
    struct engine_info info = engine_info(engine);
    log_line(LOG_LEVEL_INFO, "compressd %s, data in %s, listening on %s", COMPRESSD_VERSION,
             config->data, server_url(server));
    log_line(LOG_LEVEL_INFO, "%u jobs at once, %llu MB of memory, %u threads, access %s",
             info.slots, (unsigned long long)(info.memory_bytes / 1000000), info.threads,
             config->tokens[0] ? "by token" : "without tokens");
}

static int serve(int argc, const char *const *argv) {
    struct err err = ERR_INIT;
    struct config config = {0};
    struct store *store = NULL;
    struct engine *engine = NULL;
    struct server *server = NULL;
    struct server_options server_options;
    int status = 1;
    sigset_t ends = block_signals();
    if (config_load(argc, argv, &config, &err) < 0) {
        status = 2;
        goto out;
    }
    struct engine_options engine_options = {(unsigned)config.jobs, config.memory,
                                            (unsigned)config.threads};
    if (sink_install(config.log_level, &err) < 0 ||
        fill_server_options(&config, &server_options, &err) < 0) {
        status = 2;
        goto out;
    }
    kernels_init();
    if (!blas_facts()->sound) /* an OpenBLAS that computes wrong results on this processor */
        log_line(LOG_LEVEL_WARN, "OpenBLAS failed its check: %s", blas_facts()->text);
    if (store_open(config.data, &store, &err) < 0)
        goto out;
    blobs_set_low_water(store->blobs, config.low_water);
    if (engine_new(store, &engine_options, &engine, &err) < 0 || crash_install(store, &err) < 0 ||
        server_start(store, engine, &server_options, &server, &err) < 0)
        goto out;
    engine_run(engine);
    log_start(&config, server, engine);
    printf("listening on %s\n", server_url(server));
    fflush(stdout);
    notify("READY=1");
    wait_for_end(&ends);
    status = 0;
out:
    if (err.code != ERR_OK)
        fprintf(stderr, "compressd: %s\n", err.text);
    if (engine)
        engine_stop(engine); /* before the server: its streams tell their readers */
    server_stop(server);
    engine_free(engine);
    store_close(store);
    config_free(&config);
    return status;
}

int main(int argc, char **argv) {
    const char *verb = argc > 1 ? argv[1] : "help";
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            verb = "help";
    if (strcmp(verb, "serve") == 0)
        return serve(argc - 2, (const char *const *)argv + 2);
    if (strcmp(verb, "config") == 0) {
        config_print_sample(stdout);
        return 0;
    }
    if (strcmp(verb, "version") == 0 || strcmp(verb, "--version") == 0) {
        printf("compressd %s\n", COMPRESSD_VERSION);
        return 0;
    }
    print_help(strcmp(verb, "help") == 0 ? stdout : stderr);
    return strcmp(verb, "help") == 0 ? 0 : 2;
}
