"""RD3's unified protocol for students other than ResNet-18.

Source: RD3, "Rectified Decoupled Dataset Distillation", and ndhg1213/RD3: one ResNet-18
as teacher, epoch-wise soft labels of the views that the student sees, KL, AdamW, patch
shuffle, random resized crops of at least half of the image, flip, CutMix. It does not
say the temperature (a figure says that gains stop above 20), the weight decay (here
0.01), nor how hard labels meet CutMix (here they do not: `augment.cutmix_regimes`).
Patch shuffle is for soft labels only too, since our teachers train as `hard` does.
Batch 100, 400 epochs, cosine with zeta 2; for ResNet-50 and 101 its appendix says 1.

    python -m ddjax.main --config=configs/protocols/rd3_cross.py \\
        --config.images=PATH

Without `--config.images` random subsets are judged alone. Variants are those of
`presets.judged`: `digits` (default), `fashion_mnist`, `cifar10`, `cifar100`,
`tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.JUDGED)


def get_config(variant: str = "digits"):
    config = presets.judged(variant)
    presets.rd3_student(config)
    config.student.batch_size = 100
    config.student.optimizer.zeta = 2.0
    return presets.named_protocol(config, "rd3_cross", variant)
