"""The small-scale protocol of "Hard Truths": hard labels, DSA.

SGD 0.01 with a step at half of 300 epochs, batch 256. Momentum 0.9 and weight decay
5e-4 are not sure: the notes on its Table 4 differ.

Source: arXiv 2604.18811, Table 4.

    python -m ddjax.main --config=configs/protocols/hard_truths_small.py \\
        --config.images=PATH

Without `--config.images` random subsets are judged alone. Variants are those of
`presets.judged`: `digits` (default), `fashion_mnist`, `cifar10`, `cifar100`,
`tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.JUDGED)


def get_config(variant: str = "digits"):
    config = presets.judged(variant)
    presets.dsa_student(config, epochs=300)
    return presets.named_protocol(config, "hard_truths_small", variant)
