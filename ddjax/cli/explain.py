"""What `ddjax show` prints, of a config or of a setting, and docs/settings.md."""

import argparse
import dataclasses
import inspect
import pathlib
import time

from ddjax.cli import config_files
from ddjax.declare import Names, allowed_text, declaration, walk
from ddjax.errors import InputError
from ddjax.protocols import PROTOCOLS
from ddjax.settings import Settings, from_config

# A name that begins so is a setting's, whatever configs there are.
_SETTINGS = "config."
_SIDE = 1024  # of the matrices whose product is timed
_ROUNDS = 5
# Of the rate of a matrix product, what whole runs on 2 CPU cores kept up: results/*,
# operations by seconds, compiling included, 6 to 27 of about 65 Gflop/s.
_KEPT_UP = (0.1, 0.4)


def explain(name: str) -> str:
    """Returns what a config or a setting is.

    Args:
      name: of a config, with a variant or without, or the key of a setting or a section
        of settings, with `config.` before it or without.

    Raises:
      InputError: it is neither.
    """
    key = name.removeprefix(_SETTINGS)
    first = key.partition(".")[0]
    section = first in {field.name for field in dataclasses.fields(Settings)}
    if name.startswith(_SETTINGS) or ("." in key and section):
        return _setting(key)
    try:
        path, variant = config_files.split(name)
    except InputError as error:
        if section:
            return _setting(key)
        raise InputError(f"{error}, or a setting such as student.epochs") from error
    return _config(name, path, variant)


def _config(name: str, path: pathlib.Path, variant: str) -> str:
    from ddjax import plan

    module = config_files.module(path)
    known = config_files.variants(module)
    config_files.check_variant(variant, module)
    lines = [config_files.documentation(path), ""]
    if protocol := getattr(module, "PROTOCOL", ""):
        lines += [PROTOCOLS[protocol].text(), ""]
    if known:
        lines.append(f"Variants: {', '.join(known)}")
    try:
        settings = from_config(config_files.load(name))
        work = plan.total(plan.open_plan(settings)).work
        flops = sum(each.flops() for each in work)
        cost = f"{flops:.1e} operations; {_time_here(flops)}"
    except InputError as error:
        cost = f"unknown here: {error}"
    chosen = variant or (known[0] if known else "")
    lines.append(f"Cost{f' of {chosen}' if chosen else ''}: {cost}")
    lines.append(f"Run it:  ddjax run {name}")
    lines.append(f"Plan it: ddjax plan {name}")
    return "\n".join(lines)


def _time_here(flops: float) -> str:
    """Returns in words how long operations take on this machine, measured for a second.

    Args:
      flops: operations, a multiply-add being two.
    """
    rate = _rate()
    low, high = (_duration(flops / (rate * share)) for share in reversed(_KEPT_UP))
    shares = " to ".join(f"{share:.0%}" for share in _KEPT_UP)
    return (
        f"about {low} to {high} on this machine, which multiplies matrices at "
        f"{rate / 1e9:,.0f} Gflop/s ({shares} of that were kept up by runs on 2 CPU "
        "cores), and compiling"
    )


def _rate() -> float:
    """Returns the operations a second of a large matrix product in float32."""
    import jax
    import jax.numpy as jnp

    multiply = jax.jit(jnp.matmul)
    matrix = jnp.ones((_SIDE, _SIDE), jnp.float32)
    multiply(matrix, matrix).block_until_ready()
    seconds = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        multiply(matrix, matrix).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * _SIDE**3 / min(seconds)


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{max(1, round(seconds))} s"


def _setting(key: str) -> str:
    place, kind, field = walk.find(Settings, key)
    if field is None:
        says = inspect.getdoc(kind)
        rows = (f"  {walk.join(place, name)}" for name in _names(kind))
        return "\n".join((f"{key}: {says}", "", "Settings:", *rows))
    declared = declaration(field)
    lines = [
        f"{key}: {declared.meaning}",
        f"default: {_written(field.default)}",
        f"allowed: {allowed_text(field)}",
    ]
    if isinstance(declared.allowed, Names):
        from ddjax.cli import catalogue

        if declared.allowed.kind in catalogue.KINDS:
            names = catalogue.rows(declared.allowed.kind)
            lines.append(f"{declared.allowed.kind}: {', '.join(names)}")
    return "\n".join(lines)


def _names(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def _written(value: object) -> str:
    """Returns a value as it is written on the command line."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "()"
    return "''" if value == "" else str(value)


def settings_page() -> str:
    """Returns docs/settings.md: every setting with its default, range and meaning."""
    lines = [
        "# Settings",
        "",
        "Written by `python -m ddjax.cli.explain --out docs/settings.md` from the "
        "declarations in `ddjax/settings`.",
        "",
        "On the command line a setting is `--KEY=VALUE`, such as `--student.epochs=50` "
        "or `--select.methods=random,cad_prune`; `ddjax show KEY` prints one. NAME "
        "stands for an entry that a config adds.",
        "",
    ]
    _section(lines, Settings, "", {})
    return "\n".join(lines) + "\n"


def _section(lines: list[str], kind: type, key: str, written: dict[type, str]) -> None:
    """Adds a section's heading and table, and those of the sections within it.

    Args:
      lines: of the page.
      kind: the section's class.
      key: where it stands.
      written: classes that the page has already -> where.
    """
    lines += [
        f"## `{key}`" if key else "## Top level",
        "",
        inspect.getdoc(kind) or "",
        "",
    ]
    if kind in written:
        lines += [f"Its settings are those of `{written[kind]}`.", ""]
        return
    written[kind] = key
    fields = dataclasses.fields(kind)
    plain = [field for field in fields if not _within(field)]
    if plain:
        lines += ["| key | default | allowed | meaning |", "|---|---|---|---|"]
        lines += [_row(field, key) for field in plain]
        lines.append("")
    for field in fields:
        inner, place = _within(field), walk.join(key, field.name)
        if inner and walk.entry_kind(field):
            place += ".NAME"
        if inner:
            _section(lines, inner, place, written)


def _within(field: dataclasses.Field) -> type | None:
    """Returns the section that a field is or has as entries, None of a setting."""
    return walk.entry_kind(field) or walk.section_kind(field)


def _row(field: dataclasses.Field, key: str) -> str:
    cells = (
        f"`{walk.join(key, field.name)}`",
        f"`{_written(field.default)}`",
        allowed_text(field),
        declaration(field).meaning,
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def main() -> None:
    """Writes docs/settings.md."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.parse_args().out.write_text(settings_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
