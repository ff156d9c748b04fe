/*
 * compress: the whole job on this machine, without a server. Plan, write beside the output, verify,
 * rename.
 */
#include "compress/base/dir_outputs.h"
#include "compress/base/dirfiles.h"
#include "compress/base/limits.h"
#include "compress/formats/format.h"
#include "compress/graph/arch.h"
#include "compress/recipe/pipeline.h"
#include "daemon/beside.h"
#include "daemon/ctl_metrics.h"
#include "daemon/ctl_out.h"
#include "daemon/ctl_recipe.h"
#include "daemon/ctl_verbs.h"
#include "daemon/term.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FINDINGS_ARENA_BYTES ((size_t)4 << 20)

/* Set by SIGINT, SIGTERM and SIGHUP: the work stops at its next tile and leaves nothing behind. */
static volatile sig_atomic_t stop_asked;

static void ask_stop(int number) {
    (void)number;
    stop_asked = 1;
}

static bool is_stopped(void *self) {
    (void)self;
    return stop_asked != 0;
}

static void catch_signals(void) {
    struct sigaction action = {.sa_handler = ask_stop, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

struct data {
    const char *name; /* or NULL: none */
    struct resolver *files;
};

struct compressing {
    const struct ctl_call *call;
    const char *model_path, *out_path;
    bool json, quiet;
    struct arena *arena; /* recipe and findings */
    struct violations findings;
    struct resolver *files;
    struct data evaluation, calibration;
    struct recipe *recipe;
    struct plan *plan;
    struct team *team;
    struct beside *beside;
    struct dir_outputs *outputs;
    struct report *report;
    struct term *term;
};

static void show_progress(void *self, const struct progress_state *state) {
    term_progress(((struct compressing *)self)->term, state);
}

static void print_owned(char *text) {
    if (text)
        puts(text);
    fflush(stdout);
    free(text);
}

/* {"type": ..., "data": <document>}, one line. */
static void print_event(const char *type, char *document) {
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_string(&b, "type", type);
    jbuf_kv_raw(&b, "data", document);
    jbuf_object_end(&b);
    free(document);
    print_owned(jbuf_take(&b, NULL));
}

static const char *last_name(const char *path) {
    const char *end = path + strlen(path);
    while (end > path + 1 && end[-1] == '/')
        end--;
    const char *start = end;
    while (start > path && start[-1] != '/')
        start--;
    return start;
}

/* "tiny-llama" of "models/tiny-llama/": for the model card; NULL for "." and the like. */
static const char *source_name(struct arena *arena, const char *path) {
    const char *start = last_name(path);
    size_t len = strcspn(start, "/");
    if (len == 0 || start[0] == '.')
        return NULL;
    return arena_strndup(arena, start, len);
}

/* As in a job, --dataset serves every purpose that the recipe names no other for. Without a server
 * the name of a set is its path. */
static int open_data(const struct compressing *c, const struct recipe_data *wanted,
                     struct data *ret, struct err *err) {
    ret->name = wanted->dataset ? wanted->dataset : ctl_text(c->call, "dataset");
    if (!ret->name || dirfiles_open(ret->name, true, &ret->files, err) == 0)
        return 0;
    return wanted->dataset ? err_at_pointer(err, "%s/dataset", wanted->pointer) : -1;
}

static int make_plan(struct compressing *c, struct err *err) {
    c->arena = arena_new(LIMIT_RECIPE_ARENA_BYTES + FINDINGS_ARENA_BYTES);
    if (!c->arena)
        return err_set(err, ERR_NO_MEMORY, "no memory to start");
    violations_init(&c->findings, c->arena);
    long threads = ctl_number(c->call, "threads", 0);
    c->team = team_new((unsigned)threads, 0);
    if (!c->team)
        return err_set(err, ERR_NO_MEMORY, "cannot start %ld threads", threads);
    struct plan_limits limits = {
        .memory_bytes = ctl_size(c->call, "memory"),
        .threads = team_threads(c->team),
    };
    if (ctl_recipe_load(ctl_text(c->call, "recipe"), ctl_flag(c->call, "requantize"), c->arena,
                        &c->findings, &c->recipe, err) < 0 ||
        dirfiles_open(c->model_path, true, &c->files, err) < 0)
        return -1;
    if (open_data(c, &c->recipe->evaluation, &c->evaluation, err) < 0 ||
        open_data(c, &c->recipe->calibration, &c->calibration, err) < 0)
        return -1;
    limits.evaluation = c->evaluation.files;
    limits.calibration = c->calibration.files;
    return plan_new(c->files, c->recipe, source_name(c->arena, c->model_path), &limits,
                    &c->findings, &c->plan, err);
}

/* --force replaces models, not whatever a slip of the hand has named. */
static int check_replaced(const struct compressing *c, struct err *err) {
    struct stat out, source;
    size_t len = strlen(c->out_path);
    if (stat(c->out_path, &out) < 0 || (c->plan->layout.lone && c->out_path[len - 1] == '/'))
        return 0; /* or the file comes into that folder */
    if (stat(c->model_path, &source) == 0 && out.st_dev == source.st_dev &&
        out.st_ino == source.st_ino)
        return err_set(err, ERR_EXISTS, "%s is the source itself", c->out_path);
    if (!S_ISDIR(out.st_mode) || !ctl_flag(c->call, "force"))
        return 0;
    struct resolver *files = NULL;
    struct model *model = NULL;
    struct err why = ERR_INIT;
    if (dirfiles_open(c->out_path, true, &files, &why) == 0)
        format_open(files, &model, &why);
    bool is_model = model != NULL;
    model_free(model);
    resolver_close(files);
    if (is_model)
        return 0;
    return err_set(err, ERR_EXISTS, "%s is a folder without a model; --force does not replace it",
                   c->out_path);
}

/* Before the work, whose result it would lose. */
static int check_report(const struct compressing *c, struct err *err) {
    const char *path = ctl_text(c->call, "report");
    struct stat st;
    if (!path)
        return 0;
    bool exists = stat(path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode))
        return err_set(err, ERR_BAD_REQUEST, "--report takes a file, and %s is a folder", path);
    int fd = open(path, O_WRONLY | O_CLOEXEC | (exists ? 0 : O_CREAT | O_EXCL), 0666);
    if (fd < 0)
        return err_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                             "cannot write the report to %s", path);
    close(fd);
    if (!exists)
        unlink(path);
    return 0;
}

static int open_outputs(struct compressing *c, struct err *err) {
    const struct layout *layout = &c->plan->layout;
    const char *name = layout->lone ? last_name(layout->files[0].path) : "model";
    if (check_replaced(c, err) < 0 ||
        beside_new(c->out_path, name, !layout->lone, ctl_flag(c->call, "force"),
                   c->plan->disk_bytes, &c->beside, err) < 0)
        return -1;
    return dir_outputs_new(beside_path(c->beside), layout->lone, &c->outputs, err);
}

/* Of the sets that are read; a server knows them already. */
static int digest_set(const struct compressing *c, const struct data *set,
                      const struct digest **ret, struct err *err) {
    struct digest *digests = ARENA_ARRAY(c->arena, struct digest, set->files->count + 1);
    if (!digests)
        return err_set(err, ERR_NO_MEMORY, "no memory for digests");
    for (size_t i = 0; i < set->files->count; i++)
        if (resolver_digest(set->files, i, &digests[i], err) < 0)
            return err_context(err, "dataset %s", set->name);
    *ret = digests;
    return 0;
}

static int run_pipeline(struct compressing *c, struct err *err) {
    struct progress progress = {
        .self = c,
        .report = show_progress,
        .is_cancelled = is_stopped,
    };
    struct pipeline_env env = {
        .team = c->team,
        .progress = &progress,
        .evaluation_name = c->evaluation.name,
        .calibration_name = c->calibration.name,
    };
    if ((c->plan->calibration &&
         digest_set(c, &c->calibration, &env.calibration_digests, err) < 0) ||
        (c->plan->evaluation && digest_set(c, &c->evaluation, &env.evaluation_digests, err) < 0))
        return -1;
    return pipeline_run(c->plan, dir_outputs_base(c->outputs), &env, &c->report, err);
}

/* ---- what a person sees ---- */

struct kind {
    const char *scheme;
    size_t tensors;
    uint64_t bytes;
    double worst_db;
    bool copied;
};

#define KINDS_MAX 32

static size_t collect_kinds(const struct report *r, struct kind *kinds) {
    size_t count = 0;
    for (size_t i = 0; i < r->tensor_count; i++) {
        const struct report_tensor *t = &r->tensors[i];
        size_t at = 0;
        while (at < count && at < KINDS_MAX - 1 &&
               !(strcmp(kinds[at].scheme, t->scheme) == 0 && kinds[at].copied == t->copied))
            at++;
        if (at == count)
            kinds[count++] =
                (struct kind){.scheme = t->scheme, .worst_db = INFINITY, .copied = t->copied};
        kinds[at].tensors++;
        kinds[at].bytes += t->bytes;
        if (t->measured && t->sqnr_db < kinds[at].worst_db)
            kinds[at].worst_db = t->sqnr_db;
    }
    return count;
}

static void print_kinds(const struct report *r) {
    struct kind kinds[KINDS_MAX];
    size_t count = collect_kinds(r, kinds);
    printf("\n  %-28s %8s %10s   %s\n", "format", "tensors", "size", "worst SQNR");
    for (size_t i = 0; i < count; i++) {
        char bytes[32], db[32] = "exact", name[64];
        if (isfinite(kinds[i].worst_db))
            snprintf(db, sizeof db, "%.1f dB", kinds[i].worst_db);
        snprintf(name, sizeof name, "%s%s", kinds[i].scheme, kinds[i].copied ? " (as it was)" : "");
        printf("  %-28s %8zu %10s   %s\n", name, kinds[i].tensors,
               term_bytes(kinds[i].bytes, bytes, sizeof bytes), db);
    }
    putchar('\n');
}

static void print_evaluation(const struct report *r) {
    if (!r->after)
        return;
    putchar('\n');
    ctl_metrics_head(stdout, "  ", r->evaluation_name, r->after->samples);
    for (size_t id = 0; id < METRIC_COUNT; id++) {
        const struct evaluation_metric *before = &r->before->metrics[id];
        const struct evaluation_metric *after = &r->after->metrics[id];
        if (after->present)
            ctl_metrics_row(stdout, "  ", metric_at(id)->name, metric_at(id)->unit,
                            before->present ? &before->value.value : NULL, after->value.value);
    }
    if (r->before->latency_runs && r->after->latency_runs)
        ctl_metrics_row(stdout, "  ", "latency", "ms", &r->before->latency_ms[1],
                        r->after->latency_ms[1]);
    putchar('\n');
}

static void print_calibration(const struct report *r) {
    if (r->calibrated)
        printf("  calibrated    %zu values on %" PRIu64 " samples of %s (%s)\n",
               r->calibration.range_count, r->calibration.samples,
               r->calibration_name ? r->calibration_name : "a set",
               calibrate_method_name(r->calibration_method));
}

static void print_summary(const struct compressing *c) {
    const struct report *r = c->report;
    char in[32], out[32], a[32], b[32];
    double ratio = r->bytes_out ? (double)r->bytes_in / (double)r->bytes_out : 0;
    printf("%s -> %s  (%s", c->model_path, beside_out(c->beside),
           c->plan->model->format->writes_as);
    if (c->plan->model->architecture[0])
        printf(", %s", c->plan->model->architecture);
    printf(", %s parameters)\n", term_count(r->parameters_before, a, sizeof a));
    print_kinds(r);
    printf("  size          %s -> %s, ratio %.2f\n", term_bytes(r->bytes_in, in, sizeof in),
           term_bytes(r->bytes_out, out, sizeof out), ratio);
    printf("  bits/weight   %.2f\n", r->bits_per_weight);
    if (r->worst_tensor)
        printf("  worst tensor  %s, %.1f dB%s\n", r->worst_tensor, r->worst_sqnr_db,
               r->requantized ? " (against the decoded source)" : "");
    printf("  verified      every tensor read back and compared; SHA-256 of %zu file%s\n",
           r->file_count, r->file_count == 1 ? "" : "s");
    if (r->file_count == 1) {
        char hex[DIGEST_HEX_LEN + 1];
        digest_hex(&r->files[0].sha256, hex);
        printf("  sha256        %s\n", hex);
    }
    print_calibration(r);
    print_evaluation(r);
    double seconds = 0;
    uint64_t peak = 0;
    for (size_t i = 0; i < r->stage_count; i++) {
        seconds += r->stages[i].seconds;
        if (r->stages[i].peak_bytes > peak)
            peak = r->stages[i].peak_bytes;
    }
    printf("  time          %s", term_seconds(seconds, a, sizeof a));
    for (size_t i = 0; i < r->stage_count; i++)
        printf("%s%s %s", i ? ", " : " (", r->stages[i].name,
               term_seconds(r->stages[i].seconds, b, sizeof b));
    printf("), buffers %s\n", term_bytes(peak, b, sizeof b));
}

static void print_warnings(const struct violations *warnings) {
    for (size_t i = 0; i < warnings->count; i++)
        ctl_print_violation("warning", &warnings->items[i], stderr);
}

static void print_plan(const struct compressing *c) {
    char in[32], out[32], peak[32], time[32];
    printf("would write %s -> %s, ratio %.2f, in about %s with %s of memory\n",
           term_bytes(c->plan->bytes_in, in, sizeof in),
           term_bytes(c->plan->bytes_out, out, sizeof out), c->plan->ratio,
           term_seconds(c->plan->seconds, time, sizeof time),
           term_bytes(c->plan->peak_bytes, peak, sizeof peak));
    for (size_t i = 0; i < c->plan->layout.count; i++)
        printf("  %-40s %s\n", c->plan->layout.files[i].path,
               term_bytes(c->plan->layout.files[i].bytes, out, sizeof out));
}

static int write_report(const struct compressing *c, struct err *err) {
    const char *path = ctl_text(c->call, "report");
    if (!path)
        return 0;
    size_t len;
    char *text = report_json(c->report, &len);
    if (!text)
        return err_set(err, ERR_NO_MEMORY, "no memory for the report");
    FILE *f = fopen(path, "we");
    bool ok = f && fwrite(text, 1, len, f) == len && fputc('\n', f) != EOF;
    ok = (f ? fclose(f) == 0 : false) && ok;
    free(text);
    return ok ? 0 : err_set_errno(err, ERR_IO, errno, "cannot write the report to %s", path);
}

static void show_result(const struct compressing *c) {
    if (c->json)
        print_event("result", report_json(c->report, NULL));
    else if (!c->quiet)
        print_summary(c);
    if (!c->json)
        print_warnings(&c->report->warnings);
}

static void release(struct compressing *c) {
    report_free(c->report);
    dir_outputs_free(c->outputs);
    beside_free(c->beside);
    plan_free(c->plan);
    resolver_close(c->evaluation.files);
    resolver_close(c->calibration.files);
    resolver_close(c->files);
    team_free(c->team);
    arena_free(c->arena);
    term_free(c->term);
}

static int run(const struct ctl_call *call) {
    struct compressing c = {
        .call = call,
        .model_path = call->args[0],
        .out_path = ctl_text(call, "output"),
        .json = ctl_flag(call, "json"),
        .quiet = ctl_flag(call, "quiet"),
    };
    struct err err = ERR_INIT;
    bool working = false;
    int code = CTL_DONE;
    if (!c.out_path && !ctl_flag(call, "dry-run")) {
        err_set(&err, ERR_BAD_REQUEST, "compress needs --output OUT (or --dry-run)");
        goto fail;
    }
    if (check_report(&c, &err) < 0 ||
        (!ctl_flag(call, "dry-run") &&
         beside_check(c.out_path, c.model_path, ctl_flag(call, "force"), &err) < 0) ||
        make_plan(&c, &err) < 0)
        goto fail;
    if (c.json)
        print_event("plan", plan_json(c.plan, NULL));
    if (ctl_flag(call, "dry-run")) {
        if (!c.json) {
            print_plan(&c);
            print_warnings(&c.plan->warnings);
        }
        goto out;
    }
    catch_signals(); /* from here on there is something to remove */
    if (open_outputs(&c, &err) < 0)
        goto fail;
    c.term = term_new(c.json ? stdout : stderr, c.quiet  ? TERM_SILENT
                                                : c.json ? TERM_JSON
                                                         : TERM_AUTO);
    working = true;
    if (run_pipeline(&c, &err) < 0 ||
        progress_check(&(struct progress){.is_cancelled = is_stopped}, &err) < 0 ||
        beside_publish(c.beside, &err) < 0 || write_report(&c, &err) < 0)
        goto fail;
    if (c.term)
        term_clear(c.term);
    show_result(&c);
    goto out;

fail:
    if (c.term)
        term_clear(c.term);
    code = ctl_fail(&err, &c.findings, c.json, working);
out:
    release(&c);
    return code;
}

static const struct ctl_option options[] = {
    {.name = "recipe",
     .letter = 'r',
     .kind = CTL_TEXT,
     .value = "NAME|FILE",
     .required = true,
     .doc = "A built-in recipe, a file, or the JSON itself."},
    {.name = "output",
     .letter = 'o',
     .kind = CTL_TEXT,
     .value = "OUT",
     .doc = "The file or folder to write; must not exist."},
    {.name = "force", .letter = 'f', .kind = CTL_FLAG, .doc = "Replace OUT."},
    {.name = "dataset",
     .letter = 'd',
     .kind = CTL_TEXT,
     .value = "DATA",
     .doc = "Calibrate with it, measure original and result on it (ONNX)."},
    {.name = "requantize", .kind = CTL_FLAG, .doc = "Accept a source that is already quantized."},
    {.name = "report",
     .kind = CTL_TEXT,
     .value = "FILE",
     .doc = "Write the report, as JSON, to FILE."},
    {.name = "threads",
     .letter = 't',
     .kind = CTL_NUMBER,
     .value = "N",
     .min = 1,
     .max = 1024,
     .doc = "Threads to use; default: one per core."},
    {.name = "memory",
     .kind = CTL_SIZE,
     .value = "SIZE",
     .min = 1 << 20,
     .doc = "Refuse when more memory would be needed: 512M, 4G."},
    {.name = "dry-run",
     .letter = 'n',
     .kind = CTL_FLAG,
     .doc = "Check and say what would come out; write nothing."},
};

const struct ctl_verb ctl_compress = {
    .name = "compress",
    .args = "MODEL",
    .doc = "Compress a model file or folder on this machine.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .min_args = 1,
    .max_args = 1,
    .run = run,
    .more =
        "compressctl recipes lists the built-in recipes. OUT appears only when it is complete\n"
        "and verified. --json prints one object per line: plan, progress ..., result or error.\n"
        "Links to files are followed, wherever they lead; links to folders are refused.\n",
};
