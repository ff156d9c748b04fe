"""kill -9 at random moments while uploads, submits, cancels and two long jobs run.

After every start: whatever was answered with 200, 201, 202 or 204 is there, every blob has its row
and every row its file. In the end all jobs succeed and their artifacts are, byte for byte, those of
a daemon that nobody disturbed.

FAULT_KILLS (20), FAULT_MB (64): how often, and the size of the two long jobs' models.
"""

import io
import tarfile
import threading
import time

import rig

KILLS = rig.number("FAULT_KILLS", 20)
LONG = {name: rig.big_model(seed, rig.number("FAULT_MB", 64)) for seed, name in enumerate("ab")}
SMALL = {f"small-{i}": rig.small_model(10 + i) for i in range(4)}
LONG_RECIPES = [("a", "int4-g128"), ("b", "int8")]
SMALL_RECIPES = ("int8", "bf16", "int4-g128")
PAGE = 500


class Promises:
    """What was acknowledged, and what was asked without getting an answer."""

    def __init__(self):
        self.lock = threading.Lock()
        self.blobs = {}  # digest → bytes
        self.models = {}  # name → digests of its files
        self.jobs = {}  # id → (model, recipe)
        self.cancelled = set()
        self.deleted = set()
        self.unanswered = 0

    def note(self, change):
        with self.lock:
            change()


class Load:
    """Clients of one life of the daemon: each thread works until the daemon is gone."""

    def __init__(self, r, promises, round_number):
        self.r, self.promises, self.round = r, promises, round_number
        self.daemon = r.daemon
        self.errors = []
        kinds = (self.put_blobs, self.put_models, self.put_tars, self.submit_small,
                 self.submit_small, self.cancel, self.keep_two_running)
        seeds = [r.rng.randrange(1 << 62) for _ in kinds]
        self.threads = [threading.Thread(target=self.guard, args=(kind, rig.random.Random(seed)))
                        for kind, seed in zip(kinds, seeds)]
        self.over = threading.Event()
        for thread in self.threads:
            thread.start()

    def guard(self, kind, rng):
        try:
            for count in range(10**9):
                if self.over.is_set():
                    return
                kind(rng, f"{self.round}-{kind.__name__}-{count}-{rng.randrange(10**6)}")
        except rig.Gone:
            self.promises.note(lambda: setattr(self.promises, "unanswered",
                                               self.promises.unanswered + 1))
        except Exception as error:
            self.errors.append(f"{kind.__name__}: {error!r}")

    def ask(self, wanted, method, path, *arguments):
        answer = self.daemon.request(method, path, *arguments)
        if answer.status not in wanted:
            raise RuntimeError(f"{method} {path}: {answer}")
        return answer

    def put_blobs(self, rng, _):
        data = rng.randbytes(rng.choice((1, 1000, 300_000, 3_000_000)))
        digest = rig.sha256(data)
        self.ask((200, 201), "PUT", f"/v1/blobs/sha256:{digest}", data)
        self.promises.note(lambda: self.promises.blobs.update({digest: len(data)}))

    def put_models(self, rng, name):
        data = rig.weights(rng.randrange(1 << 30), rng.choice((64, 512)), 512, 2)
        self.ask((200, 201), "PUT", f"/v1/models/{name}", data)
        self.promises.note(lambda: self.promises.models.update({name: {rig.sha256(data)}}))
        time.sleep(rng.uniform(0, 0.05))

    def put_tars(self, rng, name):
        files = {"model.safetensors": rig.weights(rng.randrange(1 << 30), 64, 512, 2),
                 "tokenizer.json": b'{"version": "1.0"}',
                 "notes.txt": rng.randbytes(rng.choice((10, 100_000)))}
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for path, data in files.items():
                info = tarfile.TarInfo(path)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        self.ask((200, 201), "PUT", f"/v1/models/{name}", out.getvalue(),
                 {"Content-Type": "application/x-tar"})
        digests = {rig.sha256(data) for data in files.values()}
        self.promises.note(lambda: self.promises.models.update({name: digests}))
        time.sleep(rng.uniform(0, 0.1))

    def submit(self, model, recipe, priority):
        answer = self.ask((201,), "POST", "/v1/jobs",
                          {"model": model, "recipe": recipe, "priority": priority})
        job = answer.json()["id"]
        self.promises.note(lambda: self.promises.jobs.update({job: (model, recipe)}))
        return job

    def submit_small(self, rng, _):
        self.submit(rng.choice(list(SMALL)), rng.choice(SMALL_RECIPES), rng.choice((1, 5)))
        time.sleep(rng.uniform(0, 0.2))

    def cancel(self, rng, _):
        """A job of its own: cancelled now and then before, now and then after it has begun."""
        job = self.submit("a", "int4-g128", rng.choice((0, 9)))
        time.sleep(rng.uniform(0, 0.3))
        answer = self.ask((200, 202, 409), "POST", f"/v1/jobs/{job}/cancel")
        if answer.status != 409:
            self.promises.note(lambda: self.promises.cancelled.add(job))
        time.sleep(rng.uniform(0, 0.3))

    def keep_two_running(self, rng, _):
        mine = [self.submit(model, recipe, 9) for model, recipe in LONG_RECIPES]
        while not self.over.is_set() and any(
                self.ask((200,), "GET", f"/v1/jobs/{job}").json()["state"] not in rig.TERMINAL
                for job in mine):
            time.sleep(0.05)

    def join(self):
        self.over.set()
        for thread in self.threads:
            thread.join()
        return self.errors


def all_of(r, path):
    """Every item of a list, page by page."""
    items, query = [], f"?limit={PAGE}"
    while True:
        page = r.request("GET", path + query).json()
        items += page["items"]
        if not page["next"]:
            return items
        query = f"?limit={PAGE}&cursor={page['next']}"


def everything_is_there(r, promises, where):
    models = {m["name"] for m in all_of(r, "/v1/models")}
    lost = sorted(set(promises.models) - models)
    r.equal(lost, [], f"{where}: {len(promises.models)} models are there")
    jobs = {j["id"]: j for j in all_of(r, "/v1/jobs")}
    lost = sorted(set(promises.jobs) - set(jobs))
    r.equal(lost, [], f"{where}: {len(promises.jobs)} jobs are there")
    undone = {j: jobs[j]["state"] for j in promises.cancelled
              if j in jobs and jobs[j]["state"] not in ("cancelling", "cancelled")}
    r.equal(undone, {}, f"{where}: {len(promises.cancelled)} cancels hold")
    failed = {j: jobs[j]["problem"] for j in jobs if jobs[j]["state"] == "failed"}
    r.equal(failed, {}, f"{where}: no job has failed")
    rows = dict(r.query("SELECT digest, bytes FROM blob"))
    held = {row[0] for row in r.query("SELECT digest FROM team_blob")}
    lost = [d for d, size in promises.blobs.items() if rows.get(d) != size or d not in held]
    r.equal(lost, [], f"{where}: {len(promises.blobs)} blobs are there")
    r.rows_match_files(where)


def spot_checks(r, promises, where, count):
    """What is there also has the right bytes."""
    for digest in r.rng.sample(sorted(promises.blobs), min(count, len(promises.blobs))):
        answer = r.request("GET", f"/v1/blobs/sha256:{digest}")
        r.check(answer.status == 200 and rig.sha256(answer.body) == digest,
                f"{where}: the bytes of a blob", answer)
    for name in r.rng.sample(sorted(promises.models), min(count, len(promises.models))):
        files = r.request("GET", f"/v1/models/{name}").json()["files"]
        got = {rig.sha256(r.request("GET", f["url"]).body) for f in files}
        r.equal(got, promises.models[name], f"{where}: the bytes of a model")


def kills(r):
    wanted = r.undisturbed({**LONG, **SMALL}, LONG_RECIPES + [
        (model, recipe) for model in SMALL for recipe in SMALL_RECIPES])
    long_s = max(wanted[pair][1] for pair in LONG_RECIPES)
    promises = Promises()
    r.start()
    for name, data in {**LONG, **SMALL}.items():
        r.upload(name, data)
        promises.models[name] = {rig.sha256(data)}
    with_two = 0
    for kill in range(1, KILLS + 1):
        load = Load(r, promises, kill)
        # Every other time not before two jobs run, so that it is not always suspects alone.
        end = time.monotonic() + 20
        while kill % 2 and time.monotonic() < end and len(running(r)) < 2:
            time.sleep(0.01)
        time.sleep(r.rng.uniform(0, 1.2 * long_s))
        with_two += len(running(r)) >= 2
        staged = len(r.staging())
        r.daemon.kill()
        errors = load.join()
        r.equal(errors, [], f"kill {kill}: until then every request was answered as it should")
        r.start()
        print(f"# kill {kill}: {staged} files were staged; ready in {r.daemon.start_s:.2f} s")
        everything_is_there(r, promises, f"kill {kill}")
        spot_checks(r, promises, f"kill {kill}", 3)
    r.check(with_two >= KILLS // 4, "many kills met two running jobs", with_two)
    print(f"# {with_two} of {KILLS} kills met two running jobs; {promises.unanswered} requests"
          " were under way")
    finale(r, promises, wanted)
    said = r.said()
    print(f"# {said.count('removing a file without a row')} files had been moved to their place"
          " when the kill came before the commit")
    r.check("but no file" not in said and "file is missing" not in said,
            "no start met a row without its file")


def running(r):
    return r.query("SELECT id FROM job WHERE state = 'running'")


def finale(r, promises, wanted):
    """Let all that is left come to its end, then compare everything."""
    known = [j["id"] for j in all_of(r, "/v1/jobs")]  # those without an answer too
    ends = {job: r.over(job) for job in known}
    r.staging_empties("staging is empty soon after the last job")
    bad = {j: e["problem"] for j, e in ends.items()
           if e["state"] != "succeeded" and j not in promises.cancelled
           and not (e["state"] == "cancelled" and j not in promises.jobs)}
    undecided = {j for j in bad if ends[j]["state"] == "cancelled"}
    r.equal({j: bad[j] for j in bad if j not in undecided}, {}, "every job succeeded")
    r.check(len(undecided) <= KILLS, "cancelled without an answer: at most one a kill", undecided)
    differ, looked_at = {}, 0
    for job, end in ends.items():
        if end["state"] != "succeeded":
            continue
        digest = wanted[end["model"], end["recipe"]][0]
        looked_at += 1
        if end["artifact"]["sha256"] != digest:
            differ[job] = end["artifact"]
        elif end["model"] in LONG and r.artifact(job) != digest:
            differ[job] = "what is sent"
    r.equal(differ, {}, f"{looked_at} artifacts have the bytes of an undisturbed run")
    for model, recipe in wanted:
        if model in SMALL:
            job = next((j for j, e in ends.items() if e["state"] == "succeeded"
                        and (e["model"], e["recipe"]) == (model, recipe)), None)
            if job is None:  # chance left it out
                job = r.submit(model, recipe)
                r.equal(r.over(job)["state"], "succeeded", f"{model} to {recipe} succeeds")
            r.equal(r.artifact(job), wanted[model, recipe][0],
                    f"{model} to {recipe} is sent with those bytes")
    everything_is_there(r, promises, "in the end")
    spot_checks(r, promises, "in the end", 50)


rig.main("kill9", ("--jobs", "2"), kills)
