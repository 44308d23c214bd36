"""The protocol of DC, DSA, DM and MTT: hard labels, DSA, 1,000 epochs.

SGD 0.01, momentum 0.9, weight decay 5e-4, one step (x0.1) at half, batch 256; DC alone
trains for 300 epochs and without augmentation (but on MNIST and with batch norm, where
it has crops of its own and 1,000 epochs), MTT with a learned rate. They decay all
tensors, here biases and norms are not decayed.

Source: VICO-UoE/DatasetCondensation and GeorgeCazenavette/mtt-distillation.

    python -m ddjax.main --config=configs/protocols/dc.py \\
        --config.images=PATH

Without `--config.images` random subsets are judged alone. Variants are those of
`presets.judged`: `digits` (default), `fashion_mnist`, `cifar10`, `cifar100`,
`tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.JUDGED)


def get_config(variant: str = "digits"):
    config = presets.judged(variant)
    presets.dsa_student(config, epochs=1000)
    return presets.named_protocol(config, "dc", variant)
