"""The data dictionary: every file that a run writes, and every column, declared once.

The `README.md` of a workdir and the tables of docs/outputs.md, docs/comparing.md and
docs/rankings.md are made of it.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import re
from collections.abc import Iterable

README = "README.md"
MARK = "<!-- Written by ddjax. A file without this line is yours, and is kept. -->"
_TABLE = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
_FILES, _RULES = "files", "rules"  # the table of all of them; what holds for all


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table, or a key of a JSON object.

    Attributes:
      name: as it is written; in capitals where it stands for several.
      meaning: in a few words.
      unit: such as "%" or "images"; "": it has none.
      values: the range, or the texts that occur.
      missing: where there is no value; "": nowhere.
    """

    name: str
    meaning: str
    unit: str = ""
    values: str = "text"
    missing: str = ""


@dataclasses.dataclass(frozen=True)
class File:
    """A file of a workdir.

    Attributes:
      name: relative to the workdir; may be a pattern of several.
      content: what it is, or what a row of it is.
      columns: of a table, in their order; (): it is none.
      of: "students" or "teachers", the runs that write it; "": all.
    """

    name: str
    content: str
    columns: tuple[Column, ...] = ()
    of: str = ""


# Unit and values.
_PERCENT = ("%", "0 to 100")
_POINTS = ("points", "-100 to 100")
_FURTHER = ("points", "-200 to 200")  # differences of differences
_WIDTH = ("points", "0 or more")
_IMAGES = ("images", "0 or more")
_SECONDS = ("seconds", "0 or more")
_WHOLE = "0, 1, 2, ..."
_GAIN = "in `selection_gain` rows"

_METHOD = Column(
    "method",
    "a selection, an entry of `distill`, `images` (the set that was read), `random` or "
    "`full` (all images, with the same image passes)",
)
_IPC = Column("ipc", "the budget", "images per class", "1 or more")
_REGIME = Column("regime", "the kind of labels", values="an entry of `regimes`")
_NETWORK = Column("network", "the student's network, or an entry of `transfer`")
_SEED = Column("seed", "the repetition", values=_WHOLE)

SUMMARY = (
    dataclasses.replace(_METHOD, meaning=_METHOD.meaning + "; `selection_gain`"),
    _IPC,
    dataclasses.replace(
        _REGIME, values="an entry of `regimes`; `hard - soft_kd` of `selection_gain`"
    ),
    Column(
        "accuracy",
        "test accuracy, mean over seeds",
        *_PERCENT,
        missing=f"all students failed; {_GAIN}",
    ),
    Column(
        "ci95",
        "half width of its 95 % interval over the seeds",
        *_WIDTH,
        missing="fewer than two students",
    ),
    Column("n", "students that succeeded", "students", _WHOLE, missing=_GAIN),
    Column("failed", "students that diverged", "students", _WHOLE, missing=_GAIN),
    Column(
        "gap",
        "accuracy minus that of random, paired by seed; of `selection_gain` the gain "
        "of the best selection (picked on validation) under `hard` minus that under "
        "`soft_kd`",
        *_FURTHER,
        missing="`random` itself; no pair",
    ),
    Column(
        "gap_ci95",
        "half width of the gap's 95 % interval",
        *_WIDTH,
        missing="fewer than two pairs",
    ),
    Column("gap_n", "pairs of the gap", "pairs", _WHOLE),
    Column(
        "label_gap",
        "accuracy of random under these labels minus that under `soft_kd`, paired by "
        "seed",
        *_POINTS,
        missing="rows of other methods, of `soft_kd`, or of runs without it",
    ),
    Column(
        "label_gap_ci95",
        "half width of its 95 % interval",
        *_WIDTH,
        missing="as `label_gap`; one pair",
    ),
    Column(
        "val_accuracy",
        "accuracy on the validation split, mean over seeds",
        *_PERCENT,
        missing="as `accuracy`",
    ),
    Column(
        "learning_rate",
        "picked on validation; several are joined by `; `",
        values="more than 0",
        missing=_GAIN,
    ),
    Column(
        "find_passes",
        "images that passed through networks to find the subset, mean over seeds",
        *_IMAGES,
        missing=_GAIN,
    ),
    Column("find_seconds", "time to find the subset", *_SECONDS, missing=_GAIN),
    Column(
        "find_flops",
        "floating-point operations to find the subset",
        "operations",
        "0 or more",
        missing=_GAIN,
    ),
    Column(
        "train_passes",
        "images that passed forward and backward to train a student",
        *_IMAGES,
        missing="as `accuracy`",
    ),
    Column(
        "train_seconds",
        "a student's share of the sweep's time",
        *_SECONDS,
        missing="as `accuracy`",
    ),
    Column(
        "label_bytes",
        "size of a student's labels by their format's formula",
        "bytes",
        "0 or more",
        missing="labels made on the fly",
    ),
    Column(
        "note",
        "`chosen on test`, or the methods that `selection_gain` picked",
        missing="else",
    ),
)
TEACHERS = (
    Column("teacher", "its name"),
    Column("network", "its network"),
    Column("parameters", "weights of the network", "", _WHOLE),
    Column("epoch", "epochs of training behind the snapshot", "epochs", "1, 2, ..."),
    Column("validation_accuracy", "accuracy on the validation split", *_PERCENT),
    Column("test_accuracy", "accuracy on test", *_PERCENT),
    Column("bundle", "folder to give as `teacher.path`", values="path"),
)
_FAILED = "failed students"
MEMBERS = (
    _NETWORK,
    _METHOD,
    _IPC,
    _REGIME,
    _SEED,
    Column("status", "whether its training diverged", values="`ok`, `failed`"),
    Column("accuracy", "accuracy on test", *_PERCENT, missing=_FAILED),
    Column("val_accuracy", "accuracy on validation", *_PERCENT, missing=_FAILED),
    Column(
        "test_loss",
        "mean cross-entropy on test",
        "nats",
        "0 or more",
        missing=_FAILED,
    ),
    Column(
        "loss",
        "the last recorded training loss",
        values="number",
        missing="none was finite",
    ),
    Column("learning_rate", "picked on validation", values="more than 0"),
    Column(
        "window_start",
        "start of the window of scores, picked on validation",
        "share of a class",
        "0 to 1",
        missing="methods that search none",
    ),
    Column("steps", "of its training", "steps", "1 or more"),
    Column("image_passes", "images that it trained on, repeats counted", *_IMAGES),
    Column(
        "find_passes",
        "images that passed through networks to find its subset",
        *_IMAGES,
    ),
    Column("find_seconds", "time to find its subset", *_SECONDS),
    Column(
        "find_flops",
        "floating-point operations to find its subset",
        "operations",
        "0 or more",
    ),
    Column("train_seconds", "its share of the sweep's time", *_SECONDS),
    Column(
        "select_on",
        "the split that choices were made on",
        values="`validation`, `test`",
    ),
    Column(
        "label_bytes",
        "its labels by their format's formula",
        "bytes",
        "0 or more",
        missing="labels made on the fly",
    ),
    Column(
        "label_disk_bytes",
        "its labels as stored on disk",
        "bytes",
        "0 or more",
        missing="labels that are not stored",
    ),
    Column("images", "size of its training set", *_IMAGES),
    Column(
        "subset",
        "digest of its images' ids: equal digests, equal subsets of one source",
        values="16 hexadecimal digits",
    ),
    Column("curve", "training loss at equally spaced points", values="list of numbers"),
    Column(
        "train_curve",
        "accuracy on its training images at `curve_steps`",
        "%",
        "list of 0 to 100",
        missing="`[]` without `protocol.curves`",
    ),
    Column(
        "test_curve",
        "accuracy on test at `curve_steps`",
        "%",
        "list of 0 to 100",
        missing="`[]` without `protocol.curves`",
    ),
    Column(
        "curve_steps",
        "where the two were measured",
        "steps",
        "list of 0, 1, 2, ...",
        missing="`[]` without `protocol.curves`",
    ),
)
STAGES = (
    Column("stage", "its name"),
    Column(
        "reused",
        "whether it was in the workdir; it counts with the cost of its computation",
        values="`True`, `False`",
    ),
    Column("seconds", "wall time without compilation", *_SECONDS),
    Column("compile_seconds", "wall time of compilation", *_SECONDS),
    Column("forward_passes", "images that passed forward only", *_IMAGES),
    Column("train_passes", "images that passed forward and backward", *_IMAGES),
    Column(
        "flops",
        "XLA's count of a step, times the steps",
        "operations",
        "0 or more",
    ),
    Column(
        "images_per_second",
        "all passes divided by seconds",
        "images per second",
        "more than 0",
        missing="no pass, or no time",
    ),
    Column("share", "of the time of all stages, compilation included", "", "0 to 1"),
)
DCS = (
    _REGIME,
    _IPC,
    Column(
        "surrogate",
        "a number of a subset that is known before training",
        values="`mean SCORE`, `distribution matching`, `gradient matching`, "
        "`coverage`; `loss of NAME`: what the entry NAME of `distill` descends, where "
        "its `losses` are above 0",
    ),
    Column(
        "rho",
        "Spearman's correlation with the students' test loss, over the selections, of "
        "`loss of NAME` also over the kinds of synthetic sets",
        "",
        "-1 to 1",
        missing="the surrogate is the same for all",
    ),
    Column(
        "low",
        "lower end of its 95 % interval if selections were independent, which they are "
        "not: it is too narrow",
        "",
        "-1 to 1",
        missing="as `rho`",
    ),
    Column("high", "upper end", "", "-1 to 1", missing="as `rho`"),
    Column("n", "selections", "selections", "5 or more"),
)
_SUBSET = (
    Column("id", "position in the source's training set", "", _WHOLE),
    Column("class", "name of the image's class"),
    Column("path", "its file", values="path", missing="column only where images have"),
    Column(
        "digest",
        "fingerprint of its pixels, behind its size; a later run checks it",
        values="`HxWxC:` and hexadecimal digits",
        missing="column only where images are in memory",
    ),
)
SCORES = (
    *_SUBSET,
    Column(
        "SCORE",
        "a column for each score that a selection reads, see `ddjax list scores`, "
        "and for each variant with one, by the variant's name; "
        "higher is harder or more uncertain",
        values="number or `inf`",
    ),
)
ARCHITECTURES = (
    _NETWORK,
    _METHOD,
    _IPC,
    _REGIME,
    *SUMMARY[3:],
    Column(
        "rank_correlation",
        "Spearman's, of the methods' accuracies with those under the first network",
        "",
        "-1 to 1",
        missing="the first network; fewer than two methods",
    ),
)
VERDICTS = (
    Column(
        "verdicts",
        "one a question that the run answers; their keys follow",
        values="list of objects",
    ),
    Column(
        "verdicts.key",
        "which question",
        values="`choice`, `tested`, `labels`, `enough`",
    ),
    Column("verdicts.question", "in words"),
    Column("verdicts.answer", "in a few words"),
    Column("verdicts.text", "sentences with the numbers"),
    Column(
        "verdicts.contrasts",
        "paired differences that the answer rests on; their keys follow",
        values="list of objects",
    ),
    Column("verdicts.contrasts.name", "what is compared"),
    Column("verdicts.contrasts.regime", "under which labels"),
    Column(
        "verdicts.contrasts.mean",
        "of the seeds' differences, each averaged over budgets",
        *_FURTHER,
        missing="no pair",
    ),
    Column(
        "verdicts.contrasts.ci95",
        "half width of its 95 % interval",
        *_WIDTH,
        missing="fewer than two pairs",
    ),
    Column("verdicts.contrasts.n", "pairs", "seeds", _WHOLE),
    Column(
        "verdicts.contrasts.p_holm",
        "p of the test that there is no difference, by Holm over the verdict",
        "",
        "0 to 1",
        missing="fewer than two pairs",
    ),
    Column(
        "verdicts.contrasts.p_smaller_than_margin_holm",
        "p of the test that the difference is the margin or more, likewise",
        "",
        "0 to 1",
        missing="fewer than two pairs",
    ),
    Column("verdicts.contrasts.margin", "what is smaller does not matter", *_WIDTH),
    Column(
        "verdicts.contrasts.state", "of this difference", values="as `verdicts.states`"
    ),
    Column(
        "verdicts.contrasts.comparisons",
        "how many the p values are corrected for",
        values=_WHOLE,
    ),
    Column(
        "verdicts.contrasts.seeds_needed",
        "seeds that would decide it, if mean and spread stay",
        "seeds",
        "3 to 1000",
        missing="it is decided, or more would be needed",
    ),
    Column(
        "verdicts.contrasts.values",
        "one a seed, averaged over budgets",
        "points",
        "list of -200 to 200",
    ),
    Column(
        "verdicts.states",
        "kind of labels -> `shown`, `small` (shown to be smaller than the margin) or "
        "`undecided`",
        values="object",
    ),
    Column("why_none", "why there is no verdict", missing="empty where there is one"),
    Column("level", "of all tests of a verdict together", "", "0 to 1"),
    Column("margin", "what is smaller does not matter", *_WIDTH),
    Column("intervals", "what seeds vary; its keys follow", values="object"),
    Column(
        "intervals.include",
        "what differs between seeds, so that intervals include it",
        values="list of texts",
    ),
    Column(
        "intervals.exclude",
        "what all seeds share, so that no interval includes it",
        values="list of texts",
    ),
)
COMPARED = (
    Column("run", "the shortest end of its path that no other run shares"),
    Column("source", "name of its source", missing="no manifest"),
    Column("network", "the students' network"),
    Column(
        "reference_network",
        "of the first run, that it is compared with",
        missing="the first run",
    ),
    _METHOD,
    _IPC,
    _REGIME,
    *(
        column
        for name in ("accuracy", "ci95", "n", "failed", "gap", "gap_ci95", "gap_n")
        for column in SUMMARY
        if column.name == name
    ),
    *(
        column
        for kind, words, missing in (
            (
                "difference",
                "accuracy minus that of the first run",
                "the first run; cells that it lacks; other test images",
            ),
            (
                "gap_difference",
                "gap to random minus that of the first run",
                "the first run; cells that it lacks; `random`",
            ),
        )
        for column in (
            Column(kind, words, *_FURTHER, missing=missing),
            Column(
                f"{kind}_ci95",
                "half width of its 95 % interval, Student's or Welch's",
                *_WIDTH,
                missing="likewise; fewer than two seeds",
            ),
            Column(
                f"{kind}_n",
                "pairs, or the students of both runs where unpaired",
                "",
                _WHOLE,
                missing="likewise",
            ),
            Column(
                f"{kind}_pairing",
                "whether the interval is of pairs",
                values="`paired`, `unpaired`",
                missing="likewise",
            ),
            Column(
                f"{kind}_p_holm",
                "p of the test that there is none, by Holm over the column",
                "",
                "0 to 1",
                missing="likewise; fewer than two seeds",
            ),
            Column(
                f"{kind}_state",
                "what is shown; `small`: that it is smaller than 1 point",
                values="`shown`, `small`, `undecided`",
                missing="likewise",
            ),
        )
    ),
)

_FRACTION = ("", "0 to 1")
_SIGNED = ("", "-1 to 1")
_VIEWS = Column(
    "views",
    "the students' augmentation: `none`, `dsa`, or its settings",
    missing="no manifest",
)
_RUN = Column("run", "the shortest end of its path that no other run shares")
_SOURCE = Column("source", "name of its source", missing="no manifest")
_STUDENT = Column("student", "the network, by its first name in the run")
_LABELS = Column("labels", "of the students", values="an entry of `regimes`")

LEADERBOARD = (
    Column(
        "rank",
        "place by LRS among those of the source and budget",
        values="1, 2, ...",
        missing="no LRS",
    ),
    _SOURCE,
    _IPC,
    _METHOD,
    _STUDENT,
    _VIEWS,
    _LABELS,
    _RUN,
    *(
        column
        for name, meaning, values, missing in (
            ("hlr", "hard label recovery", _SIGNED, "no full data or hard labels"),
            ("ior", "improvement over random", _SIGNED, "no random subsets"),
            ("lrs", "label-robust score", _FRACTION, "no HLR or IOR"),
            ("ars", "augmentation-robust score", _FRACTION, "no students without"),
            ("augmented_ior", "IOR with augmentation", _SIGNED, "as `ars`"),
            ("plain_ior", "IOR without augmentation", _SIGNED, "as `ars`"),
        )
        for column in (
            Column(name, f"{meaning}, mean over seeds", *values, missing=missing),
            Column(
                f"{name}_ci95",
                "half width of its 95 % interval",
                values="0 or more",
                missing="likewise; one seed",
            ),
        )
    ),
    Column("n", "runs of the LRS, else of the IOR or HLR", "seeds", "1, 2, ..."),
    Column("sets", "sets or subsets that differ", "sets", "0, 1, 2, ..."),
    *(
        Column(name, meaning, *_FRACTION, missing="not trained")
        for name, meaning in (
            ("full", "accuracy of the full data, hard labels"),
            ("synthetic_hard", "accuracy of the set, hard labels"),
            ("synthetic", "accuracy of the set, these labels"),
            ("random", "accuracy of random subsets, these labels"),
        )
    ),
    Column("full_run", "the run of the full data", missing="none"),
    Column("full_views", "their augmentation", missing="none"),
    Column("full_passes", "their training", "images", "0 or more", "none"),
    Column(
        "full_pairing",
        "whether they share the set's seeds",
        values="`paired`, `unpaired`",
        missing="no HLR",
    ),
    Column("w", "weight of IOR in LRS", *_FRACTION),
    Column("gamma", "weight of `augmented_ior` in ARS", *_FRACTION),
    Column(
        "note", "what to keep in mind", values="`chosen on test`", missing="nothing"
    ),
)

AUGMENTATIONS = (
    _RUN,
    _SOURCE,
    _STUDENT,
    _LABELS,
    _IPC,
    _METHOD,
    _VIEWS,
    Column("accuracy", "on test, mean over seeds", *_FRACTION),
    Column(
        "ci95",
        "half width of its 95 % interval",
        values="0 or more",
        missing="one seed",
    ),
    Column("n", "students", "students", "1, 2, ..."),
)

FILES = (
    File(README, "this description"),
    File(
        "report.html",
        "the answer in words, tables, figures, costs, settings, environment; one file, "
        "no network",
    ),
    File(
        "verdicts.json",
        "a JSON object: the verdicts, and what their tests are",
        VERDICTS,
        "students",
    ),
    File(
        "summary.csv",
        "a row for each method, budget and regime",
        SUMMARY,
        "students",
    ),
    File(
        "summary.csv",
        "a row for each teacher and snapshot",
        TEACHERS,
        "teachers",
    ),
    File(
        "members.jsonl",
        "a line for each student with its picked learning rate, a JSON object",
        MEMBERS,
        "students",
    ),
    File(
        "stages.csv",
        "a row for each stage: what it took",
        STAGES,
    ),
    File(
        "metrics.jsonl",
        "numbers of trainings, a line for each moment, written while they go on",
    ),
    File(
        "dcs.csv",
        "where five or more selections are compared: a row for each number of a "
        "subset that may correlate with the test loss",
        DCS,
        "students",
    ),
    File(
        "architectures.csv",
        "with `transfer`: a row for each network, method, budget and regime",
        ARCHITECTURES,
        "students",
    ),
    File(
        "subset.csv",
        "a row for each image of the recommended subset",
        _SUBSET,
        "students",
    ),
    File(
        "subsets/*.csv",
        "`METHOD_ipcI_seedS.csv`, of a method that searches "
        "`METHOD_REGIME_ipcI_seedS.csv`: a row for each image of a selected subset",
        _SUBSET,
        "students",
    ),
    File(
        "scores/*.csv",
        "`ipcI_seedS.csv`: a row for each image of the pool",
        SCORES,
        "students",
    ),
    File(
        "images/", "synthetic sets, as PNG, learned floats as .npz too", of="students"
    ),
    File("figures/*.png", "the figures of the report"),
    File("manifest.json", "settings, source, versions, costs, list of these files"),
    File(
        "artifacts/",
        "the result of every stage: weights, traces, subsets, labels, students",
    ),
    File("partial/", "checkpoints of unfinished stages"),
    File(
        "tensorboard/, profile/",
        "with `observe.tensorboard` and `observe.profile_steps`",
    ),
    File(
        "run.json, .lock",
        "which experiment and source the workdir belongs to; the lock of the process "
        "that writes",
    ),
)
RULES = """\
Tables are UTF-8 text with a header; unknown values are empty in CSV and `null` in JSON.
Accuracies are percentages, differences of accuracies points.

Names stand as they are: Python's `csv` reads back what was given, and so does
`pandas.read_csv(path, dtype={"class": str, "path": str}, keep_default_na=False)`, which
keeps a class called `NA` or `1`. A spreadsheet may take a name that begins with `=`,
`+`, `-` or `@` for a formula: import such columns as text. (No quoting keeps it from
that, and an apostrophe before the name would be part of it for every other program.)
Bytes of a file's name that are no text are escaped, as `\\xff`.
"""


def readme(of: str) -> str:
    """Returns the README.md of a workdir.

    Args:
      of: "students" or "teachers", the latter of a run that only trains these.
    """
    files = [file for file in FILES if file.of in ("", of)]
    lines = [MARK, "", "# The files of this run", ""]
    lines += [RULES, _listing(files)]
    for file in files:
        if file.columns:
            lines += [f"## {file.name}", "", _sentence(file.content), ""]
            lines.append(_columns(file.columns))
    return "\n".join(lines)


def updated(page: str) -> str:
    """Returns a page of the documentation with its tables as they are declared.

    Args:
      page: the tables stand between `<!-- table: NAME -->` and `<!-- end -->`; NAME is
        "files", "rules" (on all of them), the name of a file, or that of a file and
        whose run it is of, such as "summary.csv of teachers".

    Raises:
      KeyError: there is no table of that name.
    """
    tables = {_RULES: RULES}
    tables[_FILES] = _listing([file for file in FILES if file.of != "teachers"])
    others = (
        File("compare.csv", "", COMPARED),
        File("leaderboard.csv", "", LEADERBOARD),
        File("augmentations.csv", "", AUGMENTATIONS),
    )
    for file in (*FILES, *others):
        if file.columns:
            tables[f"{file.name} of {file.of}"] = _columns(file.columns)
            tables.setdefault(file.name, _columns(file.columns))
    return _TABLE.sub(lambda hit: f"{hit[1]}{tables[hit[2]]}{hit[3]}", page)


def _listing(files: Iterable[File]) -> str:
    rows = []
    for file in files:
        name = ", ".join(f"`{one}`" for one in file.name.split(", "))
        if file.columns:
            name = f"[{name}](#{re.sub(r'[^a-z_]', '', file.name)})"
        rows.append((name, file.content))
    return _grid(("file", "content"), rows)


def _columns(columns: Iterable[Column]) -> str:
    header = ("column", "meaning", "unit", "values", "missing")
    rows = [(f"`{c.name}`", c.meaning, c.unit, c.values, c.missing) for c in columns]
    return _grid(header, rows)


def _grid(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def main() -> None:
    """Brings the tables of pages up to date."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("pages", type=pathlib.Path, nargs="+")
    for path in parser.parse_args().pages:
        text = path.read_text(encoding="utf-8")
        path.write_text(updated(text), encoding="utf-8")


if __name__ == "__main__":
    main()
