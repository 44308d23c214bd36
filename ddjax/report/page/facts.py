"""What a run was: its title, its facts in a line, how and where it ran, its files."""

from __future__ import annotations

import base64
import datetime
import gzip
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ddjax import artifacts
from ddjax.report import names
from ddjax.report.page import text
from ddjax.report.page.record import Record

_SETS = {
    "digits": "Digits",
    "fashion_mnist": "Fashion-MNIST",
    "glyphs": "Characters of fonts",
}
_LATER = "manifest.json"  # a run writes it behind its page
# What lies beside a page, in the order of the list.
_FILES = {
    "README.md": "what every file and column is",
    "summary.csv": "a row for each method, budget and kind of labels",
    "verdicts.json": "verdicts and the contrasts that they rest on",
    "members.jsonl": "a line for each student",
    "stages.csv": "what each stage took",
    "manifest.json": "settings, versions, costs",
    "subset.csv": "the recommended subset",
    "dcs.csv": "what correlates with the test loss",
    "architectures.csv": "the students of all networks",
    "subsets": "every selected subset",
    "scores": "every score of every image",
    "images": "synthetic sets",
    "figures": "figures",
}
_EMBEDDED = [
    "network",
    "method",
    "ipc",
    "regime",
    "seed",
    "status",
    "accuracy",
    "val_accuracy",
    "learning_rate",
]
_OPTIMIZERS = {"adamw": "AdamW", "sgd": "SGD"}
_WITH = ("jax", "python")
_PLAIN = 200_000  # bytes up to which a table is embedded as it is, not compressed


def title(record: Record) -> str:
    """Returns the heading: the images and how few of them are kept."""
    name = dataset(record)
    if not record.compares:
        return f"Teachers on {name}"
    budgets = text.listed([f"{ipc:,}" for ipc in record.budgets[:4]])
    if len(record.budgets) > 4:
        budgets = f"{record.budgets[0]:,} to {record.budgets[-1]:,}"
    images = "image" if record.budgets == [1] else "images"
    return f"{name}: {budgets} {images} per class"


def dataset(record: Record) -> str:
    """Returns the name of the images for people."""
    name = str(record.source.get("name", ""))
    kind, separator, path = name.partition(":")
    if kind in _SETS:
        return _SETS[kind]
    if separator:  # such as "folder:/data/birds"
        name = pathlib.PurePath(path).stem or kind
    known = names.DATASETS.get(name)
    return known[0] if known else name


def facts(record: Record) -> list[str]:
    """Returns what a reader wants to know first, a few words each."""
    source, settings = record.source, record.settings
    height, width, *channels = source.get("shape", (0, 0, 0))
    colour = "grey" if channels == [1] else "colour"
    classes = len(source.get("classes", ()))
    found = [f"{width}×{height} {colour}, {classes:,} classes"]
    pool, test = source.get("pool", 0), source.get("test", 0)
    found.append(f"{pool:,} training and {test:,} test images")
    if record.compares and classes and pool:
        shares = [f"{100 * ipc * classes / pool:.2g} %" for ipc in record.budgets]
        if len(shares) > 3:
            shares = [f"{shares[0]} to {shares[-1]}"]
        found.append(f"{text.listed(shares)} kept")
    found.append(network(settings.get("student" if record.compares else "teacher", {})))
    if record.compares:
        found.append(
            f"{text.counted(len(record.members), 'student')}, "
            f"{text.counted(record.seeds, 'seed')}"
        )
    return [fact for fact in found if fact]


def network(section: Mapping[str, Any]) -> str:
    """Returns a network's name and width."""
    found = section.get("network", {})
    name = str(found.get("name", ""))
    options = found.get(re.sub(r"_d\d+$", "", name), found.get(name, {}))
    width = f", width {options['width']}" if options.get("width") else ""
    if "depth" in options:
        name = f"{name}_d{options['depth']}"
    plain = re.sub(r"^convnet_d(?=\d)", "ConvNet-D", name)
    return names.NETWORKS.get(name, plain) + width


def protocol(record: Record) -> list[str]:
    """Returns sentences on how students were trained and compared."""
    found = _recipe(record.settings)
    found.append(
        "Full data has as many image passes as the subsets. The test set is read once, "
        "at the end."
    )
    found.append(
        "A gap is the difference of test accuracies of students with the same seed, "
        "budget and labels. Verdicts average it over the budgets of a seed, then take "
        "Student’s t over seeds. The best and the worst arm are picked for each seed "
        "by the validation accuracy of the other seeds. Holm’s correction is over a "
        "verdict’s contrasts, and in tables over the arms of a column."
    )
    bad = [row for row in record.study.arms if names.is_control(row)]
    if bad:
        named = text.listed([names.title(name) for name in bad])
        found.append(f"Bad on purpose, and outside of best and worst: {named}.")
    return found


def _recipe(settings: Mapping[str, Any]) -> list[str]:
    """A sentence on how long students train, and with which learning rates."""
    student, choices = settings.get("student", {}), settings.get("protocol", {})
    if not student:
        return []
    length = text.counted(student.get("epochs", 0), "epoch")
    if student.get("passes"):
        length = f"{text.quantity(student['passes'])} image passes"
    rule = student.get("optimizer", {}).get("name", "")
    words = f"A student has {length} of {_OPTIMIZERS.get(rule, rule)} at batch "
    words += f"{student.get('batch_size')}, with "
    rates = [f"{rate:g}" for rate in student.get("learning_rates", ())]
    if len(rates) < 2 and not choices.get("widen"):
        return [f"{words}learning rate {text.listed(rates or ['?'])}."]
    words += f"the learning rate of {text.listed(rates)} "
    if choices.get("widen"):
        words += "(and beyond, while the best is at an end) "
    split = choices.get("select_on", "validation")
    words += f"that does best on {split}, for each kind of labels and budget"
    own = "each arm its own" if choices.get("tune_each") else "the same for all subsets"
    return [f"{words}; {own}."]


def provenance(record: Record) -> list[tuple[str, str]]:
    """Returns (name, value) of when, where and by what a run was made."""
    manifest = record.manifest
    run = manifest.get("run", {})
    environment = manifest.get("environment", {})
    versions = environment.get("versions", {})
    found = []
    start, end = (_time(run.get(name)) for name in ("started", "ended"))
    if start:
        found.append(("date", f"{start:%Y-%m-%d %H:%M} UTC"))
    taken, reused = 0.0, 0.0
    for row in manifest.get("costs", ()):
        spent = (row.get("seconds") or 0.0) + (row.get("compile_seconds") or 0.0)
        taken += spent
        reused += spent if row.get("reused") else 0.0
    if start and end:
        found.append(("duration", text.seconds((end - start).total_seconds())))
    if taken:
        parts = f"{text.seconds(taken)}"
        if reused:
            parts += f", {text.seconds(reused)} of it reused"
        found.append(("computing", parts))
    if versions.get("ddjax") != artifacts.MISSING:
        found.append(("ddjax", versions.get("ddjax", "")))
    if run.get("commit"):
        found.append(("commit", run["commit"]))
    others = [f"{name} {versions[name]}" for name in _WITH if name in versions]
    if others:
        found.append(("with", ", ".join(others)))
    found.append(("host", _host(environment)))
    if record.source.get("digest"):
        found.append(("images’ digest", record.source["digest"][:16]))
    return [(name, value) for name, value in found if value]


def command(record: Record) -> str:
    """Returns the command that made the run, "" where it is not known."""
    return record.manifest.get("run", {}).get("command", "")


def files(record: Record) -> list[tuple[str, str, str]]:
    """Returns (path, what it is, size) of the files beside the page."""
    found = []
    for name, meaning in _FILES.items():
        path = record.folder / name
        if path.is_dir():
            count = sum(1 for each in path.iterdir() if not each.name.startswith("."))
            found.append((f"{name}/", meaning, text.counted(count, "file")))
        elif path.exists():
            found.append((name, meaning, text.quantity(path.stat().st_size, "B")))
        elif name == _LATER:
            found.append((name, meaning, ""))
    return found


def embedded(record: Record) -> tuple[str, str, str] | None:
    """Returns (file's name, data URI, size) of the students, one line each."""
    if record.students is None:
        return None
    known = [name for name in _EMBEDDED if name in record.students]
    data = record.students[known].round(4).to_csv(index=False).encode()
    name, kind = "students.csv", "text/csv;charset=utf-8"
    if len(data) > _PLAIN:
        data = gzip.compress(data, 9, mtime=0)
        name, kind = "students.csv.gz", "application/gzip"
    uri = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return name, uri, text.quantity(len(data), "B")


def stages(
    costs: Sequence[Mapping[str, Any]], most: int = 8
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns (the longest stages, the longest first; all others) as a table's rows."""
    rows = []
    for row in costs:
        spent = (row.get("seconds") or 0.0) + (row.get("compile_seconds") or 0.0)
        rows.append(
            {
                "stage": row.get("stage", ""),
                "spent": spent,
                "seconds": text.seconds(row.get("seconds")),
                "compiling": text.seconds(row.get("compile_seconds")),
                "passes": text.quantity(
                    (row.get("forward_passes") or 0) + (row.get("train_passes") or 0)
                ),
                "flops": text.quantity(row.get("flops")),
                "bytes": text.quantity(row.get("bytes"), "B"),
                "reused": "reused" if row.get("reused") else "",
            }
        )
    total = sum(row["spent"] for row in rows) or 1.0
    for row in rows:
        row["share"] = row["spent"] / total
    rows.sort(key=lambda row: -row["spent"])
    return rows[:most], rows[most:]


def image(path: pathlib.Path) -> str:
    """Returns a PNG file as a data URI."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _time(value: Any) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(value) if value else None


def _host(environment: Mapping[str, Any]) -> str:
    if not environment:
        return ""
    kinds = [str(kind) for kind in environment.get("devices", ())]
    found = [
        f"{kinds.count(kind)} × {kind}" for kind in dict.fromkeys(kinds)
    ]  # devices, as JAX counts them
    processor = environment.get("processor") or environment.get("machine", "")
    cores = environment.get("processors")
    if cores:
        found.append(f"{text.counted(cores, 'core')} of {processor}")
    if environment.get("system"):
        found.append(environment["system"])
    return ", ".join(found)
