/*
 * The recipe a user named on the command line: a preset, a file, or JSON as it stands.
 */
#ifndef DAEMON_CTL_RECIPE_H
#define DAEMON_CTL_RECIPE_H

#include "compress/recipe/recipe.h"

/* A preset's name wins over a file of that name (./NAME is the file); text that begins with '{' is
 * the recipe itself. requantize: as if the recipe said so at its top. -1: err, and `list` has every
 * finding. */
int ctl_recipe_load(const char *named, bool requantize, struct arena *arena,
                    struct violations *list, struct recipe **ret, struct err *err);

#endif
