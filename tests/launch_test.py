"""The launchers: what they call, how they quote, when they start again."""

import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
import runs
import tiny
from launching import APPLIED, FAKE, FAKE_PYTHON, ROOT, Stage, blocks

GOLDEN = ROOT / "tests" / "golden" / "launch"
SCRIPTS = {"local.sh": 90, "tpu_vm.sh": 300, "worker.sh": 90, "slurm.sbatch": 80}
SLURM = {"SLURM_JOB_ID": "7", "SLURM_NTASKS_PER_NODE": "4", "SLURM_CPUS_PER_TASK": "8"}
ARGUMENTS = ("--config=configs/cad_prune.py:smoke", "--config.data.data_dir=/a b/$c")


@pytest.fixture
def stage(tmp_path):
    made = Stage(tmp_path)
    for name in ("srun", "sbatch", "scontrol", "kubectl", "docker", "git"):
        made.program(name)
    made.program("python", FAKE_PYTHON)
    return made


def check_golden(name, found):
    assert found == (GOLDEN / name).read_text()


def calls_of(transcript):
    """The commands of a record, each a list of words."""
    return [call.splitlines() for call in transcript.split("\n--\n") if call]


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_short_and_strict(name):
    lines = (ROOT / "launch" / name).read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash" and "set -euo pipefail" in lines
    assert len(lines) < SCRIPTS[name] and max(map(len, lines)) <= 88
    assert os.access(ROOT / "launch" / name, os.X_OK) or name.endswith("sbatch")


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_clean(name):
    beside = str(pathlib.Path(sys.executable).parent)
    checker = shutil.which("shellcheck", path=f"{beside}:{os.environ['PATH']}")
    assert checker, "shellcheck is missing; it comes with `pip install .[test]`"
    subprocess.run(["bash", "-n", ROOT / "launch" / name], check=True)
    subprocess.run([checker, ROOT / "launch" / name], check=True)


@pytest.mark.parametrize(
    ("command", "given", "missing"),
    [
        (["launch/local.sh"], {}, "NUM_PROCESSES"),
        (["launch/slurm.sbatch"], {}, "SLURM_JOB_ID"),
        (["launch/slurm.sbatch"], SLURM, "SLURM_NTASKS_PER_NODE"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_missing_variable_is_named_and_nothing_called(stage, command, given, missing):
    variables = {name: value for name, value in given.items() if name != missing}
    found = stage.call("bash", *command, **variables)
    assert found.returncode != 0
    assert f"{missing}: " in found.stderr
    assert stage.transcript() == ""


def test_slurm_makes_the_golden_calls_and_requeues(stage):
    (stage.answers / "srun").write_text("75\n")
    found = stage.call(
        "bash", "launch/slurm.sbatch", *ARGUMENTS, "--workdir=/a b", **SLURM
    )
    assert found.returncode == 75
    check_golden("slurm.txt", stage.transcript())


@pytest.mark.parametrize(
    ("code", "restarted", "requeued"),
    [(0, 0, False), (1, 0, False), (2, 0, False), (137, 0, True), (75, 10, False)],
)
def test_slurm_requeues_what_can_go_on(stage, code, restarted, requeued):
    (stage.answers / "srun").write_text(f"{code}\n")
    more = {"SLURM_RESTART_COUNT": restarted}
    found = stage.call("bash", "launch/slurm.sbatch", **SLURM, **more)
    assert found.returncode == code
    assert ("scontrol" in stage.transcript()) == requeued


def test_slurm_needs_a_task_for_each_gpu(stage):
    found = stage.call("bash", "launch/slurm.sbatch", **SLURM, SLURM_GPUS_ON_NODE=8)
    assert found.returncode == 2 and "8 GPUs" in found.stderr
    assert stage.transcript() == ""


def test_slurm_dry_run_prints_the_same_and_calls_nothing(stage):
    command = ("bash", "launch/slurm.sbatch", *ARGUMENTS)
    dry = stage.call(*command, **SLURM, DRY_RUN=1)
    assert stage.transcript() == ""
    stage.call(*command, **SLURM)
    assert [shlex.split(dry.stdout)] == calls_of(stage.record.read_text())


def test_local_tells_each_process_who_it_is(stage):
    found = stage.call(
        "launch/local.sh", *ARGUMENTS, NUM_PROCESSES=2, JAX_NUM_CPU_DEVICES=3
    )
    assert found.returncode == 0, found.stderr
    first = [line for line in found.stdout.splitlines() if not line.startswith("[")]
    second = [line for line in found.stdout.splitlines() if line.startswith("[1] ")]
    address = re.fullmatch(r"0 of 2 at (127\.0\.0\.1:\d+) with 3", first[0])[1]
    assert second[0] == f"[1] 1 of 2 at {address} with 3"
    words = "".join(f"<{word}>" for word in ("-m", "ddjax.main", *ARGUMENTS))
    assert first[1:] == [words] and second[1:] == [f"[1] {words}"]
    assert sorted(found.stderr.splitlines()) == ["[1] words of 1", "words of 0"]


def test_local_shares_the_cores(stage):
    stage.program("nproc", "#!/bin/sh\necho 7\n")
    for processes, share in ((2, 3), (7, 1), (9, 1)):
        variables = {"NUM_PROCESSES": processes, "DRY_RUN": 1}
        found = stage.call("launch/local.sh", **variables).stdout.splitlines()
        assert len(found) == processes
        assert all(f"'JAX_NUM_CPU_DEVICES={share}'" in line for line in found)


def test_local_dry_run_prints_the_commands(stage):
    found = stage.call("launch/local.sh", *ARGUMENTS, NUM_PROCESSES=2, DRY_RUN=1)
    for number, line in enumerate(found.stdout.splitlines()):
        words = shlex.split(line)
        assert words[0] == "env" and f"JAX_PROCESS_ID={number}" in words
        assert words[-5:] == ["python", "-m", "ddjax.main", *ARGUMENTS]
    assert not list(stage.folder.glob("starts*"))


@pytest.mark.parametrize(
    ("behaviour", "process", "code"),
    [("0:wait 1:fail", 1, 3), ("0:die 1:wait", 0, 137), ("0:deaf 1:fail", 1, 3)],
)
def test_local_ends_all_where_one_fails(stage, behaviour, process, code):
    start = time.monotonic()
    variables = {"NUM_PROCESSES": 2, "PATIENCE": 3, "BEHAVIOUR": behaviour}
    found = stage.call("launch/local.sh", **variables)
    assert found.returncode == code
    assert f"process {process} ended with exit code {code}" in found.stderr
    assert ("told" in found.stdout) == ("deaf" not in behaviour)
    assert time.monotonic() - start < 10  # a process that waits does so for 30 s


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 75), (signal.SIGINT, 130), (signal.SIGHUP, 75)],
)
def test_local_passes_on_what_it_is_told(stage, number, code):
    environment = stage.environment(
        {"NUM_PROCESSES": 2, "BEHAVIOUR": "0:wait 1:wait", "RESTARTS": 3}
    )
    # Whoever runs the tests may ignore Ctrl-C, and what it starts would too.
    command = ["env", "--default-signal=INT,HUP", "launch/local.sh", *ARGUMENTS]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, start_new_session=True, **pipes
    ) as process:
        while len(list(stage.folder.glob("starts*"))) < 2:
            time.sleep(0.05)
        os.killpg(process.pid, number)  # as a terminal does: to what it runs, too
        output, _ = process.communicate(timeout=20)
    assert process.returncode == code
    word = "interrupted" if number == signal.SIGINT else "told"
    assert sorted(line for line in output.splitlines() if word in line) == [
        *(f"[1] {word}", word)
    ]
    assert "starting again" not in output


def test_local_leaves_no_process_behind(stage):
    environment = stage.environment({"NUM_PROCESSES": 2, "BEHAVIOUR": "0:wait 1:wait"})
    with open(stage.folder / "said", "wb") as said:
        process = subprocess.Popen(
            ["launch/local.sh"], cwd=ROOT, env=environment, stdout=said, stderr=said
        )
    while len(list(stage.folder.glob("starts*"))) < 2:
        time.sleep(0.05)
    process.kill()
    process.wait()
    end = time.monotonic() + 10
    while (stage.folder / "said").read_text().count("told") < 2:
        assert time.monotonic() < end, "the processes go on"
        time.sleep(0.05)


def test_local_outlives_its_terminal(stage):
    variables = {"NUM_PROCESSES": 2, "BEHAVIOUR": "0:wait 1:wait", "RESTARTS": 3}
    master, terminal = os.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "env", "--default-signal=HUP", "launch/local.sh"],
        cwd=ROOT,
        env=stage.environment(variables),
        **dict.fromkeys(("stdin", "stdout", "stderr"), terminal),
    )
    os.close(terminal)
    while len(list(stage.folder.glob("starts*"))) < 2:
        time.sleep(0.05)
    os.close(master)  # the window is closed
    assert process.wait(20) == 75
    assert len((stage.folder / "starts.0").read_text()) == 2  # not again


@pytest.mark.parametrize(
    ("behaviour", "restarts", "starts", "code"),
    [
        ("0:told_once", 1, 2, 0),
        ("0:told_once", 0, 1, 75),
        ("0:die 1:wait", 2, 3, 137),
        ("0:fail 1:wait", 2, 1, 3),
    ],
)
def test_local_starts_again(stage, behaviour, restarts, starts, code):
    variables = {"NUM_PROCESSES": 2, "RESTARTS": restarts, "BEHAVIOUR": behaviour}
    found = stage.call("launch/local.sh", **variables)
    assert found.returncode == code, found.stderr
    for number in range(2):
        assert len((stage.folder / f"starts.{number}").read_text()) == 2 * starts


@pytest.mark.parametrize("name", ["local", "gke", "slurm"])
def test_commands_of_the_readme_are_the_golden_ones(stage, name):
    stage.program("kubectl", FAKE.replace("name=", APPLIED + "name=", 1))
    script = f"set -euo pipefail\n{blocks(ROOT / 'docs' / 'machines.md')[name]}"
    found = stage.call("bash", "-c", script, DRY_RUN="1" if name == "local" else "")
    assert found.returncode == 0, found.stderr
    if name == "local":
        assert found.stdout.count("'ddjax.main'") == 2
        return
    check_golden(f"readme_{name}.txt", stage.transcript())
    if name == "gke":
        applied = (stage.folder / "applied").read_text()
        image = "us-docker.pkg.dev/my-project/ddjax/ddjax:1"
        file = (ROOT / "launch" / "gke_jobset.yaml").read_text()
        assert applied == file.replace("image: IMAGE", f"image: {image}") != file


# Starts two processes with what a step of SLURM tells its tasks.
FAKE_SRUN = r"""#!/usr/bin/env bash
set -euo pipefail
while [[ $1 == --* ]]; do shift; done
export SLURM_STEP_NODELIST=127.0.0.1 SLURM_STEP_NUM_NODES=1 SLURM_NTASKS=2
SLURM_PROCID=1 SLURM_LOCALID=1 "$@" &
SLURM_PROCID=0 SLURM_LOCALID=0 "$@"
wait $!
"""


def job_number():
    """A job's number that makes JAX choose a port which is free."""
    for number in range(os.getpid() % 4096, 4096):
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", 61440 + number)):
                return number
    raise AssertionError("no free port")


@pytest.mark.slow
def test_two_processes_run_the_program_under_slurm(stage):
    source = tiny.write(stage.folder / "tiny.npz")
    config = tiny.write_config(
        stage.folder / "con fig.py",
        source,
        regimes=("hard",),
        select__methods=("random",),
        teacher__epochs=1,
        student__epochs=2,
        protocol__seeds=(0,),
    )
    (stage.programs / "python").unlink()
    stage.program("srun", FAKE_SRUN)
    variables = {
        name: value for name, value in os.environ.items() if name.startswith("JAX_")
    } | {
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "1",
    }
    workdir = stage.folder / "my run"
    own = SLURM | {"SLURM_JOB_ID": job_number(), "SLURM_CPUS_PER_TASK": 1}
    flags = f"--config={config}", f"--workdir={workdir}"
    found = stage.call("bash", "launch/slurm.sbatch", *flags, **variables, **own)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("report: ") == 1  # one of them speaks
    rows = runs.numbers_of(workdir)
    assert [row["method"] for row in rows] == ["random", "full"]
