"""CA2D and RDED against random images on ImageNet-1K, under three label regimes.

Claim (Hard Truths, arXiv 2604.18811): candidates of the right difficulty beat RDED's
random ones with hard labels; under a teacher's labels of every view neither is worth
more than random images.

    python -m ddjax.main --config=configs/imagenet/ca2d.py --dry_run
    python -m ddjax.main --config=configs/imagenet/ca2d.py \\
        --config.data.data_dir=TFDS_FOLDER

The teacher is that of `configs/imagenet/cad_prune.py`: with the bundle that it leaves,
`--config.teacher.path=FOLDER`, it is not trained again. Variants; but for `smoke`
nothing of this was run so far:

- `imagenet` (default): 224 px, streamed, ResNet-18, IPC 10, 50 and 100, three seeds
  with a set of images each: 108 students that are compared.
- `imagenet_small`: 64 px with the same layers and one patch an image, as the literature
  has it at that size; a fifteenth of the operations, and no paper's protocol.
- `smoke`: digits and an MLP, seconds; its numbers mean nothing.

Cost, from `--dry_run`, at 35 % of the peak bfloat16 rate: 2.3e19 operations. Hours:

              v4    v5e    v5p    v6e   A100   H100
    1 chip   65.5   91.5   39.3   19.6   57.7   18.2
    8 chips   8.2   11.4    4.9    2.5    7.2    2.3

- These hold where the hosts keep up: 9.2e8 images are decoded, a day at 10,000/s; see
  `cad_prune.py` for float32, hosts' memory and more chips.
- Memory: 49 GiB on one chip (A100, H100, H200 and v5p have it), 6.3 GiB on each of
  eight; `--config.distill.ca2d.sets=1` and the same for `rded` take a third.
- Disk: 159 GB, of which 145 GB are images, and up to 36 GB while a budget is scored.

Expected, of ResNet-18 with hard labels at IPC 10, 50 and 100 (Table 3, from a third
party's transcription): CA2D 15.25, 41.72, 46.32 and RDED 14.34, 38.49, 44.36. The
paper's epochs, learning rate and most batch sizes are not known, so ours may differ.

IPC 100 takes 400 patches a class, more than the 300 candidates of RDED's scripts: there
are 600, its code's default, and CA2D draws from as many. Whether CA2D has RDED's 2 x 2
patches here was not confirmed.
"""

from ddjax import presets, settings

VARIANTS = ("imagenet", "imagenet_small", "smoke")

_CANDIDATES = 600  # images a class


def get_config(variant: str = "imagenet"):
    presets.check_variant(variant, VARIANTS)
    if variant == "imagenet":
        config = presets.imagenet()
    elif variant == "imagenet_small":
        config = presets.imagenet(image_size=64)
    elif variant == "smoke":
        config = presets.smoke()
        config.regimes = ("hard",)
        config.select.ipcs = (2,)
        config.student.epochs = 10
    config.select.methods = ("random",)
    for name in ("ca2d", "rded"):
        settings.add_distillation(config, name)
        patches = config.distill[name].patches
        patches.factor = 2 if variant == "imagenet" else 1
        patches.candidates = 20 if variant == "smoke" else _CANDIDATES
    config.distill.ca2d.ca2d.pool = config.distill.ca2d.patches.candidates
    config.name = f"imagenet_ca2d_{variant}"
    return config
