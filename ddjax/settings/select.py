"""Which selections are compared, and the readings of the literature they follow."""

import dataclasses

from ddjax.settings import checks

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

    scores: str = ""  # .npy or .csv of one number an example id, see data.read_scores
    column: str = ""  # of a .csv with several; "": it has one
    keep: str = "highest"  # scores kept in each class, or lowest
    subset: str = ""  # .npy or .csv of example ids, exactly IPC of every class

    def check(self, key: str) -> None:
        """Raises InputError where an entry makes no sense; `key` starts the message."""
        checks.require(
            (self.scores == "") != (self.subset == ""),
            f"{key}.scores",
            self.scores,
            f"a path, or else one in {key}.subset (found {self.subset!r}), not both",
        )
        checks.one_of(f"{key}.keep", self.keep, KEEP)


@dataclasses.dataclass(frozen=True)
class Select:
    """Which selections are compared, see ddjax.select.METHODS, and how they read.

    Where the literature is ambiguous or papers disagree, the reading is a field here.
    """

    methods: tuple[str, ...] = ("random", "cad_prune")  # or names of `imported`
    ipcs: tuple[int, ...] = (2, 5, 10)
    window_starts: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)  # of best_window methods
    runs: int = 1  # scoring runs a seed, over which scores are averaged
    features: str = "trace"  # trace or teacher, or the path of a .npy [N,D]
    layer: str = ""  # whose output they are; "": the input of the last dense layer
    cad_span: int = 0  # snapshots a window spans (J); 0: the longest the trace allows
    cad_windows: int = 2  # windows averaged (W)
    cad_quantity: str = "true_prob"  # what S is: true_prob or el2n
    # Which end of CAD is kept. The paper does not state it in so many words; the
    # highest are those that still fluctuate at the end of a run of a student's length.
    cad_keep: str = "highest"  # or lowest
    never_learned: str = "max"  # forgetting of never-learned examples
    aum_margins: str = "logit"  # or probability
    drop_hardest: float = 0.3  # fraction of a class that ccs and d2 drop first
    neighbors: int = 5  # of d2's graph
    d2_gamma: float = 0.1  # how far d2's choices damp their neighbours
    beta_c: float = 4.0  # how fast dual_beta turns to easy examples
    imported: dict[str, Imported] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        checks.require(
            len(self.methods) > 0, "select.methods", self.methods, "some methods"
        )
        for key, values in (("methods", self.methods), ("ipcs", self.ipcs)):
            checks.require(
                len(set(values)) == len(values),
                f"select.{key}",
                values,
                "every entry once",
            )
        checks.require(
            len(self.ipcs) > 0, "select.ipcs", self.ipcs, "at least one budget"
        )
        for ipc in self.ipcs:
            checks.require(ipc >= 1, "select.ipcs", ipc, "integers >= 1")
        checks.require(
            len(self.window_starts) > 0,
            "select.window_starts",
            self.window_starts,
            "at least one start",
        )
        for start in self.window_starts:
            checks.finite("select.window_starts", start, 0, 1)
        checks.finite("select.runs", self.runs, 1)
        checks.require(
            self.features in ("trace", "teacher") or self.features.endswith(".npy"),
            "select.features",
            self.features,
            "trace, teacher, or the path of a .npy file",
        )
        checks.require(
            not (self.layer and self.features.endswith(".npy")),
            "select.layer",
            self.layer,
            f"'' with features from the file {self.features}",
        )
        checks.finite("select.cad_span", self.cad_span, 0)
        checks.require(
            self.cad_span != 1, "select.cad_span", self.cad_span, "0 or at least 2"
        )
        checks.finite("select.cad_windows", self.cad_windows, 1)
        checks.one_of("select.cad_quantity", self.cad_quantity, CAD_QUANTITIES)
        checks.one_of("select.cad_keep", self.cad_keep, CAD_KEEP)
        checks.one_of("select.never_learned", self.never_learned, NEVER_LEARNED)
        checks.one_of("select.aum_margins", self.aum_margins, MARGINS)
        checks.require(
            0 <= self.drop_hardest < 1,
            "select.drop_hardest",
            self.drop_hardest,
            "a fraction in [0, 1)",
        )
        checks.finite("select.neighbors", self.neighbors, 1)
        checks.finite("select.d2_gamma", self.d2_gamma, 0)
        checks.positive("select.beta_c", self.beta_c)
        for name, entry in self.imported.items():
            entry.check(f"select.imported.{name}")
