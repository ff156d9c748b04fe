/*
 * A disk that takes its time: preloaded (LD_PRELOAD), every fsync and fdatasync sleeps first.
 * SLOWSYNC_MS says how long (5).
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

typedef int sync_fn(int fd);

int fsync(int fd);
int fdatasync(int fd);

static void wait_for_the_disk(void) {
    const char *text = getenv("SLOWSYNC_MS");
    long ms = text ? strtol(text, NULL, 10) : 5;
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0)
        ;
}

static int sync_slowly(const char *name, int fd) {
    sync_fn *real = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, name); /* the way dlsym(3) shows */
    wait_for_the_disk();
    return real ? real(fd) : -1;
}

int fsync(int fd) {
    return sync_slowly("fsync", fd);
}

int fdatasync(int fd) {
    return sync_slowly("fdatasync", fd);
}
