"""One subset, many students: does a gain survive another network?

Claim tested (RD3, "Rectified Decoupled Dataset Distillation"): methods should be
compared under several networks, since an advantage found with one may be that
network's. Subsets, windows and labels come from the first network and its teacher;
every other network trains on the same images under the same budget, with a learning
rate of its own, chosen on validation.

    python -m ddjax.main --config=configs/cross_architecture.py
    python -m ddjax.main --config=configs/cross_architecture.py:smoke

`architectures.csv` has all networks and Spearman's rank correlation of the selections
under each network with those under the first; `figures/architectures.png` shows both.

Variants, on 2 CPU cores without an accelerator:

- `digits` (default): ConvNet-D2 chooses; ConvNet-D2 with batch norm, an MLP, a
  ResNet-18 of width 8 and a WRN-16-2 evaluate; hard and soft_kd labels, IPC 10; half an
  hour. Its result is in `results/cross_architecture_digits`.
- `imagenet`: RD3's seven networks at 224 px under its protocol (ResNet-18: batch 50,
  zeta 1; others: batch 100, zeta 2; 400 epochs), IPC 10 and 50, the learning rates of
  the others chosen on validation; for an accelerator, not run so far.
- `smoke`: seconds; its numbers mean nothing.
"""

from ddjax import presets, settings

VARIANTS = ("digits", "imagenet", "smoke")


def get_config(variant: str = "digits"):
    presets.check_variant(variant, VARIANTS)
    if variant == "digits":
        config = presets.digits()
        config.regimes = ("hard", "soft_kd")
        config.select.ipcs = (10,)
        config.student.epochs = 60
        settings.add_transfer(
            config, "convnet_bn", name="convnet_d2", width=32, norm="batch"
        )
        settings.add_transfer(config, "mlp")
        settings.add_transfer(config, "resnet18", width=8)
        settings.add_transfer(config, "wide_resnet_16_2")
    elif variant == "smoke":
        config = presets.smoke()
        config.select.ipcs = (2,)
        config.student.epochs = 10
        settings.add_transfer(config, "linear", name="mlp", hidden=())
    elif variant == "imagenet":
        config = presets.dataset("imagenet")
        config.augment.resized_crop = (0.5, 1.0)
        config.augment.flip = True
        config.augment.cutmix = 1.0
        config.select.ipcs = (10, 50)
        config.student.epochs = 400
        config.student.batch_size = 50
        config.student.learning_rates = (1e-3,)
        for name in (
            "resnet50",
            "resnet101",
            "mobilenet_v2",
            "efficientnet_b0",
            "vit_b_16",
            "swin_v2_t",
        ):
            settings.add_transfer(config, name)
            config.transfer[name].batch_size = 100
            config.transfer[name].zeta = 2.0
            config.transfer[name].learning_rates = (1e-4, 5e-4, 1e-3, 2.5e-3)
    config.name = f"cross_architecture_{variant}"
    config.select.methods = (
        "random",
        "el2n_easy",
        "el2n_hard",
        "cad_prune",
        "facility_location",
    )
    if variant == "smoke":
        config.select.methods = ("random", "el2n_easy")
    return config
