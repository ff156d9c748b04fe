/*
 * Can a set of paths stand beside each other as files of one folder, on every file system? No two
 * are the same ignoring case, and none is a folder of another ("a" and "a/b").
 */
#ifndef COMPRESS_BASE_PATHSET_H
#define COMPRESS_BASE_PATHSET_H

#include "compress/base/arena.h"
#include "compress/base/strmap.h"

struct pathset {
    struct arena *arena;
    struct strmap files, folders; /* lower-case */
};

void pathset_init(struct pathset *set, struct arena *arena);
/* 1 added, 0 it clashes with one that was added before, -1 the arena is exhausted. ASCII letters
 * are folded. path: path_ok(). */
int pathset_add(struct pathset *set, const char *path);

#endif
