"""What every interoperability test shares: counting checks, calling compressctl.

A test program makes one Suite, states facts with check() and ends with
sys.exit(suite.done()).  Each check prints "ok - ..." or "not ok - ...", the
last line is "N passed, N failed".  An exception inside a `with
suite.section(...)` is one failed check and does not stop the other sections.

Environment:
    COMPRESSCTL      the program under test (default: compressctl in PATH)
    INTEROP_DIR      the directory filled by setup.sh
    INTEROP_MODEL    the default model (default: deploy/model/tiny-llama)
    INTEROP_HELDOUT  token ids it has not seen (default: deploy/model/heldout.npy)
    INTEROP_KEEP     keep the files the test made, and say where they are
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent

# Nothing here may ask a server for a model.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


class Failed(Exception):
    """A program ended with an error. `said` is what it wrote, `status` how it ended
    (negative: killed by that signal; None: it was not run)."""

    def __init__(self, text, said="", status=None):
        super().__init__(f"{text}: {said}" if said else text)
        self.said = said
        self.status = status


def run(title, argv):
    r = subprocess.run([str(a) for a in argv], capture_output=True, text=True, errors="replace")
    if r.returncode != 0:
        said = " / ".join((r.stderr.strip() or r.stdout.strip()).splitlines()[-6:])
        raise Failed(f"{title} exited {r.returncode}", said, r.returncode)


class Suite:
    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.failed = 0
        self.dir = Path(tempfile.mkdtemp(prefix=f"interop-{name}-"))
        self.compressctl = os.environ.get("COMPRESSCTL") or shutil.which("compressctl")
        self.interop_dir = Path(os.environ["INTEROP_DIR"])
        model = os.environ.get("INTEROP_MODEL") or ROOT / "deploy/model/tiny-llama"
        heldout = os.environ.get("INTEROP_HELDOUT") or ROOT / "deploy/model/heldout.npy"
        self.model = Path(model)
        self.heldout = Path(heldout)

    def check(self, fact, text):
        """Count one check; returns whether it holds."""
        fact = bool(fact)
        if fact:
            self.passed += 1
        else:
            self.failed += 1
        print(f"{'ok' if fact else 'not ok'} - {self.name}: {text}", flush=True)
        return fact

    def note(self, text):
        print(f"# {text}", flush=True)

    @contextlib.contextmanager
    def section(self, title):
        """Checks that need each other; what they raise is one failed check."""
        try:
            yield
        except Failed as e:
            self.check(False, f"{title}: {e}")
        except Exception as e:  # noqa: BLE001: foreign libraries raise anything
            for line in traceback.format_exc(chain=False).rstrip().splitlines()[-8:]:
                self.note(line)
            self.check(False, f"{title}: {type(e).__name__}: {str(e).splitlines()[:1]}")

    def compress(self, model, recipe, out, dataset=None):
        """Run `compressctl compress`; recipe is a preset's name or an object.

        Returns the report, measured on `dataset` if there is one.  OUT is removed first.
        """
        if not self.compressctl:
            raise Failed("no compressctl: set COMPRESSCTL")
        out = Path(out)
        if out.is_dir():
            shutil.rmtree(out)
        else:
            out.unlink(missing_ok=True)
        if not isinstance(recipe, str):
            path = self.dir / "recipe.json"
            path.write_text(json.dumps(recipe))
            recipe = str(path)
        report = self.dir / "report.json"
        report.unlink(missing_ok=True)
        argv = [self.compressctl, "compress", model, "--recipe", recipe, "-o", out]
        argv += ["--threads", "2", "--report", report]
        if dataset:
            argv += ["--dataset", dataset]
        run(f"compressctl compress --recipe {recipe}", argv)
        return json.loads(report.read_text())

    def refused(self, model, recipe, out, expected, text):
        """A check that `compressctl compress` says no: an exit status of its own, a
        message with one of the words `expected`, and nothing left at OUT."""
        try:
            self.compress(model, recipe, out)
        except Failed as e:
            named = any(word in e.said.lower() for word in expected)
            ended = e.status is not None and 0 < e.status < 126
            self.check(named and ended and not Path(out).exists(), f"{text}: {str(e)[-240:]}")
        else:
            self.check(False, f"{text}: it was accepted")

    def llama(self, **request):
        """Run llama_eval.mjs with a request object; returns its answer object."""
        (self.dir / "request.json").write_text(json.dumps(request))
        answer = self.dir / "answer.json"
        answer.unlink(missing_ok=True)
        argv = [self.interop_dir / "node", HERE / "llama_eval.mjs", self.dir / "request.json", answer]
        run("llama.cpp", argv)
        return json.loads(answer.read_text())

    def done(self):
        """Print the totals and clean up; returns the exit status."""
        if os.environ.get("INTEROP_KEEP"):
            self.note(f"files kept in {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        if self.passed + self.failed == 0:
            self.check(False, "no check ran")
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed else 0
