"""What tests of killed runs share: a process that forks runs and kills them.

A run is killed by SIGKILL at its n-th *event*: a call that makes, renames, deletes or
syncs a file, or that computes. Events do not depend on the machine's speed, so a list
of numbers says for ever where runs are killed.
"""

import contextlib
import json
import signal

import pandas as pd
from forking import forking
from runs import numbers_of

# Counts events, and kills the process at the one that it is told, 0: at none.
EVENTS = """
import signal
import matplotlib.figure
from orbax.checkpoint import v1
import pandas, scipy.special, tqdm
import matplotlib.backends.backend_agg
from ddjax import observe
from ddjax.distill import synthesis
from ddjax.labels import labeller
from ddjax.stages import report
from ddjax.train import sweep

# A checkpoint after every call, calls of few steps, stores written in many parts.
sweep.CALL_SECONDS, labeller._WRITE_SECONDS, synthesis.SEGMENT = 1e9, 0.0, 3
labeller._VIEWS = 1
if not {figures}:
    report.draw = lambda *everything: []
observe.Profiler.at_most = lambda self, count: min(count, {steps})
events, limit = 0, 0

def begin(event):
    global events, limit
    events, limit = 0, event

def told():
    return events

def counted(function):
    def call(*arguments, **named):
        global events
        events += 1
        if events == limit:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)
    return call

os.fsync = lambda file: None  # what a killed process wrote is not lost
for name in ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir"):
    setattr(os, name, counted(getattr(os, name)))
sweep.Runner._advance = counted(sweep.Runner._advance)
sweep.Runner.evaluate = counted(sweep.Runner.evaluate)
synthesis._Kept.write = counted(synthesis._Kept.write)
labeller.LabelStore.write_payload = counted(labeller.LabelStore.write_payload)
"""


@contextlib.contextmanager
def killer(output, environment, steps=7, figures=True):
    """Yields (event, *arguments) -> (exit code, events); event 0 kills nothing.

    Args:
      output: a file that gets what all runs print.
      environment: of the runs.
      steps: of a call, at most.
      figures: whether the report has those of subsets and students.
    """
    setup = EVENTS.format(steps=steps, figures=figures)
    with forking(environment, setup) as server:

        def run(event, *arguments):
            code, events = server(arguments, output, output, int(event))
            return code, int(events or 0)

        yield run


def results_of(folder):
    """Everything that a run tells, but for what depends on the clock.

    Returns:
      name -> a value: the members, the tables, the exported files, and the costs and
      files of every artifact.
    """
    stages = pd.read_csv(folder / "stages.csv")
    summary = pd.read_csv(folder / "summary.csv")
    clocks = [name for name in summary if "seconds" in name]
    names = ["stage", "forward_passes", "train_passes", "flops"]
    found = {
        "members": numbers_of(folder),
        "stages": stages[names].to_dict("records"),
        "summary": summary.drop(columns=clocks).to_csv(index=False),
        "files": sorted(
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.is_file()
            and "artifacts" not in path.parts
            and path.parts[-2] != "profile"
        ),
    }
    for path in sorted(folder.glob("artifacts/*/manifest.json")):
        manifest = json.loads(path.read_text())
        cost = {k: v for k, v in manifest["cost"].items() if "seconds" not in k}
        if any("weights" in name for name in manifest["files"]):
            del cost["bytes"]  # Orbax notes the time in them
        found[path.parent.name] = cost, sorted(manifest["arrays"].items())
    for kind in ("subsets", "scores"):
        for path in sorted((folder / kind).glob("*.csv")):
            found[f"{kind}/{path.name}"] = path.read_text()
    return found


def differences(found, expected):
    """Returns a line for each entry of `results_of` that differs."""
    lines = []
    for name in sorted(found.keys() | expected.keys()):
        a, b = found.get(name), expected.get(name)
        if repr(a) != repr(b):
            if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
                a, b = next(
                    (x, y) for x, y in zip(a, b, strict=True) if repr(x) != repr(y)
                )
            lines.append(f"{name}: {a!r}, expected {b!r}")
    return lines


def campaign(run, command, folder, rng, kills):
    """Kills runs of a command at random events until there were so many kills.

    Args:
      run: of `killer`.
      command: arguments, without the workdir.
      folder: for workdirs.
      rng: NumPy generator that draws the events.
      kills: how many.

    Returns:
      (events of the whole run, [event of each kill], lines that differ)
    """
    whole = folder / "whole"
    code, total = run(0, *command, f"--workdir={whole}")
    assert code == 0
    expected, killed, lines = results_of(whole), [], []
    trial = 0
    while len(killed) < kills:
        parts, code = folder / f"parts{trial}", None
        trial += 1
        while code != 0:
            event = int(rng.integers(1, total)) if len(killed) < kills else 0
            code, _ = run(event, *command, f"--workdir={parts}")
            if code == -signal.SIGKILL:
                killed.append(event)
            elif code != 0:
                return total, killed, [*lines, f"exit code {code} after {killed}"]
        lines += [
            f"{parts.name}: {line}" for line in differences(results_of(parts), expected)
        ]
        if list((parts / "partial").iterdir()) or list(parts.glob("artifacts/.tmp-*")):
            lines.append(f"{parts.name}: something unfinished is left")
    return total, killed, lines
