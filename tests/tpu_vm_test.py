"""The launcher for Cloud TPU VMs, against machines that are folders: the run outlives
links, polls, machines and the launcher itself, and is started once."""

import os
import re
import shlex
import signal
import subprocess

import pytest
from launching import ROOT, blocks
from machines import Machines

pytestmark = pytest.mark.slow

GOLDEN = ROOT / "tests" / "golden" / "launch"
ARGUMENTS = ("--config=configs/cad_prune.py:smoke", "--config.data.data_dir=/a b/$c")
START = ("launch/tpu_vm.sh", "run", *ARGUMENTS)


@pytest.fixture
def cloud(tmp_path):
    made = Machines(tmp_path)
    for name in ("tar", "mkdir", "rm"):
        real = f"/bin/{name}"
        record = 'if [[ $1 != -f ]]; then printf "%s\\n" '
        record += '"${0##*/}" "$@" -- >>"$RECORD"; fi\n'
        made.program(name, f'#!/usr/bin/env bash\n{record}exec {real} "$@"\n')
    yield made
    made.kill()


def call(cloud, *command, **variables):
    return cloud.call(*command, **(cloud.variables | variables))


@pytest.fixture
def launch(cloud):
    """Starts the launcher and does not wait for it."""
    started = []

    def begin(*command, stdout=None, **variables):
        with open(cloud.folder / "said", "ab") as said:
            process = subprocess.Popen(
                # Whoever runs the tests may ignore these, and what it starts would too.
                ["env", "--default-signal=INT,HUP", *command],
                cwd=ROOT,
                env=cloud.environment(cloud.variables | variables),
                stdout=stdout or said,
                stderr=said,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def plain(text):
    """A transcript without what differs from call to call."""
    text = re.sub(r"c0ffee-\d+", "KEY", text)
    text = re.sub(r"\b\d{8}-\d{6}-\d{9}\b", "ID", text)
    return re.sub(r"log ID \d+", "log ID FROM", text)


def calls_of(transcript):
    return [call.splitlines() for call in transcript.split("\n--\n") if call]


@pytest.mark.parametrize("missing", ["PROJECT", "ZONE", "NAME", "WORKDIR"])
def test_a_missing_variable_is_named_and_nothing_called(cloud, missing):
    del cloud.variables[missing]
    found = call(cloud, *START)
    assert found.returncode != 0 and f"{missing}: " in found.stderr
    assert cloud.verbs() == []


@pytest.mark.parametrize("missing", ["ACCELERATOR_TYPE", "RUNTIME_VERSION"])
def test_what_machines_need_is_asked_for_first(cloud, missing):
    del cloud.variables[missing]
    found = call(cloud, *START)
    assert found.returncode != 0 and f"{missing}: " in found.stderr
    assert cloud.verbs() == []


def test_a_run_makes_the_golden_calls(cloud):
    cloud.order(1, 0)
    found = call(cloud, *START, SPOT=1, DELETE=1, BORN="ACTIVE")
    assert found.returncode == 0, found.stderr
    assert plain(cloud.transcript()) == (GOLDEN / "tpu_vm.txt").read_text()
    assert (cloud.results / "report.txt").read_text() == "done\n"
    assert not (cloud.results / "out.tar.gz").exists()


def test_a_dry_run_prints_the_same_and_calls_nothing(cloud):
    dry = call(cloud, *START, DRY_RUN=1, DELETE=1)
    assert dry.returncode == 0 and cloud.transcript() == "", dry.stderr
    cloud.order(1, 0)
    call(cloud, *START, DELETE=1, BORN="ACTIVE")
    printed = [shlex.split(plain(line)) for line in dry.stdout.splitlines()]
    assert printed == calls_of(plain(cloud.record.read_text()))


def test_the_commands_of_the_readme_are_the_golden_ones(cloud):
    script = f"set -euo pipefail\n{blocks(ROOT / 'docs' / 'machines.md')['tpu_vm']}"
    found = cloud.call("bash", "-c", script, DRY_RUN=1, CLOUD=cloud.cloud)
    assert found.returncode == 0, found.stderr
    printed = plain(found.stdout).replace(str(cloud.folder), "TMP")
    assert printed == (GOLDEN / "readme_tpu_vm.txt").read_text()


def test_slices_reserved_machines_and_flags_for_ssh(cloud):
    options = {"NODE_COUNT": 2, "RESERVED": 1, "STARTUP_SCRIPT": "my mount.sh"}
    found = call(cloud, *START, **options, SSH_FLAGS="--internal-ip --plain", DRY_RUN=1)
    lines = [shlex.split(line) for line in found.stdout.splitlines()]
    (made,) = [line for line in lines if "create" in line]
    assert {"--node-count=2", "--reserved"} < set(made)
    assert "--metadata-from-file=startup-script=my mount.sh" in made
    assert "--spot" not in made and "--node-id=digits" not in made
    for line in lines:
        if line[4:5] in (["ssh"], ["scp"]):
            assert {"--internal-ip", "--plain"} < set(line)


def test_the_machines_get_the_very_arguments(cloud):
    cloud.order(1, 0)
    assert call(cloud, *START).returncode == 0
    workdir = f"--workdir={cloud.variables['WORKDIR']}"
    words = ("-m", "ddjax.main", "--distributed=on", *ARGUMENTS, workdir)
    assert "".join(f"<{word}>" for word in words) in cloud.log()


# The first calls: ask (bare), install, ask (ready), start, ask, log, ...
@pytest.mark.parametrize(
    ("verb", "faults"),
    [
        ("ssh", ["255"] * 3),  # a machine that just began
        ("ssh", ["ok", "255"]),  # before the installation
        ("ssh", ["ok", "after 255"]),  # after it
        ("ssh", ["ok", "half 255"]),  # on some machines
        ("ssh", ["ok", "ok", "ok", "255"]),  # at the start
        ("ssh", ["ok", "ok", "ok", "after 255"]),
        ("ssh", ["ok", "ok", "ok", "half 255"]),
        ("ssh", ["ok", "half 0"]),  # gcloud leaves machines out without a word
        ("ssh", ["ok", "ok", "half 0", "ok"]),
        ("ssh", ["ok", "ok", "ok", "half 0"]),
        ("ssh", ["ok"] * 4 + ["255", "half 255", "half 0", "after 255", "1"]),
        ("ssh", ["ok"] * 4 + ["hang"]),
        ("ssh", ["ok"] * 4 + ["silent"]),
        ("ssh", ["ok"] * 5 + ["255"]),  # the log
        ("ssh", ["ok"] * 5 + ["after 255"]),
        ("scp", ["255"]),
        ("scp", ["half 255", "after 255"]),
        ("scp", ["ok", "255", "255"]),  # the results
        ("scp", ["ok", "after 1"]),
        ("describe", ["ok", "1", "255"]),  # no answer after the request
        ("list", ["1"] * 20),
        ("create", ["after 1"]),  # the answer to the request is lost
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
def test_a_lost_link_costs_nothing(cloud, launch, verb, faults):
    cloud.fault(verb, *faults)
    process = launch(*START)
    hosts = [f"host-{number}" for number in range(2)]
    cloud.wait_for(lambda: all(cloud.starts(host) for host in hosts))
    queue = cloud.cloud / "faults" / verb
    if verb == "ssh":
        cloud.wait_for(lambda: not queue.read_text())
    cloud.order(1, 0)
    assert process.wait(30) == 0, (cloud.folder / "said").read_text()
    assert [cloud.starts(host) for host in hosts] == [1, 1]
    assert "delete" not in cloud.verbs() and cloud.verbs().count("create") == 1
    assert (cloud.results / "report.txt").exists()
    assert cloud.log().count("start 1 on host-0\n<") == 1
    assert cloud.log().count("last words of start 1 on host-0") == 1


@pytest.mark.parametrize("known", [True, False])
def test_a_machine_that_says_nothing_is_not_taken_for_done(cloud, launch, known):
    if not known:  # but it answered before
        cloud.fault("list", *["1"] * 40)
    process = launch(*START, DELETE=1)
    cloud.wait_for(lambda: cloud.log().count("host-0"))
    cloud.fault("ssh", *["half 0"] * 12)
    cloud.order(1, 0, "host-0")
    cloud.wait_for(lambda: not (cloud.cloud / "faults" / "ssh").read_text())
    assert process.poll() is None and "delete" not in cloud.verbs()
    cloud.order(1, 0)
    assert process.wait(30) == 0 and cloud.verbs().count("delete") == 1


def test_lost_polls_are_asked_again_more_and_more_rarely(cloud, launch):
    cloud.fault("ssh", *["ok"] * 4, *["255"] * 12)
    cloud.fault("describe", *["ok"] * 4, *["1"] * 3)
    process = launch(*START)
    cloud.wait_for(lambda: cloud.starts())
    cloud.wait_for(lambda: not (cloud.cloud / "faults" / "ssh").read_text())
    cloud.order(1, 0)
    assert process.wait(30) == 0
    slept = [int(word) for word in (cloud.cloud / "slept").read_text().split()]
    assert slept[slept.index(60) - 1 :][:6] == [30, 60, 120, 240, 480, 480]
    assert "trying again" in (cloud.folder / "said").read_text()


@pytest.mark.parametrize("how", ["SUSPENDED", "SUSPENDING", "FAILED", "PREEMPTED"])
def test_machines_taken_away_are_made_again(cloud, launch, how):
    process = launch(*START, RESTARTS=1)
    cloud.wait_for(lambda: cloud.log().count("host-0"))
    if how == "PREEMPTED":  # the resource says ACTIVE still
        cloud.tell("node", how)
        cloud.fault("ssh", *["255"] * 3)
    else:
        cloud.tell("state", how)
    cloud.kill()
    cloud.wait_for(lambda: "delete" in cloud.verbs())
    (cloud.cloud / "node").unlink(missing_ok=True)
    cloud.order(2, 0)
    assert process.wait(30) == 0, (cloud.folder / "said").read_text()
    assert cloud.verbs().count("create") == 2 and cloud.verbs().count("delete") == 1
    assert cloud.starts() == 2
    assert "last words of start 2" in cloud.log()


def test_machines_taken_away_too_often(cloud, launch):
    process = launch(*START, RESTARTS=0)
    cloud.wait_for(lambda: cloud.log().count("host-0"))
    cloud.tell("state", "SUSPENDED")
    cloud.kill()
    assert process.wait(30) == 75
    assert "delete" not in cloud.verbs() and cloud.verbs().count("create") == 1
    found = call(cloud, "launch/tpu_vm.sh", "attach")
    assert found.returncode == 75 and "run' starts it again" in found.stderr
    cloud.order(2, 0)  # the same command goes on
    assert call(cloud, *START).returncode == 0
    assert cloud.verbs().count("create") == 2


def test_a_resource_that_somebody_deletes_is_not_made_again(cloud, launch):
    process = launch(*START)
    cloud.wait_for(lambda: cloud.log().count("host-0"))
    (cloud.cloud / "state").unlink()
    cloud.kill()
    cloud.fault("ssh", "255")
    assert process.wait(30) == 1
    assert cloud.verbs().count("create") == 1 and "delete" not in cloud.verbs()
    cloud.tell("state", "DELETING")
    assert call(cloud, *START).returncode == 1
    assert cloud.verbs().count("create") == 1


def test_a_request_that_is_refused(cloud):
    cloud.fault("create", "3")
    found = call(cloud, *START)
    assert found.returncode != 0 and "the fake says 3" in found.stderr
    assert "nothing is left" in found.stderr
    assert cloud.verbs() == ["describe", "create", "describe"]


def test_a_request_that_fails_later_is_deleted(cloud):
    found = call(cloud, *START, BORN="FAILED")
    assert found.returncode == 1 and "could not be created" in found.stderr
    assert cloud.verbs()[-1] == "delete" and not (cloud.cloud / "state").exists()


def test_no_answer_at_first_ends_it_with_what_gcloud_says(cloud):
    cloud.fault("describe", "4")  # such as a login that ended
    found = call(cloud, *START)
    assert found.returncode == 1 and "the fake says 4" in found.stderr
    assert cloud.verbs() == ["describe"]


def test_a_killed_launcher_is_called_again_and_starts_nothing(cloud, launch):
    process = launch(*START)
    cloud.wait_for(lambda: cloud.log().count("host-0"))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    again = launch(*START)
    cloud.wait_for(lambda: cloud.verbs().count("ssh") > 12)
    os.killpg(again.pid, signal.SIGKILL)
    again.wait()
    cloud.order(1, 0)  # while nobody looks
    found = call(cloud, *START)
    assert found.returncode == 0, found.stderr
    assert found.stdout == "last words of start 1 on host-0\n"  # from where it was
    assert cloud.log().count("start 1 on host-0\n<") == 1
    third = call(cloud, *START)  # it is over, and its results come again
    assert third.returncode == 0
    assert [cloud.starts(f"host-{number}") for number in range(2)] == [1, 1]
    assert cloud.verbs().count("create") == 1


@pytest.mark.parametrize(
    ("verb", "calls"), [("create", 1), ("scp", 1), ("ssh", 2), ("ssh", 4), ("ssh", 5)]
)
def test_a_launcher_killed_while_it_sets_up(cloud, launch, verb, calls):
    cloud.tell("install_seconds", "0.5")
    process = launch(*START)
    made = cloud.cloud / "state"  # the fake's own, which is killed too
    cloud.wait_for(lambda: cloud.verbs().count(verb) >= calls and made.exists())
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    cloud.order(1, 0)
    found = call(cloud, *START)
    assert found.returncode == 0, found.stderr
    assert [cloud.starts(f"host-{number}") for number in range(2)] == [1, 1]
    assert cloud.verbs().count("create") == 1


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_an_interrupted_launcher_detaches(cloud, launch, number, code):
    process = launch(*START)
    cloud.wait_for(lambda: cloud.log().count("host-0"))
    os.killpg(process.pid, number)  # as a terminal does: to what it runs, too
    assert process.wait(20) == code
    said = (cloud.folder / "said").read_text()
    assert "detached" in said and "attach | status | stop | delete" in said
    found = call(cloud, "launch/tpu_vm.sh", "status")
    assert found.returncode == 0 and found.stdout.count("running ") == 2
    cloud.order(1, 0)
    assert call(cloud, "launch/tpu_vm.sh", "attach").returncode == 0
    assert cloud.starts() == 1 and "delete" not in cloud.verbs()


def test_a_launcher_whose_output_is_closed_detaches(cloud, launch):
    process = launch(*START, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"start 1 on host-0\n"
    process.stdout.close()
    cloud.order(1, 0)  # there is more to print
    assert process.wait(20) == 141
    assert "detached" in (cloud.folder / "said").read_text()
    assert call(cloud, "launch/tpu_vm.sh", "attach").returncode == 0
    assert cloud.starts() == 1 and "delete" not in cloud.verbs()


def test_a_process_that_dies_ends_the_others_and_all_start_again(cloud, launch):
    process = launch(*START, RESTARTS=1)
    cloud.wait_for(lambda: cloud.starts() and cloud.starts("host-1"))
    cloud.order(1, "kill", "host-1")
    cloud.order(2, 0)
    assert process.wait(30) == 0, (cloud.folder / "said").read_text()
    assert [cloud.starts(f"host-{number}") for number in range(2)] == [2, 2]
    assert (
        "told" in cloud.log() and "exit code 137" in (cloud.folder / "said").read_text()
    )
    assert "delete" not in cloud.verbs()


def test_a_machine_that_starts_anew(cloud, launch):
    process = launch(*START, RESTARTS=1)
    cloud.wait_for(lambda: cloud.starts() and cloud.starts("host-1"))
    cloud.kill()  # no code is left behind
    cloud.order(2, 0)
    assert process.wait(30) == 0
    assert [cloud.starts(f"host-{number}") for number in range(2)] == [2, 2]


def test_machines_that_shut_down_let_the_run_save(cloud, launch):
    process = launch(*START, RESTARTS=1)
    cloud.wait_for(lambda: cloud.starts() and cloud.starts("host-1"))
    cloud.wait_for(lambda: cloud.log().count("host-0"))
    cloud.kill(signal.SIGTERM)
    cloud.order(2, 0)
    assert process.wait(30) == 0
    assert "exit code 75" in (cloud.folder / "said").read_text()


def test_what_an_ended_run_leaves_behind_does_not_block_the_next(cloud):
    cloud.tell("child", "")
    cloud.order(1, 75)
    cloud.order(2, 0)
    assert call(cloud, *START, RESTARTS=1).returncode == 0
    assert cloud.starts() == cloud.starts("host-1") == 2


def test_a_start_again_that_is_cut_off_halfway_is_completed(cloud):
    cloud.order(1, 75)
    assert call(cloud, *START, RESTARTS=0).returncode == 75
    cloud.fault("ssh", "ok", "ok", "half 255")  # ask, log, start
    cloud.order(2, 0)
    found = call(cloud, *START, RESTARTS=1)
    assert found.returncode == 0, found.stderr
    assert cloud.starts() == cloud.starts("host-1") == 2


def test_a_start_that_comes_twice_is_one(cloud):
    cloud.order(1, 0)
    assert call(cloud, *START).returncode == 0
    line = re.search(r"--command=(.*worker.sh start .*)", cloud.record.read_text())[1]
    home = cloud.cloud / "machines" / "0"
    own = {"HOME": home, "HOSTNAME": "host-0", "CLOUD": cloud.cloud}
    cloud.call("bash", "-c", f"cd {shlex.quote(str(home))} && {line}", **own)
    assert cloud.starts() == 1
    assert "last words of start 1" in (home / "ddjax.run" / "log").read_text()


def test_a_long_log_comes_whole(cloud):
    cloud.tell("lines", 90_000)  # more than one answer holds
    cloud.order(1, 0)
    found = call(cloud, *START)
    assert found.stdout == cloud.log()
    lines = [f"line {number}" for number in range(1, 90_001)]
    assert [text for text in cloud.log().splitlines() if text[:5] == "line "] == lines


def test_two_starts_at_once_become_one_run(cloud, launch):
    process = launch(*START)
    cloud.wait_for(lambda: cloud.log().count("host-0"))
    name = cloud.cloud / "machines/1/ddjax.run/id"
    newer = re.sub(r" \d+", " 9", name.read_text())
    name.write_text(newer)  # as if somebody else had started this one
    cloud.wait_for(
        lambda: (cloud.cloud / "machines/0/ddjax.run/id").read_text() == newer
    )
    cloud.order(1, 0, "host-0")
    cloud.wait_for(lambda: "last words" in cloud.log())
    assert process.poll() is None
    cloud.order(1, 0)
    assert process.wait(30) == 0
    assert cloud.starts() == cloud.starts("host-1") == 1


@pytest.mark.parametrize("deaf", [False, True])
def test_a_process_that_fails_ends_the_run_with_its_code(cloud, launch, deaf):
    if deaf:
        cloud.tell("deaf", "")
    process = launch(*START, PATIENCE=1)
    cloud.wait_for(lambda: cloud.starts() and cloud.starts("host-1"))
    cloud.order(1, 3, "host-1")
    assert process.wait(30) == 3
    said = (cloud.folder / "said").read_text()
    assert "[host-1] last words of start 1 on host-1" in said and "exit code 3" in said
    assert cloud.starts() == 1 and "delete" not in cloud.verbs()
    found = call(cloud, *START)  # says so again; does not fail again
    assert found.returncode == 3 and cloud.starts() == 1
    cloud.order(2, 0)
    assert call(cloud, "launch/tpu_vm.sh", "copy").returncode == 0
    assert call(cloud, *START).returncode == 0  # after `copy` it starts anew
    assert cloud.starts() == 2


def test_a_run_that_saved_starts_again(cloud):
    for start in (1, 2):
        cloud.order(start, 75)
    cloud.order(3, 0)
    found = call(cloud, *START, RESTARTS=1)
    assert found.returncode == 75 and cloud.starts() == 2
    found = call(cloud, *START, RESTARTS=1)
    assert found.returncode == 0 and cloud.starts() == 3
    words = [f"last words of start {start} on host-0" for start in (1, 2, 3)]
    assert [line for line in cloud.log().splitlines() if "words" in line] == words


def test_a_stopped_run_ends_and_goes_on_when_told(cloud, launch):
    process = launch(*START)
    cloud.wait_for(lambda: cloud.log().count("host-0"))
    assert call(cloud, "launch/tpu_vm.sh", "stop").returncode == 0
    assert process.wait(30) == 75 and cloud.starts() == 1
    assert call(cloud, "launch/tpu_vm.sh", "attach").returncode == 75
    cloud.order(2, 0)
    assert call(cloud, *START).returncode == 0 and cloud.starts() == 2


def test_nothing_at_work_is_deleted(cloud, launch):
    process = launch(*START)
    cloud.wait_for(lambda: cloud.log().count("host-0"))
    os.killpg(process.pid, signal.SIGKILL)
    found = call(cloud, "launch/tpu_vm.sh", "delete")
    assert found.returncode == 1 and "at work" in found.stderr
    for fault in ("255", "half 0"):
        cloud.fault("ssh", fault)
        found = call(cloud, "launch/tpu_vm.sh", "delete")
        assert found.returncode == 1 and "FORCE=1" in found.stderr
    cloud.fault("describe", "1")
    assert call(cloud, "launch/tpu_vm.sh", "delete").returncode != 0
    found = call(cloud, "launch/tpu_vm.sh", "copy")
    assert found.returncode != 0 and "delete" not in cloud.verbs()
    cloud.order(1, 0)
    cloud.wait_for(lambda: (cloud.cloud / "machines/1/ddjax.run/code").exists())
    # The code is written a moment before its writer ends.
    cloud.wait_for(lambda: not call(cloud, "launch/tpu_vm.sh", "delete").returncode)
    assert cloud.verbs().count("delete") == 1
    found = call(cloud, "launch/tpu_vm.sh", "delete")  # a second time
    assert found.returncode == 0 and cloud.verbs().count("delete") == 1


def test_force_deletes_what_is_at_work(cloud, launch):
    launch(*START)
    cloud.wait_for(lambda: cloud.log().count("host-0"))
    found = call(cloud, "launch/tpu_vm.sh", "delete", FORCE=1)
    assert found.returncode == 0 and cloud.verbs().count("delete") == 1


@pytest.mark.parametrize(
    ("more", "variables"), [(("--seed=1",), {}), ((), {"COMMIT": "decaf"})]
)
def test_another_run_is_not_mixed_up(cloud, launch, more, variables):
    process = launch(*START)
    cloud.wait_for(lambda: cloud.log().count("host-0"))
    os.killpg(process.pid, signal.SIGKILL)
    found = call(cloud, *START, *more, **variables)
    assert found.returncode == 2 and "another command" in found.stderr
    assert cloud.starts() == 1
    cloud.order(1, 0)
    cloud.order(2, 0)
    assert call(cloud, "launch/tpu_vm.sh", "attach").returncode == 0
    copies = cloud.verbs().count("scp")
    found = call(cloud, *START, *more, **variables)  # now it may
    assert found.returncode == 0 and cloud.starts() == 2
    assert cloud.verbs().count("scp") - copies == 1 + bool(variables)


def test_nothing_to_attach_to(cloud):
    found = call(cloud, "launch/tpu_vm.sh", "attach")
    assert found.returncode == 1 and "there is no digits" in found.stderr
    cloud.tell("state", "WAITING_FOR_RESOURCES")
    assert call(cloud, "launch/tpu_vm.sh", "attach").returncode == 1
    assert set(cloud.verbs()) == {"describe"}


def test_machines_that_never_answer_are_given_up_and_kept(cloud):
    cloud.fault("ssh", *["255"] * 20)  # such as a firewall's doing
    found = call(cloud, *START)
    assert found.returncode == 1 and "does not reply" in found.stderr
    assert "the fake says 255" in found.stderr and "delete" not in cloud.verbs()


def test_results_that_do_not_come_keep_the_machines(cloud):
    cloud.order(1, 0)
    cloud.fault("scp", "ok", *["255"] * 5)
    found = call(cloud, *START, DELETE=1)
    assert found.returncode == 1 and "fetch" in found.stderr
    assert "delete" not in cloud.verbs()
    assert call(cloud, "launch/tpu_vm.sh", "fetch").returncode == 0
    assert (cloud.results / "report.txt").exists()


@pytest.mark.parametrize("code", [0, 3, 75])
def test_delete_follows_a_run_that_ended_well_only(cloud, code):
    cloud.order(1, code)
    found = call(cloud, *START, DELETE=1, RESTARTS=0)
    assert found.returncode == code
    assert cloud.verbs().count("delete") == (code == 0)


def test_machines_that_cannot_be_set_up_are_kept(cloud):
    cloud.program("git", "#!/bin/sh\nif [ $3 = rev-parse ]; then echo c; fi\n")
    found = call(cloud, *START)  # the archive is missing
    assert found.returncode == 1 and "cannot be set up" in found.stderr
    assert "delete" not in cloud.verbs() and cloud.starts() == 0


def test_an_unknown_step_is_named(cloud):
    found = call(cloud, "launch/tpu_vm.sh", "all")
    assert found.returncode == 2 and "'all' is none of run" in found.stderr
