"""Which images, how large, and how they are divided."""

import dataclasses

from ddjax.declare import PATH, Text, setting


@dataclasses.dataclass(frozen=True)
class Data:
    """Which images, how large, and how they are divided."""

    source: str = setting(
        "digits",
        "Where images come from, see ddjax.data.SOURCES.",
        Text(
            "a source, such as digits, folder:PATH, npz:PATH, cifar:PATH, glyphs:PATH "
            "or tfds:NAME"
        ),
    )
    data_dir: str = setting(
        "", "Where the source's files are; '': the source's own place.", PATH
    )
    image_size: int = setting(
        0, "Pixels a side after loading; 0: as they come.", "[0, 1024]"
    )
    stream: bool = setting(
        False,
        "Images stay on disk and are decoded when needed, see ddjax.data.load.",
    )
    workers: int = setting(
        0, "That decode a stream for this process; 0: one a core.", "[0, 1024]"
    )
    pool: int = setting(
        0, "Stratified thinning of the training set to N examples; 0: all.", "[0, 1e9]"
    )
    validation: float = setting(
        0.15, "Fraction of the training set that is kept for every choice.", "(0, 1)"
    )
