/* See config.h. */
#include "daemon/config.h"

#include "compress/base/limits.h"
#include "compress/base/nearest.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum setting_kind { SETTING_TEXT, SETTING_BOOL, SETTING_COUNT, SETTING_SIZE };

struct setting {
    const char *key;
    enum setting_kind kind;
    const char *standard; /* default as text; NULL: see doc */
    uint64_t min, max;
    size_t offset;
    const char *doc;
};

#define TO(field) offsetof(struct config, field)

static const struct setting settings[] = {
    {"data", SETTING_TEXT, NULL, 0, 0, TO(data),
     "data directory; default /var/lib/compressd under systemd, else ~/.local/share/compressd"},
    {"listen", SETTING_TEXT, "127.0.0.1:8080", 0, 0, TO(listen),
     "address and port to listen on; port 0 takes a free one"},
    {"tokens", SETTING_TEXT, "", 0, 0, TO(tokens),
     "file of access tokens: lines of name, SHA-256 of the token, team; without it only loopback"},
    {"allow-host", SETTING_TEXT, "", 0, 0, TO(allow_host),
     "further Host names to answer to, separated by commas"},
    {"allow-open", SETTING_BOOL, "false", 0, 0, TO(allow_open),
     "listen beyond loopback without tokens (said at every start)"},
    {"jobs", SETTING_COUNT, "0", 0, 64, TO(jobs), "jobs at once; 0: one per core, at most 4"},
    {"memory", SETTING_SIZE, "0", 0, UINT64_MAX, TO(memory),
     "memory budget of all running jobs; 0: 80 % of what is available at start"},
    {"threads", SETTING_COUNT, "0", 0, 1024, TO(threads),
     "threads that compute, shared by all jobs; 0: one per core"},
    {"http-threads", SETTING_COUNT, "0", 0, 64, TO(http_threads),
     "threads of the HTTP front end; 0: one per core, at most 8"},
    {"max-connections", SETTING_COUNT, "4000", 16, 100000, TO(max_connections),
     "connections before new ones are answered 503"},
    {"max-streams", SETTING_COUNT, "2000", 1, 100000, TO(max_streams), "event streams at once"},
    {"max-upload", SETTING_SIZE, "1T", 1, UINT64_MAX, TO(max_upload), "largest upload, in bytes"},
    {"min-body-rate", SETTING_SIZE, "1K", 0, UINT64_MAX, TO(min_body_rate),
     "bytes per second below which a request body is given up"},
    {"low-water", SETTING_SIZE, "256M", 0, UINT64_MAX, TO(low_water),
     "bytes of disk always left free"},
    {"log-level", SETTING_TEXT, "info", 0, 0, TO(log_level), "error, warn, info or debug"},
};

static const size_t setting_count = sizeof settings / sizeof settings[0];

static const struct setting *find(const char *key) {
    for (size_t i = 0; i < setting_count; i++)
        if (strcmp(settings[i].key, key) == 0)
            return &settings[i];
    return NULL;
}

static int unknown(const char *key, const char *where, struct err *err) {
    const char *near = NULL;
    for (size_t i = 0; i < setting_count; i++)
        near = nearest_of(key, near, settings[i].key);
    err_set(err, ERR_BAD_FIELD, "%s: there is no setting '%s'%s%s%s", where, key,
            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return -1;
}

static bool parse_number(const char *text, bool size, uint64_t *ret) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || !isdigit((unsigned char)text[0]))
        return false;
    unsigned shift = 0;
    if (size && *end) {
        const char *units = "KMGT";
        const char *unit = strchr(units, toupper((unsigned char)*end));
        if (!unit)
            return false;
        shift = 10 * (unsigned)(unit - units + 1);
        end++;
        if (*end == 'i')
            end++;
        if (*end == 'B')
            end++;
    }
    if (*end || (shift && value > UINT64_MAX >> shift))
        return false;
    *ret = (uint64_t)value << shift;
    return true;
}

static bool parse_bool(const char *text, bool *ret) {
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true},   {"yes", true}, {"on", true},   {"1", true},
                 {"false", false}, {"no", false}, {"off", false}, {"0", false}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(text, words[i].word) == 0) {
            *ret = words[i].value;
            return true;
        }
    return false;
}

static int set(struct config *config, const struct setting *setting, const char *text,
               const char *where, struct err *err) {
    char *to = (char *)config + setting->offset;
    uint64_t number;
    switch (setting->kind) {
    case SETTING_TEXT: {
        const char *copy = arena_strdup(config->arena, text);
        if (!copy)
            return err_set(err, ERR_NO_MEMORY, "no memory for the settings");
        *(const char **)(void *)to = copy;
        return 0;
    }
    case SETTING_BOOL:
        if (!parse_bool(text, (bool *)(void *)to))
            return err_set(err, ERR_BAD_FIELD, "%s: '%s' takes true or false, not '%s'", where,
                           setting->key, text);
        return 0;
    case SETTING_COUNT:
    case SETTING_SIZE:
        if (!parse_number(text, setting->kind == SETTING_SIZE, &number) || number < setting->min ||
            number > setting->max)
            return err_set(
                err, ERR_BAD_FIELD, "%s: '%s' takes a %s from %llu to %llu, not '%s'", where,
                setting->key, setting->kind == SETTING_SIZE ? "size" : "whole number",
                (unsigned long long)setting->min, (unsigned long long)setting->max, text);
        *(uint64_t *)(void *)to = number;
        return 0;
    }
    return -1;
}

static char *trimmed(char *text) {
    while (isspace((unsigned char)*text))
        text++;
    size_t len = strlen(text);
    while (len && isspace((unsigned char)text[len - 1]))
        text[--len] = 0;
    return text;
}

/* Cuts a comment off: a '#' at the start or behind white space; one inside a word belongs to it. */
static void cut_comment(char *line) {
    for (char *at = line; (at = strchr(at, '#')); at++)
        if (at == line || isspace((unsigned char)at[-1])) {
            *at = 0;
            return;
        }
}

static int load_file(struct config *config, const char *path, struct err *err) {
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set_errno(err, ERR_IO, errno, "configuration %s", path);
    char line[4096], where[300];
    int result = 0;
    for (unsigned number = 1; result == 0 && fgets(line, sizeof line, file); number++) {
        snprintf(where, sizeof where, "%.280s:%u", path, number);
        if (!strchr(line, '\n') && !feof(file)) {
            result = err_set(err, ERR_BAD_FIELD, "%s: the line is longer than %zu bytes", where,
                             sizeof line - 2);
            break;
        }
        cut_comment(line);
        char *key = trimmed(line);
        if (!*key)
            continue;
        char *equals = strchr(key, '=');
        if (!equals) {
            result = err_set(err, ERR_BAD_FIELD, "%s: expected key = value", where);
            break;
        }
        *equals = 0;
        key = trimmed(key);
        const struct setting *setting = find(key);
        result = setting ? set(config, setting, trimmed(equals + 1), where, err)
                         : unknown(key, where, err);
    }
    fclose(file);
    return result;
}

static int load_environment(struct config *config, struct err *err) {
    for (size_t i = 0; i < setting_count; i++) {
        char name[64] = "COMPRESSD_";
        size_t at = strlen(name);
        for (const char *c = settings[i].key; *c; c++)
            name[at++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
        name[at] = 0;
        const char *value = getenv(name);
        if (value && set(config, &settings[i], value, name, err) < 0)
            return -1;
    }
    return 0;
}

/* One flag; *at moves past its value. */
static int load_flag(struct config *config, int argc, const char *const *argv, int *at,
                     struct err *err) {
    const char *word = argv[*at];
    if (strncmp(word, "--", 2) != 0)
        return err_set(err, ERR_BAD_FIELD, "'%s' is not a setting; see --help", word);
    char key[64];
    const char *equals = strchr(word, '=');
    size_t len = equals ? (size_t)(equals - word) - 2 : strlen(word) - 2;
    snprintf(key, sizeof key, "%.*s", (int)(len < 63 ? len : 63), word + 2);
    if (strcmp(key, "config") == 0) { /* read before all others: see config_load */
        if (!equals && ++*at >= argc)
            return err_set(err, ERR_BAD_FIELD, "command line: '--config' needs a value");
        return 0;
    }
    const struct setting *setting = find(key);
    if (!setting)
        return unknown(key, "command line", err);
    if (equals)
        return set(config, setting, equals + 1, "command line", err);
    if (setting->kind == SETTING_BOOL)
        return set(config, setting, "true", "command line", err);
    if (*at + 1 >= argc)
        return err_set(err, ERR_BAD_FIELD, "command line: '--%s' needs a value", key);
    return set(config, setting, argv[++*at], "command line", err);
}

static const char *config_path(int argc, const char *const *argv) {
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--config=", 9) == 0)
            return argv[i] + 9;
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            return argv[i + 1];
    }
    const char *path = getenv("COMPRESSD_CONFIG");
    if (path)
        return path;
    return access("/etc/compressd/compressd.conf", R_OK) == 0 ? "/etc/compressd/compressd.conf"
                                                              : NULL;
}

static int default_data(struct config *config, struct err *err) {
    const char *state = getenv("STATE_DIRECTORY"); /* set by systemd */
    const char *xdg = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    config->data = state && *state ? arena_strdup(config->arena, state)
                   : xdg && *xdg   ? arena_printf(config->arena, "%s/compressd", xdg)
                   : home && *home ? arena_printf(config->arena, "%s/.local/share/compressd", home)
                                   : NULL;
    return config->data
               ? 0
               : err_set(err, ERR_BAD_FIELD, "no home directory is known: say --data DIRECTORY");
}

int config_load(int argc, const char *const *argv, struct config *ret, struct err *err) {
    *ret = (struct config){.arena = arena_new(1 * MIB)};
    if (!ret->arena)
        return err_set(err, ERR_NO_MEMORY, "no memory for the settings");
    for (size_t i = 0; i < setting_count; i++)
        if (settings[i].standard &&
            set(ret, &settings[i], settings[i].standard, "default", err) < 0)
            return -1;
    const char *path = config_path(argc, argv);
    if (path && load_file(ret, path, err) < 0)
        return -1;
    if (load_environment(ret, err) < 0)
        return -1;
    for (int i = 0; i < argc; i++)
        if (load_flag(ret, argc, argv, &i, err) < 0)
            return -1;
    return ret->data ? 0 : default_data(ret, err);
}

void config_free(struct config *config) {
    arena_free(config->arena);
    *config = (struct config){0};
}

static const char *const kind_words[] = {"TEXT", "[=false]", "COUNT", "SIZE"};

void config_print_help(FILE *out) {
    fprintf(out,
            "  --config FILE           settings file; default /etc/compressd/compressd.conf\n");
    for (size_t i = 0; i < setting_count; i++) {
        char flag[40];
        bool is_flag = settings[i].kind == SETTING_BOOL; /* stands alone, or as --key=false */
        snprintf(flag, sizeof flag, "--%s%s%s", settings[i].key, is_flag ? "" : " ",
                 kind_words[settings[i].kind]);
        fprintf(out, "  %-23s %s", flag, settings[i].doc);
        if (settings[i].standard && settings[i].standard[0])
            fprintf(out, " [%s]", settings[i].standard);
        fputc('\n', out);
    }
}

void config_print_sample(FILE *out) {
    fprintf(out,
            "# Settings of compressd, all at their defaults. The environment (COMPRESSD_KEY) wins "
            "over\n# this file, a flag (--key) over both.\n");
    for (size_t i = 0; i < setting_count; i++)
        fprintf(out, "\n# %s\n# %s = %s\n", settings[i].doc, settings[i].key,
                settings[i].standard ? settings[i].standard : "");
}

int config_split_listen(const struct config *config, const char **ret_host, uint16_t *ret_port,
                        struct err *err) {
    const char *text = config->listen;
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (!colon || colon == text || !parse_number(colon + 1, false, &port) || port > 65535)
        return err_set(err, ERR_BAD_FIELD, "'listen' takes HOST:PORT, not '%s'", text);
    size_t len = (size_t)(colon - text);
    if (text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    *ret_host = arena_strndup(config->arena, text, len);
    *ret_port = (uint16_t)port;
    return *ret_host ? 0 : err_set(err, ERR_NO_MEMORY, "no memory for the settings");
}
