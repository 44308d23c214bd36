"""The small-scale protocol of "Hard Truths" for one soft label an image.

KL at temperature 20, AdamW 1e-3, cosine, 300 epochs, batch 256, DSA.

Source: arXiv 2604.18811. Whether the loss has the squared temperature was not found.

    python -m ddjax.main --config=configs/protocols/hard_truths_small_soft.py \\
        --config.images=PATH

Without `--config.images` random subsets are judged alone. Variants are those of
`presets.judged`: `digits` (default), `fashion_mnist`, `cifar10`, `cifar100`,
`tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets
from ddjax.data.augment import DSA_OPERATIONS

VARIANTS = tuple(presets.JUDGED)


def get_config(variant: str = "digits"):
    config = presets.judged(variant)
    config.student.epochs = 300
    config.student.batch_size = 256
    config.student.learning_rates = (0.001,)
    config.student.scale_by_t2 = False
    config.regimes = ("soft",)
    config.augment.dsa = DSA_OPERATIONS
    return presets.named_protocol(config, "hard_truths_small_soft", variant)
