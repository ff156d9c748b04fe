/*
 * When a connection sleeps and who may wake it: the one state machine for commits, offloaded work,
 * long polls, event streams and back-pressure.
 *
 *             pause: suspend_wait()                wake
 *   RUNNING ─────────────────────▶ SUSPENDED ────────────▶ RUNNING (resumed)
 *      │ wake                                                 ▲
 *      └────────▶ WAKE_PENDING ──suspend_wait() says "look again"
 *
 * The classic lost wake-up is an event that arrives between "nothing to do" and the suspension:
 * both sides take the lock, so either the waker finds SUSPENDED and resumes, or the sleeper finds
 * WAKE_PENDING and does not sleep. Resuming twice or suspending twice, both undefined in
 * libmicrohttpd, cannot happen.
 *
 * Threads: suspend_wait() and suspend_end() on the HTTP thread that owns the connection;
 * suspend_wake() from any. The library underneath is reached through two functions, so that the
 * machine can be tested without sockets.
 */
#ifndef API_HTTP_SUSPEND_H
#define API_HTTP_SUSPEND_H

#include <pthread.h>
#include <stdbool.h>

struct suspend_ops {
    void (*pause)(void *connection);
    void (*resume)(void *connection);
};

enum suspend_state { SUSPEND_RUNNING, SUSPEND_SUSPENDED, SUSPEND_WAKE_PENDING, SUSPEND_ENDED };

struct suspend {
    pthread_mutex_t lock;
    const struct suspend_ops *ops;
    void *connection;
    enum suspend_state state;
};

void suspend_init(struct suspend *s, const struct suspend_ops *ops, void *connection);
void suspend_destroy(struct suspend *s);

/* True: suspended, the caller must go back to the library at once. False: a wake came meanwhile,
 * look again. */
bool suspend_wait(struct suspend *s);
/* May come early, late, twice or spuriously. */
void suspend_wake(struct suspend *s);
/* The connection is done with this request: wakes do nothing from now on. */
void suspend_end(struct suspend *s);

#endif
