"""How small can the stored labels of every view be? Accuracy against bytes, replayed.

Claims tested: random pruning of labels loses little (LPLD, 40x); top-k labels more
(LPQLD); a vector-quantised autoencoder keeps most of the accuracy at 40 times fewer
bytes than float16 (arXiv 2603.03808, whose architecture was not available to us: ours
is described in `ddjax.labels.codecs.vq`). Every format is stored, read back and trained
from; its bytes count codebooks and decoders. `poolP_X` keeps the labels of one epoch in
P, in format X, and draws the epochs of training among them with replacement.

    python -m ddjax.main --config=configs/label_compression.py
    python -m ddjax.main --config=configs/label_compression.py:fashion_mnist
    python -m ddjax.main --config=configs/label_compression.py:smoke

Variants, on 2 CPU cores: `digits` (default, IPC 10), six minutes, its result is in
`results/label_compression_digits`; `fashion_mnist` (14 px, IPC 50, see
`configs/cad_prune.py`), about half an hour, its result is in
`results/label_compression`; `smoke`.
"""

from ddjax import presets
from ddjax.settings import add_labels

VARIANTS = ("digits", "fashion_mnist", "smoke")

# Name, codec, epochs of the pool as a fraction of all (0: every view has its label).
_VQ = "vq:codes=16,groups=4,hidden=0"  # 16 bits a label, small codebooks
_FORMATS = (
    ("fp16", "fp16", 0),
    ("bf16", "bf16", 0),
    ("int8", "int8", 0),
    ("top4", "topk:k=4", 0),
    ("top2_probabilities", "topk:k=2,keep=probabilities", 0),
    ("top1", "topk:k=1", 0),
    ("vq16bit", _VQ, 0),
    ("vq4bit", "vq:codes=16,groups=1", 0),
    ("vq2bit", "vq:codes=4,groups=1", 0),
    ("pool10_fp16", "fp16", 1 / 10),
    ("pool40_fp16", "fp16", 1 / 37.5),
    ("pool75_fp16", "fp16", 1 / 75),
    ("pool150_fp16", "fp16", 1 / 150),
    ("pool10_top4", "topk:k=4", 1 / 10),
    ("pool4_vq16bit", _VQ, 1 / 4),
    ("pool8_vq16bit", _VQ, 1 / 8),
    ("pool20_vq16bit", _VQ, 1 / 20),
    ("pool5_vq4bit", "vq:codes=16,groups=1", 1 / 5),
)


def get_config(variant: str = "digits"):
    presets.check_variant(variant, VARIANTS)
    if variant == "digits":
        config = presets.digits()
        config.select.ipcs = (10,)
        config.student.epochs = 150
        config.student.learning_rates = (3e-3, 1e-2, 3e-2)
    elif variant == "smoke":
        config = presets.smoke()
        config.select.ipcs = (2,)
        config.student.epochs = 10
    elif variant == "fashion_mnist":
        config = presets.fashion_mnist()
        config.select.ipcs = (50,)
        config.student.epochs = 150
        config.student.learning_rates = (1e-2, 3e-2)
    config.name = f"label_compression_{variant}"
    config.select.methods = ("random",)
    config.regimes = ("soft_kd",)
    formats = _FORMATS
    if variant == "smoke":
        config.regimes = ()
        formats = (("fp16", "fp16", 0), ("pool5_top4", "topk:k=4", 1 / 5))
    for name, codec, share in formats:
        pool = round(share * config.student.epochs)
        add_labels(config, name, codec=codec, pool_epochs=pool)
    return config
