"""How images are recovered from what a teacher remembers: SRe2L and its family."""

import dataclasses

from ddjax.declare import Text, setting

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

    iterations: int = setting(1000, "Steps of the descent.", "[1, 1000000]")
    learning_rate: float = setting(
        0.25, "Of Adam, at the start of its cosine.", "[1e-6, 1000]"
    )
    batch: int = setting(
        100, "Images that are optimised together, at most.", "[1, 100000]"
    )
    beta1: float = setting(0.5, "Of Adam's first moment.", "[0, 1)")
    beta2: float = setting(0.9, "Of Adam's second moment.", "[0, 1)")
    bn_weight: float = setting(
        0.01, "Of the statistics' distance beside the cross-entropy.", "[0, 1e6]"
    )
    first_bn: float = setting(
        10.0, "Of the first batch norm beside the others.", "[0, 1e6]"
    )
    area: float = setting(0.08, "Lowest area of a resized crop; 1: no crops.", "(0, 1]")
    flip: bool = setting(False, "Mirror left and right with probability 1/2.")
    jitter: int = setting(4, "How far images roll, in pixels.", "[0, 512]")
    two_sided: bool = setting(True, "Roll by -jitter .. jitter, or by 0 .. jitter.")
    init: str = setting(
        "",
        "What the descent starts from: noise, random (real images of the class), rded, "
        "or the path of an image set; '': the method's own.",
        Text("noise, random, rded or a path", path=True),
    )
    curriculum: str = setting("cosine", "cda: how the lowest area falls.", CURRICULA)
    milestone: float = setting(
        1.0, "cda: the fraction of the iterations in which it does.", "(0, 1]"
    )
    var_weight: float = setting(
        11.0, "dwa: of the variances beside the means; ImageNet: 2.", "[0, 1e6]"
    )
    rho: float = setting(0.015, "dwa: how far the teacher's weights move.", "[0, 100]")
    ascent_steps: int = setting(
        12, "dwa: in how many steps they do; ImageNet: 15.", "[1, 1000]"
    )
    prior: tuple[float, ...] = setting(
        (),
        "cv_dd: for each teacher, the accuracy in percent of students of the images "
        "that it gave alone; (): all count the same.",
        "[0, 100]",
    )
    drawn: int = setting(
        2, "cv_dd: teachers that are drawn for each image index; 0: all.", "[0, 1000]"
    )
    momentum: float = setting(
        0.8,
        "g_vbsm, edc: of the average of statistics over iterations; G-VBSM's ImageNet: "
        "0.4.",
        "[0, 1)",
    )
    patch: int = setting(
        4,
        "g_vbsm, edc: side of the patches of what enters convolutions; ImageNet: 16.",
        "[1, 512]",
    )
    drop_rate: float = setting(
        0.0,
        "g_vbsm, edc: how probably a convolution is left out of an iteration's "
        "distance.",
        "[0, 1)",
    )
    likeness: float = setting(
        1.0, "g_vbsm: weight of the likeness of a class's images.", "[0, 1e6]"
    )
    flatness: float = setting(
        0.0,
        "edc: weight of the flatness term, which its paper has and its recipes leave "
        "off.",
        "[0, 1e6]",
    )
    flatness_momentum: float = setting(
        0.99, "edc: of the images' average; ImageNet: 0.9.", "[0, 1)"
    )
