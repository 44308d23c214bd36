"""CAD-Prune against random and EL2N on ImageNet-1K, under three label regimes.

Claim (Hard Truths, arXiv 2604.18811): under hard labels and one compute budget the kept
images matter, CAD-Prune beats random and EL2N's best window and finds its images in one
scoring run; under a teacher's labels of every view a random subset does as well.

    python -m ddjax.main --config=configs/imagenet/cad_prune.py --dry_run
    python -m ddjax.main --config=configs/imagenet/cad_prune.py \\
        --config.data.data_dir=TFDS_FOLDER

Variants; but for `smoke` nothing of this was run so far:

- `imagenet` (default): 224 px, streamed from TFDS's `imagenet2012` as ArrayRecord,
  ResNet-18, IPC 10, 50 and 100, three seeds: 162 students that are compared.
- `imagenet_small`: the same at 64 px with the same layers, eight students together; a
  fifteenth of the operations, and no paper's protocol.
- `smoke`: digits and an MLP, seconds; its numbers mean nothing.

Cost, from `--dry_run`, at 35 % of the peak bfloat16 rate: 3.9e19 operations. Hours:

              v4    v5e    v5p    v6e   A100   H100
    1 chip   112    156   66.9   33.4   98.3   31.0
    8 chips  13.9   19.5    8.4    4.2   12.3    3.9

- These hold where the hosts keep up: 8.7e8 images are decoded, a day at 10,000/s.
  Networks compute in float32, which an A100 or H100 does at half of that rate or less;
  `--config.student.network.dtype=bfloat16` and the same for the teacher.
- Memory: 21 GiB on one chip (too much for a v5e), 2.7 GiB on each of eight. Predictions
  of the scoring runs take 28 GiB of a host.
- Disk: 10.3 GB, and up to 36 GB while a budget is scored.
- Eight chips share a batch of 200. More are of use with
  `--config.sweep.driver=mesh --config.sweep.members=8 --config.mesh.data=8`, which
  holds eight subsets at once.

Expected, of ResNet-18 with hard labels (Table 3, from a third party's transcription):
CAD-Prune 12.57 and 40.21, EL2N-Best 10.53 and 38.44 at IPC 10 and 50; with SL+KD about
28.8, 58.1 and 62.9 for random at IPC 10, 50 and 100. The paper's epochs, learning rate
and most batch sizes are not known, see `presets.imagenet`, so ours may differ.

With 300 epochs the scoring run of IPC 10 has 2.4 epochs, too few for J + W = 8: its
snapshots are taken within epochs. A torchvision teacher, as the papers have, is
`--config.teacher.path=FILE --config.teacher.classes=FILE`. The learning rate is the
literature's one; `--config.student.learning_rates="(5e-4, 1e-3, 2e-3)"` tries three.
"""

from ddjax import presets

VARIANTS = ("imagenet", "imagenet_small", "smoke")

_METHODS = ("random", "el2n_easy", "el2n_hard", "el2n_best_window", "cad_prune")


def get_config(variant: str = "imagenet"):
    presets.check_variant(variant, VARIANTS)
    if variant == "imagenet":
        config = presets.imagenet()
        config.select.methods = _METHODS
    elif variant == "imagenet_small":
        config = presets.imagenet(image_size=64)
        config.select.methods = _METHODS
    elif variant == "smoke":
        config = presets.smoke()
        config.select.methods = ("random", "el2n_easy", "cad_prune")
        config.select.ipcs = (2,)
        config.student.epochs = 10
    config.name = f"imagenet_cad_prune_{variant}"
    return config
