"""The names by which papers and people know methods, networks and data sets."""

# Name in a source's settings -> (dataset, pixels a side, classes).
DATASETS = {
    "cifar10": ("CIFAR-10", 32, 10),
    "cifar100": ("CIFAR-100", 32, 100),
    "cifar-10-batches-py": ("CIFAR-10", 32, 10),
    "cifar-10-batches-bin": ("CIFAR-10", 32, 10),
    "cifar-100-python": ("CIFAR-100", 32, 100),
    "cifar-100-binary": ("CIFAR-100", 32, 100),
    "imagenet2012": ("ImageNet-1K", 224, 1000),
    "tiny_imagenet": ("TinyImageNet", 64, 200),
    "tiny-imagenet-200": ("TinyImageNet", 64, 200),
}
NETWORKS = {
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "resnet101": "ResNet-101",
    "mobilenet_v2": "MobileNet-V2",
    "efficientnet_b0": "EfficientNet-B0",
    "swin_v2_t": "Swin-V2-T",
    "vit_b_16": "ViT-B-16",
    "convnet_d3": "ConvNet-D3",
    "convnet_d4": "ConvNet-D4",
}
METHODS = {
    "random": "Random",
    "k_center": "K-centers",
    "cad_prune": "CAD-Prune",
    "ca2d": "CA2D",
    "cda": "CDA",
    "d4m": "D4M",
    "datm": "DATM",
    "dc": "DC",
    "dm": "DM",
    "dwa": "DWA",
    "edc": "EDC",
    "g_vbsm": "G-VBSM",
    "minimax": "Minimax",
    "mtt": "TM",
    "pca": "PCA",
    "rded": "RDED",
    "sre2l": "SRe2L",
}
