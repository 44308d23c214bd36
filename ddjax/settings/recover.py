"""How images are recovered from what a teacher remembers: SRe2L and its family."""

import dataclasses

from ddjax.settings import checks

INITS = ("", "noise", "random", "rded")  # any other is a path
CURRICULA = ("cosine", "linear", "step")


@dataclasses.dataclass(frozen=True)
class Recover:
    """Gradient descent on images; a method reads the fields that it names.

    The defaults are SRe2L's for CIFAR-100, with two departures. Crops are on, as in the
    rest of the family, where SRe2L and DWA on CIFAR only roll; `area` = 1 turns them
    off. And images roll both ways: SRe2L's one-sided roll shifts them by half of
    `jitter` on average; `two_sided` = False brings it back.
    """

    iterations: int = 1000
    learning_rate: float = 0.25  # of Adam, at the start of its cosine
    batch: int = 100  # images that are optimised together, at most
    beta1: float = 0.5
    beta2: float = 0.9
    bn_weight: float = 0.01  # of the statistics' distance beside the cross-entropy
    first_bn: float = 10.0  # of the first batch norm beside the others
    area: float = 0.08  # lowest area of a resized crop; 1: no crops
    flip: bool = False
    jitter: int = 4  # pixels, how far images roll
    two_sided: bool = True  # roll by -jitter .. jitter, or by 0 .. jitter
    # noise, random (real images of the class), rded, or the path of an image set;
    # "": the method's own.
    init: str = ""
    curriculum: str = "cosine"  # cda: how the lowest area falls; linear, step
    milestone: float = 1.0  # cda: the fraction of the iterations in which it does
    var_weight: float = 11.0  # dwa: of the variances beside the means; ImageNet: 2
    rho: float = 0.015  # dwa: how far the teacher's weights move
    ascent_steps: int = 12  # dwa: in how many steps; ImageNet: 15
    # cv_dd: for each teacher, the accuracy in percent of students of images that it
    # made alone; (): all count the same.
    prior: tuple[float, ...] = ()
    # cv_dd: teachers that are drawn for each image index; 0: all of them.
    drawn: int = 2
    # g_vbsm, edc: of the average of statistics over iterations; G-VBSM's ImageNet: 0.4.
    momentum: float = 0.8
    # g_vbsm, edc: side of the patches of what enters convolutions; ImageNet: 16.
    patch: int = 4
    # g_vbsm, edc: how probably a convolution is left out of an iteration's distance.
    drop_rate: float = 0.0
    likeness: float = 1.0  # g_vbsm: weight of the likeness of a class's images
    # edc: weight of the flatness term, which its paper has and its recipes leave off.
    flatness: float = 0.0
    flatness_momentum: float = 0.99  # edc: of the images' average; ImageNet: 0.9

    def check(self, section: str) -> None:
        """Raises InputError where a value makes no sense; `section` is its prefix."""
        checks.finite(f"{section}.iterations", self.iterations, 1)
        checks.positive(f"{section}.learning_rate", self.learning_rate)
        checks.finite(f"{section}.batch", self.batch, 1)
        for key in ("beta1", "beta2", "momentum", "drop_rate", "flatness_momentum"):
            found = getattr(self, key)
            checks.require(
                0 <= found < 1, f"{section}.{key}", found, "a number in [0, 1)"
            )
        for key in (
            "bn_weight",
            "first_bn",
            "var_weight",
            "rho",
            "likeness",
            "flatness",
        ):
            checks.finite(f"{section}.{key}", getattr(self, key), 0)
        for key in ("area", "milestone"):
            found = getattr(self, key)
            checks.require(
                0 < found <= 1, f"{section}.{key}", found, "a number in (0, 1]"
            )
        checks.finite(f"{section}.jitter", self.jitter, 0)
        checks.one_of(f"{section}.curriculum", self.curriculum, CURRICULA)
        checks.finite(f"{section}.ascent_steps", self.ascent_steps, 1)
        checks.finite(f"{section}.drawn", self.drawn, 0)
        checks.finite(f"{section}.patch", self.patch, 1)
        for accuracy in self.prior:
            checks.finite(f"{section}.prior", accuracy, 0, 100)
