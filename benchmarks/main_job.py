"""Where the time of the main job goes, and its students beside a plain PyTorch loop.

    python benchmarks/main_job.py [--config cad_prune:digits] [--steps 600]

Runs the command of the README twice, with an empty cache of compiled programs and with
the one that the first run leaves, and prints what each of these parts took, from the
start of the process to the report:

- import: until the experiment begins, Python and the libraries included;
- compile: tracing, lowering and compiling, or reading a kept program;
- train, evaluate: teachers, the students that choose settings, and the compared ones;
- score: the scoring runs, and what ranks and picks images;
- report: tables, figures, verdicts and the page;
- rest: data, files, and everything else.

Then it trains students of the same network, batch and augmentation one after another in
eager PyTorch (`sweep.run_torch`), and compares member-steps a second with those of the
run's students under hard labels. Run it on an idle machine. Needs the extra `bench`.
"""

import argparse
import contextlib
import functools
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

_SCORING = ("trace", "last layer", "subsets", "features", "gradients")


class Clock:
    """Seconds of parts of a program; an inner part's do not count for the outer one."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._names = ["rest"]
        self._since = time.perf_counter()

    def _charge(self) -> None:
        now, name = time.perf_counter(), self._names[-1]
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now

    @contextlib.contextmanager
    def part(self, name: str):
        """Counts what runs inside for a part, unless a scoring stage is under way."""
        self._charge()
        scoring = self._names[-1] == "score" and name in ("train", "evaluate")
        self._names.append("score" if scoring else name)
        try:
            yield
        finally:
            self._charge()
            self._names.pop()

    def patch(self, owner, name: str, part) -> None:
        """Counts a function's time; part: its name, or a function of its arguments."""
        inner = getattr(owner, name)

        @functools.wraps(inner)
        def counted(*args, **kwargs):
            found = part if isinstance(part, str) else part(*args)
            with self.part(found):
                return inner(*args, **kwargs)

        setattr(owner, name, counted)

    def end(self) -> dict[str, float]:
        """Returns the seconds of all parts."""
        self._charge()
        return self.seconds


def part_of(stage, *_) -> str:
    """Returns the part that a stage's own time counts for."""
    if stage.name.startswith(_SCORING):
        return "score"
    return "report" if stage.name == "report" else "rest"


def serve(out: str, config: str, workdir: str, born: float) -> None:
    """Runs the job and writes its parts.

    Args:
      out: file for the parts.
      config: which one.
      workdir: of the run.
      born: when the process was started, in seconds since 1970.
    """
    from ddjax import main, pipeline
    from ddjax.stages.stage import Stage
    from ddjax.train import sweep

    def run(*args, **kwargs):
        clock.seconds["import"] = time.time() - born
        clock._since = time.perf_counter()
        return inner(*args, **kwargs)

    clock, inner = Clock(), pipeline.run
    pipeline.run = run
    clock.patch(Stage, "execute", part_of)
    clock.patch(sweep.Runner, "train", "train")
    clock.patch(sweep.Runner, "evaluate", "evaluate")
    clock.patch(sweep.Runner, "_executable", "compile")
    sys.argv = ["ddjax", "run", config, f"--workdir={workdir}"]
    main.run()
    parts = clock.end()
    parts["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    pathlib.Path(out).write_text(json.dumps(parts))


def run_job(
    config: str, folder: pathlib.Path, name: str, env: dict
) -> dict[str, float]:
    """Returns the parts of one run in a process of its own."""
    out, start = folder / f"{name}.json", time.time()
    command = [sys.executable, __file__, "--serve", str(out), "--config", config]
    command += ["--workdir", str(folder / name), "--born", str(start)]
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    parts = json.loads(out.read_text())
    return parts | {"all": time.time() - start}


def students_rate(workdir: pathlib.Path) -> float:
    """Returns the run's member-steps a second under hard labels, without compiling."""
    with open(workdir / "members.jsonl") as lines:
        rows = [json.loads(line) for line in lines]
    steps = sum(row["steps"] for row in rows if row["regime"] == "hard")
    return steps / sum(row["train_seconds"] for row in rows if row["regime"] == "hard")


def torch_rate(steps: int) -> float:
    """Returns PyTorch's steps a second, the better of two rounds."""
    import dataclasses

    import sweep

    case = dataclasses.replace(sweep.CASES["digits"], members=2, steps=steps // 2)
    rounds = sweep.run_torch(case, rounds=2)
    next(rounds)
    return case.members * case.steps / min(rounds)


def main() -> None:
    """Prints a line a run, and one on PyTorch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="cad_prune:digits")
    parser.add_argument("--steps", type=int, default=600, help="of the PyTorch loop")
    for name in ("serve", "workdir", "born"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.config, options.workdir, float(options.born))
        return
    env = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        env["XDG_CACHE_HOME"] = str(folder / "cache")
        for name in ("cold", "warm"):
            parts = run_job(options.config, folder, name, env)
            print(
                json.dumps({"run": name} | {k: round(v, 2) for k, v in parts.items()})
            )
        ours = students_rate(folder / "warm")
    theirs = torch_rate(options.steps)
    print(
        json.dumps(
            {
                "ddjax_steps_per_second": round(ours),
                "torch_steps_per_second": round(theirs),
                "ratio": round(ours / theirs, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
