/* See tinyjob.h. */
#include "tests/support/tinyjob.h"

#include "compress/base/dir_outputs.h"
#include "compress/base/dirfiles.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct running {
    struct arena *arena;
    struct violations list;
    struct recipe *recipe;
    struct resolver *files, *sets[2];
    struct plan *plan;
    struct team *team;
    struct dir_outputs *outputs;
};

static int plan(struct running *r, const struct tinyjob *job, struct violations *list,
                struct err *err) {
    r->arena = arena_new((size_t)16 << 20);
    if (!r->arena)
        return err_set(err, ERR_NO_MEMORY, "no arena");
    violations_init(&r->list, r->arena);
    list = list ? list : &r->list;
    int result = job->recipe[0] == '{' ? recipe_parse(job->recipe, strlen(job->recipe), r->arena,
                                                      list, &r->recipe, err)
                                       : recipe_preset(job->recipe, r->arena, &r->recipe, err);
    if (result == 0)
        result = dirfiles_open(job->in, false, &r->files, err);
    for (size_t i = 0; result == 0 && job->set && i < 2; i++)
        result = dirfiles_open(job->set, false, &r->sets[i], err);
    struct plan_limits limits = {.memory_bytes = job->memory_bytes,
                                 .threads = job->threads,
                                 .calibration = r->sets[0],
                                 .evaluation = r->sets[1]};
    if (result == 0)
        result = plan_new(r->files, r->recipe, "tiny", &limits, list, &r->plan, err);
    return result;
}

static int work(struct running *r, const struct tinyjob *job, struct report **ret,
                struct err *err) {
    bool lone = r->plan->layout.lone;
    if (job->threads) {
        r->team = team_new(job->threads, 0);
        if (!r->team)
            return err_set(err, ERR_NO_MEMORY, "no team");
    }
    if (!lone)
        mkdir(job->out, 0777);
    struct pipeline_env env = {
        .team = r->team,
        .progress = job->progress,
        .before_verify = job->before_verify,
        .before_verify_self = job->before_verify_self,
    };
    struct report *report = NULL;
    int result = dir_outputs_new(job->out, lone, &r->outputs, err);
    if (result == 0)
        result = pipeline_run(r->plan, dir_outputs_base(r->outputs), &env, &report, err);
    if (result == 0 && ret)
        *ret = report;
    else
        report_free(report);
    if (result < 0 && r->outputs)
        dir_outputs_discard(r->outputs);
    if (result < 0 && !lone)
        rmdir(job->out);
    return result;
}

int tinyjob_run(const struct tinyjob *job, struct violations *list, struct report **ret,
                struct err *err) {
    struct running r = {0};
    int result = plan(&r, job, list, err);
    if (result == 0)
        result = work(&r, job, ret, err);
    dir_outputs_free(r.outputs);
    team_free(r.team);
    plan_free(r.plan);
    resolver_close(r.files);
    resolver_close(r.sets[0]);
    resolver_close(r.sets[1]);
    arena_free(r.arena);
    return result;
}
