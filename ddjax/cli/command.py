"""The command line's grammar: verbs, flags, and settings as --KEY=VALUE.

`parse` reads a command; nothing heavy is imported for it, so that help, versions and
mistakes take milliseconds.
"""

import dataclasses
import os
from typing import Any

from ddjax.declare import kind_of, walk
from ddjax.errors import InputError
from ddjax.process.ending import MEANINGS

VERBS = {
    "run": "train, evaluate and report; the same command resumes",
    "plan": "check the settings and print what a run will cost; writes nothing",
    "list": "name what there is of a KIND",
    "show": "explain a config or a setting",
    "report": "write report.html and verdicts.json again from a run's files",
    "compare": "compare runs, each with the first; writes only with --out",
    "leaderboard": "rank the methods of runs by DD-Ranking's scores; as compare",
}
_USAGE = {
    "run": "CONFIG[:VARIANT] [--workdir=DIR] [--KEY=VALUE ...]",
    "plan": "CONFIG[:VARIANT] [--KEY=VALUE ...]",
    "list": "KIND",
    "show": "CONFIG[:VARIANT] | KEY",
    "report": "FOLDER ...",
    "compare": "RUN RUN ... [--out=FOLDER]",
    "leaderboard": "RUN ... [--out=FOLDER]",
}
_SEVERAL = ("report", "compare", "leaderboard")  # verbs that take several arguments
_MODES = ("auto", "on", "off")


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag of the program, which is no setting.

    Attributes:
      takes: what stands behind its "="; "": nothing.
      meaning: for people.
      verbs: that take it.
    """

    takes: str
    meaning: str
    verbs: tuple[str, ...] = ("run", "plan")


FLAGS = {
    "workdir": Flag("DIR", "artifacts and results; default runs/EXPERIMENT", ("run",)),
    "data": Flag("PATH", "own images: a folder with a folder a class, or an .npz"),
    "export": Flag(
        "DIR",
        "write the recommended images, a folder a class; alone: to WORKDIR/export",
        ("run",),
    ),
    "distributed": Flag(
        "MODE",
        "whether this is one process of several: auto (as the environment has it), on, "
        "off",
        ("run",),
    ),
    "out": Flag("DIR", "where tables and a page go", ("compare", "leaderboard")),
    "w": Flag("NUMBER", "weight of IOR in LRS; default 0.5", ("leaderboard",)),
    "gamma": Flag(
        "NUMBER", "weight of the augmented IOR in ARS; default 0.5", ("leaderboard",)
    ),
    "quirks": Flag(
        "NAMES",
        "what the official package does otherwise: percent, best_on_test, duplicates",
        ("leaderboard",),
    ),
    "config": Flag("CONFIG", "another way to name the config"),
    "dry_run": Flag("", "run: the same as plan"),
    "link": Flag(
        "", "link figures beside the page instead of embedding them", ("report",)
    ),
    "traceback": Flag("", "show where in the code a wrong input was noticed"),
}
EXAMPLES = (
    "ddjax run cad_prune:digits --workdir=runs/digits",
    "ddjax plan methods/sre2l:imagenette --student.epochs=100",
    "ddjax run own --data=PHOTOS --export=CHOSEN",
)


_MISSING = {
    "run": ("CONFIG", EXAMPLES[0]),
    "list": ("KIND", "ddjax list configs"),
    "show": ("CONFIG or KEY", "ddjax show cad_prune"),
    "report": ("FOLDER", "ddjax report runs/digits"),
    "compare": ("RUN RUN", "ddjax compare runs/a runs/b"),
    "leaderboard": ("RUN", "ddjax leaderboard runs/a runs/b"),
}


@dataclasses.dataclass
class Command:
    """A parsed command line.

    Attributes:
      verb: of VERBS, or "help" or "version".
      argument: the config, kind, key, first folder or run; "" where it is missing.
      more: the arguments behind it, of a verb that takes several.
      flags: of FLAGS, those that were given; True for those that stand alone.
      overrides: (key, text) of settings, in their order.
    """

    verb: str
    argument: str = ""
    more: list[str] = dataclasses.field(default_factory=list)
    flags: dict[str, Any] = dataclasses.field(default_factory=dict)
    overrides: list[tuple[str, str]] = dataclasses.field(default_factory=list)


def parse(arguments: list[str]) -> Command:
    """Parses the arguments of a command line.

    Args:
      arguments: without the program's name.

    Raises:
      InputError: an unknown or superfluous argument, or a missing one.
    """
    rest = list(arguments)
    if any(word in ("--help", "-h") for word in rest):
        return Command("help")
    if "--version" in rest:
        return Command("version")
    if not rest:
        raise InputError(f"no command: allowed are {', '.join(VERBS)}; see --help")
    # `python -m ddjax.main --config=...` has no verb.
    verb = "run" if rest[0].startswith("-") else rest.pop(0)
    if verb not in VERBS:
        near = walk.suggestion(verb, VERBS)
        raise InputError(
            f"{verb}: unknown command, allowed are {', '.join(VERBS)}{near}"
        )
    command = Command(verb)
    while rest:
        _take(command, rest.pop(0), rest)
    config = command.flags.pop("config", "")
    if config and command.argument:
        raise InputError(
            f"{command.argument}: unknown argument beside --config={config}; settings "
            "are written --KEY=VALUE"
        )
    command.argument = command.argument or config
    if not command.argument:
        wanted, example = _MISSING.get(verb, _MISSING["run"])
        raise InputError(f"{verb}: {wanted} is missing, e.g. {example}")
    if command.flags.pop("dry_run", False):
        command.verb = "plan"
    return command


def _take(command: Command, word: str, rest: list[str]) -> None:
    """Adds one argument to a command, with the word behind it where it takes one."""
    if not word.startswith("--"):
        if command.argument and command.verb in _SEVERAL:
            command.more.append(word)
            return
        if command.argument:
            raise InputError(
                f"{word}: unknown argument, {command.verb} takes one; settings are "
                "written --KEY=VALUE"
            )
        command.argument = word
        return
    name, equals, text = word[2:].partition("=")
    key = name.removeprefix("config.")
    if name in FLAGS and command.verb in FLAGS[name].verbs:
        command.flags[name] = _flag_value(name, equals, text, rest)
    elif command.verb not in ("run", "plan"):
        own = [f"--{flag}" for flag in FLAGS if command.verb in FLAGS[flag].verbs]
        has = f"has {', '.join(own) or 'none'}"
        raise InputError(f"--{name}: unknown flag, {command.verb} {has}")
    elif name in FLAGS:
        raise InputError(f"--{name}: unknown flag of {command.verb}")
    else:
        field = _setting(key)
        if not equals:
            text = _setting_text(key, field, rest)
        command.overrides.append((key, text))


def _flag_value(name: str, equals: str, text: str, rest: list[str]) -> Any:
    takes = FLAGS[name].takes
    if not takes:
        walk.require(not equals, f"--{name}", text, "the flag alone")
        return True
    if name == "export" and not equals:
        return True
    if not equals and rest and not rest[0].startswith("--"):
        text = rest.pop(0)
    if not text:
        raise InputError(f"--{name}: found nothing, allowed is --{name}={takes}")
    if takes == "NUMBER":
        return _number(name, text)
    if takes in ("DIR", "PATH"):
        return os.path.expanduser(text)
    if name == "distributed":
        allowed = f"one of {', '.join(_MODES)}"
        walk.require(text in _MODES, "--distributed", text, allowed)
    return text


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--{name}: found {text!r}, allowed is a number") from None


def _setting(key: str) -> dataclasses.Field | None:
    """Returns the field of a key, None of a section; a flag may have been meant."""
    from ddjax.settings import Settings

    try:
        return walk.find(Settings, key)[2]
    except InputError as error:
        near = walk.suggestion(f"--{key}", [f"--{name}" for name in FLAGS])
        raise InputError(f"--{error}{near}") from error


def _setting_text(key: str, field: dataclasses.Field | None, rest: list[str]) -> str:
    """Returns the value of a setting that has no "=": the next word, or true."""
    if field is not None and kind_of(field)[0] is bool:
        return "true"
    if not rest or rest[0].startswith("--"):
        raise InputError(f"--{key}: found nothing, allowed is --{key}=VALUE")
    return rest.pop(0)


def help_text() -> str:
    """Returns what `ddjax --help` prints."""
    verbs = [(f"ddjax {verb} {_USAGE[verb]}", says) for verb, says in VERBS.items()]
    flags = [
        (f"--{name}={flag.takes}" if flag.takes else f"--{name}", flag.meaning)
        for name, flag in FLAGS.items()
    ]
    lines = [
        "ddjax: what is a small training set really worth?",
        "",
        *(f"  {usage}\n      {says}" for usage, says in verbs),
        "  ddjax --version, ddjax --help",
        "",
        "Examples:",
        *(f"  {example}" for example in EXAMPLES),
        "",
        "Flags:",
        *(f"  {flag:<19} {meaning}" for flag, meaning in flags),
        "",
        "`ddjax list configs` names the configs, `ddjax show CONFIG` explains one. A",
        "setting is written --KEY=VALUE, such as --student.epochs=50 or",
        "--select.methods=random,cad_prune; `ddjax show KEY` prints what it means and",
        "may be. `python -m ddjax.main --config=CONFIG` is `ddjax run CONFIG`.",
        "",
        "Exit codes:",
        *(f"  {code:<4} {meaning}" for code, meaning in MEANINGS.items()),
    ]
    return "\n".join(lines)
