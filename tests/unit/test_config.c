/* Settings: sources and their order, kinds, refusals, and the sample file that must load unchanged.
 */
#include "daemon/config.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void clear_environment(void) {
    unsetenv("COMPRESSD_LISTEN");
    unsetenv("COMPRESSD_CONFIG");
    setenv("HOME", "/home/nobody", 1);
    unsetenv("XDG_DATA_HOME");
    unsetenv("STATE_DIRECTORY");
}

static int load(struct config *config, struct err *err, const char *const *words) {
    int count = 0;
    while (words[count])
        count++;
    *err = ERR_INIT;
    return config_load(count, words, config, err);
}

static void defaults_stand(void **state) {
    struct config config;
    struct err err;
    clear_environment();
    assert_int_equal(load(&config, &err, (const char *[]){NULL}), 0);
    assert_string_equal(config.listen, "127.0.0.1:8080");
    assert_string_equal(config.data, "/home/nobody/.local/share/compressd");
    assert_int_equal(config.max_connections, 4000);
    assert_int_equal(config.low_water, 256u << 20);
    assert_false(config.allow_open);
    config_free(&config);
    setenv("STATE_DIRECTORY", "/var/lib/compressd", 1);
    assert_int_equal(load(&config, &err, (const char *[]){NULL}), 0);
    assert_string_equal(config.data, "/var/lib/compressd");
    config_free(&config);
}

static void flag_beats_environment_beats_file(void **state) {
    char path[] = "/tmp/test_config_XXXXXX";
    int fd = mkstemp(path);
    const char text[] = "# comment\nlisten = file:1\n jobs=3 # three\nmemory = 2G\n";
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    struct config config;
    struct err err;
    clear_environment();
    setenv("COMPRESSD_CONFIG", path, 1);
    assert_int_equal(load(&config, &err, (const char *[]){NULL}), 0);
    assert_string_equal(config.listen, "file:1");
    assert_int_equal(config.jobs, 3);
    assert_int_equal(config.memory, UINT64_C(2) << 30);
    config_free(&config);
    setenv("COMPRESSD_LISTEN", "environment:2", 1);
    assert_int_equal(load(&config, &err, (const char *[]){NULL}), 0);
    assert_string_equal(config.listen, "environment:2");
    config_free(&config);
    assert_int_equal(
        load(&config, &err, (const char *[]){"--listen", "flag:3", "--allow-open", NULL}), 0);
    assert_string_equal(config.listen, "flag:3");
    assert_true(config.allow_open);
    config_free(&config);
    clear_environment();
    unlink(path);
}

static void load_text(const char *text, size_t len, struct config *config, int want,
                      struct err *err) {
    char path[] = "/tmp/test_config_XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, len), len);
    close(fd);
    clear_environment();
    assert_int_equal(load(config, err, (const char *[]){"--config", path, NULL}), want);
    unlink(path);
}

static void a_hash_inside_a_word_is_no_comment(void **state) {
    const char text[] = "data = /srv/models#2 # the second disk\n#jobs = 3\n\t# jobs = 4\n";
    struct config config;
    struct err err;
    load_text(text, sizeof text - 1, &config, 0, &err);
    assert_string_equal(config.data, "/srv/models#2");
    assert_int_equal(config.jobs, 0);
    config_free(&config);
}

/* Not cut in two, whose second half would be another setting. */
static void a_line_too_long_is_refused(void **state) {
    static char text[6000];
    struct config config;
    struct err err;
    memset(text, ' ', sizeof text);
    memcpy(text, "listen = here:1", 15);
    memcpy(text + 4095, "jobs = 3", 8);
    load_text(text, sizeof text, &config, -1, &err);
    CHECK_HOLDS(err.text, ":1: the line is longer");
    config_free(&config);
}

static void a_flag_without_its_value_is_refused(void **state) {
    struct config config;
    struct err err;
    clear_environment();
    assert_int_equal(load(&config, &err, (const char *[]){"--config", NULL}), -1);
    CHECK_HOLDS(err.text, "'--config' needs a value");
    config_free(&config);
    assert_int_equal(load(&config, &err, (const char *[]){"--memory", " -5", NULL}), -1);
    CHECK_HOLDS(err.text, "takes a size");
    config_free(&config);
}

static void what_is_wrong_is_named(void **state) {
    static const struct {
        const char *words[4];
        const char *says;
    } cases[] = {
        {{"--lisen", "x:1", NULL}, "did you mean 'listen'"},
        {{"--jobs", "many", NULL}, "'jobs' takes a whole number"},
        {{"--jobs", "65", NULL}, "to 64"},
        {{"--memory", "12Q", NULL}, "'memory' takes a size"},
        {{"--memory", "-1", NULL}, "'memory' takes a size"},
        {{"--jobs", NULL}, "needs a value"},
        {{"--allow-open=perhaps", NULL}, "true or false"},
        {{"stray", NULL}, "not a setting"},
        {{"--config", "/nonexistent/x", NULL}, "/nonexistent/x"},
    };
    clear_environment();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct config config;
        struct err err;
        assert_int_equal(load(&config, &err, cases[i].words), -1);
        if (!strstr(err.text, cases[i].says))
            fail_msg("expected '%s' in '%s'", cases[i].says, err.text);
        config_free(&config);
    }
}

static void listen_is_split(void **state) {
    struct config config;
    struct err err;
    const char *host;
    uint16_t port;
    clear_environment();
    assert_int_equal(load(&config, &err, (const char *[]){"--listen=[::1]:99", NULL}), 0);
    assert_int_equal(config_split_listen(&config, &host, &port, &err), 0);
    assert_string_equal(host, "::1");
    assert_int_equal(port, 99);
    config_free(&config);
    static const char *const bad[] = {"--listen=nohost", "--listen=:80", "--listen=a:70000",
                                      "--listen=a:"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(load(&config, &err, (const char *[]){bad[i], NULL}), 0);
        assert_int_equal(config_split_listen(&config, &host, &port, &err), -1);
        config_free(&config);
    }
}

/* The sample with every comment sign in front of a setting taken away loads and changes nothing. */
static void sample_is_the_defaults(void **state) {
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    config_print_sample(out);
    fclose(out);
    char path[] = "/tmp/test_config_XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");
    CHECK(file);
    unsigned count = 0;
    for (char *rest = text, *line = strtok_r(rest, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        bool is_setting = strstr(line, " = ") && strncmp(line, "# data", 6) != 0 &&
                          strncmp(line, "# file", 6) != 0 && strchr(line, '(') == NULL;
        count += is_setting;
        fprintf(file, "%s\n", is_setting ? line + 2 : line);
    }
    fclose(file);
    assert_true(count >= 12);
    struct config config, standard;
    struct err err;
    clear_environment();
    assert_int_equal(load(&standard, &err, (const char *[]){NULL}), 0);
    assert_int_equal(load(&config, &err, (const char *[]){"--config", path, NULL}), 0);
    assert_string_equal(config.listen, standard.listen);
    assert_int_equal(config.max_upload, standard.max_upload);
    assert_int_equal(config.max_streams, standard.max_streams);
    assert_int_equal(config.min_body_rate, standard.min_body_rate);
    config_free(&config);
    config_free(&standard);
    unlink(path);
    free(text);
}

/* A switch is shown as what it is, and can be switched off again where a file has it on. */
static void switches(void **state) {
    struct config config;
    struct err err = ERR_INIT;
    assert_int_equal(
        load(&config, &err, (const char *[]){"--allow-open=true", "--allow-open=false", NULL}), 0);
    assert_false(config.allow_open);
    config_free(&config);
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    config_print_help(out);
    fclose(out);
    assert_non_null(strstr(text, "--allow-open[=false] "));
    assert_non_null(strstr(text, "--memory SIZE "));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(switches),
        cmocka_unit_test(defaults_stand),
        cmocka_unit_test(flag_beats_environment_beats_file),
        cmocka_unit_test(a_hash_inside_a_word_is_no_comment),
        cmocka_unit_test(a_line_too_long_is_refused),
        cmocka_unit_test(a_flag_without_its_value_is_refused),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(listen_is_split),
        cmocka_unit_test(sample_is_the_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
