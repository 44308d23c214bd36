"""Which selections are compared, and the readings of the literature they follow."""

import dataclasses
from typing import TYPE_CHECKING, Any

from ddjax import select
from ddjax.declare import PATH, Names, Text, entries, setting, with_sections
from ddjax.declare.walk import require


@dataclasses.dataclass(frozen=True)
class Imported:
    """A selection from a file: others' scores, or their subset itself.

    In a path, {ipc} and {seed} stand for the budget and the seed.
    """

    scores: str = setting(
        "",
        "A .npy or .csv of one number an example id, see data.read_scores.",
        PATH,
    )
    column: str = setting(
        "", "Of a .csv with several; '': it has one.", Text("a column's name")
    )
    keep: str = setting(
        "highest", "Which scores of a class are kept.", ("highest", "lowest")
    )
    subset: str = setting(
        "", "A .npy or .csv of example ids, exactly IPC of every class.", PATH
    )

    def check(self, key: str) -> None:
        """Raises InputError where values do not fit each other."""
        require(
            (self.scores == "") != (self.subset == ""),
            f"{key}.scores",
            self.scores,
            f"a path, or else one in {key}.subset (found {self.subset!r}), not both",
        )


@dataclasses.dataclass(frozen=True)
class Variant:
    """A selection of ddjax.select.METHODS with options of its own.

    Its sections have the options of the score or selection of their name; those of
    `select` do not count for it.
    """

    method: str = setting("cad_prune", "The selection.", Names("variants"))

    def options(self) -> tuple[Any, ...]:
        """Returns its options, as of `select.Selection.own`."""
        return tuple(getattr(self, name) for name in select.options())


if not TYPE_CHECKING:  # which cannot follow classes that are put together
    Variant = with_sections(Variant, select.options())


@dataclasses.dataclass(frozen=True)
class Select:
    """Which selections are compared, see ddjax.select.METHODS, and their options.

    A section has the options of the score or selection of its name. Where the
    literature is ambiguous or papers disagree, the reading is an option.
    """

    methods: tuple[str, ...] = setting(
        ("random", select.DEFAULT),
        "The selections that are compared, or names of `variants` or `imported`.",
        Names("selections"),
        counts="[1, 1000]",
        each="once",
    )
    ipcs: tuple[int, ...] = setting(
        (2, 5, 10),
        "The budgets, images per class.",
        "[1, 1000000]",
        counts="[1, 100]",
        each="once",
    )
    runs: int = setting(
        1, "Scoring runs a seed, over which scores are averaged.", "[1, 1000]"
    )
    passes: int = setting(
        0,
        "Image passes of a scoring run, at least the students'; 0: as many, which is "
        "compute-aligned.",
        "[0, 1e12]",
    )
    recorded: str = setting(
        "all",
        "Which part of a scoring run its scores read: all of it, or the start or the "
        "end, as long as a student's training.",
        ("all", "start", "end"),
    )
    features: str = setting(
        "trace",
        "Whose features selections compare: those of the scoring run (trace), the "
        "teacher's, or a file of [N, D].",
        Text("trace, teacher, or the path of a .npy file", path=True),
    )
    layer: str = setting(
        "",
        "The layer whose output they are; '': the input of the last dense layer.",
        Text("a layer's name"),
    )
    variants: dict[str, Variant] = entries(
        "Selections with options of their own, by name."
    )
    imported: dict[str, Imported] = entries("Selections from files, by name.")

    def check(self, key: str) -> None:
        """Raises InputError where values do not fit each other."""
        file = self.features.endswith(".npy")
        require(
            file or self.features in ("trace", "teacher"),
            f"{key}.features",
            self.features,
            "trace, teacher, or the path of a .npy file",
        )
        require(
            not (self.layer and file),
            f"{key}.layer",
            self.layer,
            f"'' with features from the file {self.features}",
        )

    def options(self) -> tuple[Any, ...]:
        """Returns the options of all scores and selections, as of `select.Inputs`."""
        return tuple(getattr(self, name) for name in select.options())


if not TYPE_CHECKING:
    Select = with_sections(Select, select.options())
