"""The command line's grammar: verbs, flags and settings, before anything is loaded."""

import subprocess
import sys

import pytest

from ddjax.cli import command
from ddjax.cli.command import parse
from ddjax.errors import InputError


def test_a_run_with_flags_and_settings():
    found = parse(
        ["run", "cad_prune:digits", "--workdir=w", "--student.epochs=3", "--traceback"]
    )
    assert (found.verb, found.argument) == ("run", "cad_prune:digits")
    assert found.flags == {"workdir": "w", "traceback": True}
    assert found.overrides == [("student.epochs", "3")]


def test_the_words_of_the_module_are_a_run():
    same = ["--config=cad_prune", "--config.student.epochs=3", "--workdir", "w"]
    found = parse(same)
    assert (found.verb, found.argument) == ("run", "cad_prune")
    assert found.overrides == [("student.epochs", "3")]
    assert found.flags == {"workdir": "w"}
    assert parse([*same, "--dry_run"]).verb == "plan"


def test_a_value_may_stand_behind_its_setting():
    found = parse(["run", "--student.epochs", "3", "--data.stream", "cad_prune"])
    assert found.overrides == [("student.epochs", "3"), ("data.stream", "true")]
    assert found.argument == "cad_prune"


def test_an_export_may_stand_alone():
    assert parse(["run", "--export", "own"]).flags == {"export": True}
    assert parse(["run", "own", "--export=x"]).flags == {"export": "x"}


def test_runs_are_compared_in_their_order():
    found = parse(["compare", "a", "--out", "x", "b", "c"])
    assert (found.argument, found.more) == ("a", ["b", "c"])
    assert found.flags == {"out": "x"}


def test_a_value_may_hold_what_separates():
    (found,) = parse(["run", "a", "--teacher.path=x=y:z"]).overrides
    assert found == ("teacher.path", "x=y:z")


def test_a_home_folder_is_what_is_meant(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    flags = [f"--{name}=~/x" for name in ("workdir", "data", "export")]
    found = parse(["run", "a", *flags]).flags
    assert found == dict.fromkeys(("workdir", "data", "export"), "/home/me/x")
    assert parse(["run", "a", "--workdir", "~"]).flags == {"workdir": "/home/me"}


@pytest.mark.parametrize("words", [["--help"], ["run", "-h"], ["run", "a", "--help"]])
def test_help_is_heard_anywhere(words):
    assert parse(words).verb == "help"


def test_help_has_every_verb_and_flag_and_three_examples():
    text = command.help_text()
    assert all(f"ddjax {verb} " in text for verb in command.VERBS)
    assert all(f"--{name}" in text for name in command.FLAGS)
    examples = [parse(line.split()[1:]) for line in command.EXAMPLES]
    assert len(examples) == 3 and all(line in text for line in command.EXAMPLES)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no command: allowed are run, plan, list, show, report, compare, leaderb"),
        (["rum"], "rum: unknown command, .* did you mean run"),
        (["run"], "run: CONFIG is missing, e.g. ddjax run cad_prune:digits"),
        (["list"], "list: KIND is missing, e.g. ddjax list configs"),
        (["show"], "show: CONFIG or KEY is missing"),
        (["compare"], "compare: RUN RUN is missing, e.g. ddjax compare runs/a runs/b"),
        (["compare", "a", "--ot=x"], "--ot: unknown flag, compare has --out"),
        (["leaderboard"], "leaderboard: RUN is missing, e.g. ddjax leaderboard runs/a"),
        (["leaderboard", "a", "--w=x"], "--w: found 'x', allowed is a number"),
        (["compare", "a", "--w=1"], "--w: unknown flag, compare has --out"),
        (["run", "a", "--out=x"], "--out: unknown flag of run"),
        (["run", "a", "b"], "b: unknown argument, run takes one"),
        (["a.py", "--config=b"], "a.py: unknown command"),
        (["run", "a", "--config=b"], "a: unknown argument beside --config=b"),
        (["run", "a", "--workdri=w"], "--workdri: unknown key, .* mean --workdir"),
        (["run", "a", "--resize"], "--resize: unknown key, allowed here are name"),
        (["run", "a", "--workdir"], "--workdir: found nothing, allowed is --workdir=D"),
        (["run", "a", "--workdir="], "--workdir: found nothing"),
        (
            ["run", "a", "--dry_run=maybe"],
            "--dry_run: found 'maybe', allowed is the fl",
        ),
        (["run", "a", "--distributed=yes"], "--distributed: found 'yes', .* auto, on"),
        (["run", "a", "--student.epochs"], "--student.epochs: found nothing, allowed"),
        (
            ["run", "a", "--student.epoch"],
            "--student.epoch: unknown key, .* mean epoch",
        ),
        (["plan", "a", "--workdir=w"], "--workdir: unknown flag of plan"),
        (["list", "configs", "--workdir=w"], "--workdir: unknown flag, list has none"),
    ],
)
def test_what_is_no_command_is_refused(words, message):
    with pytest.raises(InputError, match=f"^{message}"):
        parse(words)


def test_parsing_loads_nothing_heavy():
    code = "import sys; from ddjax.cli import command;"
    code += "command.parse(['list', 'configs']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ddjax.cli.command" in done.stdout
    assert not {"jax", "numpy", "flax", "pandas"} & set(done.stdout.split())
