"""All settings of one run."""

import dataclasses

from ddjax.declare import PATH, Names, Text, entries, setting, walk
from ddjax.declare.walk import require
from ddjax.losses import LOSSES
from ddjax.settings.augment import Augment
from ddjax.settings.data import Data
from ddjax.settings.distill import Distill
from ddjax.settings.labels import REGIMES, Labels
from ddjax.settings.observe import Observe
from ddjax.settings.protocol import Mesh, Protocol, Sweep
from ddjax.settings.select import Select
from ddjax.settings.student import Student, Transfer
from ddjax.settings.teacher import Teacher


def _three_regimes() -> dict[str, Labels]:
    return {name: Labels(regime=name) for name in REGIMES}


@dataclasses.dataclass(frozen=True)
class Settings:
    """A run of the pipeline: source, teacher, trace, subsets, students, report.

    Raises InputError where a value is out of its range or does not fit another one.
    """

    name: str = setting(
        "experiment", "Of the experiment.", Text("letters, digits and ._-, at most 100")
    )
    remarks: tuple[str, ...] = setting(
        (), "Remarks of the config, printed when a run begins.", Text()
    )
    regimes: tuple[str, ...] = setting(
        ("hard", "soft", "soft_kd"),
        "Names in `labels` to train students with; (): only teachers are trained.",
        Names("regimes", "a name in `labels`"),
        each="once",
    )
    labels: dict[str, Labels] = entries(
        "What a student is to match, by name.", _three_regimes
    )
    data: Data = Data()
    augment: Augment = Augment()
    teacher: Teacher = Teacher()
    ensemble: dict[str, Teacher] = entries("More teachers, by name.")
    student: Student = Student(epochs=100)
    transfer: dict[str, Transfer] = entries(
        "More networks that evaluate every subset, by name."
    )
    select: Select = Select()
    distill: dict[str, Distill] = entries(
        "Synthetic sets to synthesise and compare with the selections, by name."
    )
    images: str = setting(
        "",
        "An image set that is evaluated too, see ddjax.data.read_image_set. It sets "
        "select.ipcs.",
        PATH,
    )
    images_mean: tuple[float, ...] = setting(
        (),
        "By which its floats were normalised; (): they were not, or as its format has "
        "it.",
        "[-1000, 1000]",
        counts="[0, 3]",
    )
    images_std: tuple[float, ...] = setting(
        (), "Likewise.", "[1e-6, 1000]", counts="[0, 3]"
    )
    images_scale: float = setting(
        0.0,
        "Its number for white, also in `images_mean` and `images_std`; 0: 255 for "
        "uint8, 1 for floats.",
        "[1e-6, 1e9]",
        also=(0.0,),
    )
    images_clip: float = setting(
        0.005,
        "Share of its numbers that may lie beyond black and white; of learned images "
        "at least a half may.",
        "[0, 1]",
    )
    images_resize: bool = setting(False, "Accept images of another size.")
    images_labels: bool = setting(
        False, "In the regime `soft`: the set's own labels, not the teacher's."
    )
    images_label_kind: str = setting(
        "",
        "What its soft labels are; '': what is plain: probabilities where rows sum to "
        "1, logits where numbers are negative.",
        ("probabilities", "percent", "logits"),
        also=("",),
    )
    images_contradicting: float = setting(
        0.5,
        "Share of its images whose soft labels may favour another class than theirs.",
        "[0, 1]",
    )
    protocol: Protocol = Protocol()
    sweep: Sweep = Sweep()
    mesh: Mesh = Mesh()
    observe: Observe = Observe()

    def __post_init__(self):
        walk.check(self)

    def check(self, key: str) -> None:
        """Raises InputError where values do not fit each other."""
        del key
        plain = self.name.replace("_", "").replace("-", "").replace(".", "")
        require(
            plain.isascii() and plain.isalnum() and len(self.name) <= 100,
            "name",
            self.name,
            "letters, digits and ._-, at most 100",
        )
        require(
            not self.images_labels or ("soft" in self.regimes and self.images != ""),
            "images_labels",
            self.images_labels,
            "False without `images`, or without `soft` among the regimes",
        )
        for name, teacher in {"teacher": self.teacher, **self.ensemble}.items():
            require(
                not (self.protocol.resample and teacher.path),
                "protocol.resample",
                self.protocol.resample,
                f"False with a teacher that is not trained here, as {name} is",
            )
        for ipc in self.select.ipcs:
            for name in self.regimes:
                labels = self.labels.get(name, Labels())
                require(
                    not labels.slc or labels.slc >= ipc,
                    f"labels.{name}.slc",
                    labels.slc,
                    f"at least the {ipc} images a class of select.ipcs",
                )
        known = {"teachers": ("teacher", *self.ensemble), "losses": LOSSES}
        walk.check_names(self, known)
