"""Which selections are compared, and the readings of the literature they follow."""

import dataclasses

from ddjax.declare import PATH, Names, Text, entries, setting
from ddjax.declare.walk import require

CAD_QUANTITIES = ("true_prob", "el2n")
CAD_KEEP = ("highest", "lowest")
NEVER_LEARNED = ("max", "infinity", "zero")
MARGINS = ("logit", "probability")
KEEP = ("highest", "lowest")


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
    keep: str = setting("highest", "Which scores of a class are kept.", KEEP)
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
class Select:
    """Which selections are compared, see ddjax.select.METHODS, and how they read.

    Where the literature is ambiguous or papers disagree, the reading is a field here.
    """

    methods: tuple[str, ...] = setting(
        ("random", "cad_prune"),
        "The selections that are compared, or names of `imported`.",
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
    window_starts: tuple[float, ...] = setting(
        (0.0, 0.25, 0.5, 0.75),
        "Where the windows of best_window methods start, as fractions of a class from "
        "its easiest image on.",
        "[0, 1]",
        counts="[1, 1000]",
    )
    runs: int = setting(
        1, "Scoring runs a seed, over which scores are averaged.", "[1, 1000]"
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
    cad_span: int = setting(
        0,
        "Snapshots that a window of CAD spans (J); 0: the longest the trace allows.",
        "[2, 10000]",
        also=(0,),
    )
    cad_windows: int = setting(2, "Windows of CAD that are averaged (W).", "[1, 10000]")
    cad_quantity: str = setting("true_prob", "What S of CAD is.", CAD_QUANTITIES)
    cad_keep: str = setting(
        "highest",
        "Which end of CAD is kept. The paper does not state it in so many words; the "
        "highest are those that still fluctuate at the end of a run of a student's "
        "length.",
        CAD_KEEP,
    )
    never_learned: str = setting(
        "max", "forgetting: what examples count that are never learned.", NEVER_LEARNED
    )
    aum_margins: str = setting("logit", "aum: margins of what.", MARGINS)
    drop_hardest: float = setting(
        0.3, "Fraction of a class that ccs and d2 drop first.", "[0, 1)"
    )
    neighbors: int = setting(5, "Of d2's graph.", "[1, 10000]")
    d2_gamma: float = setting(
        0.1, "How far d2's choices damp their neighbours.", "[0, 1000]"
    )
    beta_c: float = setting(
        4.0, "How fast dual_beta turns to easy examples.", "(0, 1000]"
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
