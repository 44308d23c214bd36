"""D4M's protocol: SRe2L's.

Source: the settings of its code for ImageNet-1K, as RD3 lists them too (Table 10).

    python -m ddjax.main --config=configs/protocols/d4m.py \\
        --config.images=PATH

Without `--config.images` random subsets are judged alone. Variants are those of
`presets.judged`: `digits` (default), `fashion_mnist`, `cifar10`, `cifar100`,
`tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.JUDGED)


def get_config(variant: str = "digits"):
    config = presets.judged(variant)
    presets.fkd_student(config, batch_size=1024)
    return presets.named_protocol(config, "d4m", variant)
