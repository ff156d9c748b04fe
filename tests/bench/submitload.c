/*
 * Clients that submit jobs as fast as they are answered, on one thread, so that what is measured
 * is the server.
 *
 * usage: submitload PORT CLIENTS SECONDS MODEL RECIPE
 *
 * Every client keeps one connection to 127.0.0.1 and sends the next POST /v1/jobs when the answer
 * to the last one is complete. Prints one line of JSON: answers with 201, all others, seconds, and
 * quantiles of the time an answer took.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX 16384
#define EVENTS_AT_ONCE 64
#define MICROS_MAX 10000000 /* slower answers count as that slow */

struct client {
    int fd;
    double sent; /* when, in seconds */
    size_t len;
    char answer[ANSWER_MAX + 1];
};

struct totals {
    unsigned long created, others;
    unsigned *by_micros; /* MICROS_MAX + 1 counters */
};

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static _Noreturn void die(const char *what) {
    perror(what);
    exit(1);
}

static void open_client(struct client *client, int epoll, unsigned short port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    int on = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&to, sizeof to) < 0)
        die("connect");
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, client->fd, &event) < 0)
        die("epoll_ctl");
}

static void ask(struct client *client, const char *request, size_t len) {
    client->len = 0;
    client->sent = now();
    if (send(client->fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
        die("send"); /* a request is far smaller than a socket's buffer */
}

/* The whole answer's length once its head is here, else 0. */
static size_t whole_len(const struct client *client) {
    const char *end = strstr(client->answer, "\r\n\r\n");
    const char *length = strcasestr(client->answer, "\r\nContent-Length:");
    if (!end || !length || length > end)
        return 0;
    return (size_t)(end + 4 - client->answer) + strtoul(length + 17, NULL, 10);
}

/* True when the answer is complete and counted. */
static int take(struct client *client, struct totals *totals) {
    ssize_t n = recv(client->fd, client->answer + client->len, ANSWER_MAX - client->len, 0);
    if (n <= 0)
        die(n ? "recv" : "the server closed a connection");
    client->len += (size_t)n;
    client->answer[client->len] = 0;
    size_t whole = whole_len(client);
    if (whole > ANSWER_MAX)
        die("an answer is too long");
    if (!whole || client->len < whole)
        return 0;
    if (strncmp(client->answer, "HTTP/1.1 201", 12) == 0)
        totals->created++;
    else if (totals->others++ == 0)
        fprintf(stderr, "submitload: %s\n", client->answer);
    double micros = (now() - client->sent) * 1e6;
    totals->by_micros[micros < MICROS_MAX ? (unsigned)micros : MICROS_MAX]++;
    return 1;
}

static double quantile_ms(const struct totals *totals, double part) {
    unsigned long wanted = (unsigned long)(part * (double)(totals->created + totals->others));
    unsigned long seen = 0;
    for (unsigned i = 0; i <= MICROS_MAX; i++)
        if ((seen += totals->by_micros[i]) > wanted)
            return i / 1000.0;
    return MICROS_MAX / 1000.0;
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: submitload PORT CLIENTS SECONDS MODEL RECIPE\n");
        return 2;
    }
    unsigned short port = (unsigned short)strtoul(argv[1], NULL, 10);
    unsigned count = (unsigned)strtoul(argv[2], NULL, 10);
    double seconds = strtod(argv[3], NULL);
    char body[512], request[1024];
    int body_len =
        snprintf(body, sizeof body, "{\"model\":\"%s\",\"recipe\":\"%s\"}", argv[4], argv[5]);
    int len = snprintf(request, sizeof request,
                       "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n"
                       "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                       body_len, body);
    struct client *clients = calloc(count, sizeof *clients);
    struct totals totals = {.by_micros = calloc(MICROS_MAX + 1, sizeof *totals.by_micros)};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!clients || !totals.by_micros || epoll < 0 || len >= (int)sizeof request)
        die("submitload");
    double began = now();
    for (unsigned i = 0; i < count; i++) {
        open_client(&clients[i], epoll, port);
        ask(&clients[i], request, (size_t)len);
    }
    while (now() - began < seconds) {
        struct epoll_event events[EVENTS_AT_ONCE];
        int ready = epoll_wait(epoll, events, EVENTS_AT_ONCE, 100);
        if (ready < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < ready; i++)
            if (take(events[i].data.ptr, &totals))
                ask(events[i].data.ptr, request, (size_t)len);
    }
    double took = now() - began;
    printf("{\"created\": %lu, \"others\": %lu, \"seconds\": %.2f, \"per_second\": %.0f, "
           "\"p50_ms\": %.2f, \"p99_ms\": %.2f}\n",
           totals.created, totals.others, took, (double)totals.created / took,
           quantile_ms(&totals, 0.5), quantile_ms(&totals, 0.99));
    for (unsigned i = 0; i < count; i++)
        close(clients[i].fd);
    free(clients);
    free(totals.by_micros);
    close(epoll);
    return 0;
}
