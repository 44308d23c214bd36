"""Writes what PyTorch makes of every case: `python -m tests.golden.make [case ...]`.

Needs torch and torchvision; the files here were made with torch 2.14.1 and torchvision
0.29.1 on a CPU, in double precision, so that they hold no rounding but the last. Each
file names its versions. Without arguments all cases are written and the files of
cases that are no more are removed.
"""

import sys

import numpy as np
import torch
import torchvision
from torch import nn

from .cases import CASES, CLASSES, Case
from .fill import fill, filled, images, labels
from .outputs import FOLDER, Outputs, outputs, path, write
from .reference import build


def run(case: Case) -> tuple[Outputs, dict[str, np.ndarray]]:
    """Returns PyTorch's outputs of a case, and the state they were made with."""
    options = dict(case.options)
    module = build(case.network, CLASSES, case.size, case.channels, **options)
    for part in module.modules():
        if isinstance(part, nn.Dropout | torchvision.ops.StochasticDepth):
            part.p = 0.0
    state = {}
    for key, tensor in module.state_dict().items():
        if filled(key):
            tensor.copy_(torch.from_numpy(fill(key, tuple(tensor.shape))))
        state[key] = tensor.numpy().copy()
    module.double().eval()
    x = torch.from_numpy(images(case)).double().permute(0, 3, 1, 2)
    with torch.no_grad():
        eval_logits = module(x)
    module.train()
    x.requires_grad_()
    train_logits = module(x)
    loss = nn.functional.cross_entropy(train_logits, torch.from_numpy(labels()))
    (gradient,) = torch.autograd.grad(loss, x)
    return outputs(
        eval_logits.numpy(),
        train_logits.detach().numpy(),
        gradient.permute(0, 2, 3, 1).numpy(),
        {key: tensor.numpy() for key, tensor in module.state_dict().items()},
    ), state


def _report(case, found):
    """Prints how much the logits hang on the image, and the largest gradient."""
    spread = found.eval_logits.std(0).mean() / np.abs(found.eval_logits).max()
    train = found.train_logits.std(0).mean() / np.abs(found.train_logits).max()
    gradient = np.abs(found.input_gradient).max()
    print(f"{case}: spread {spread:.2f} {train:.2f}, gradient {gradient:.1e}")


def main(names: list[str]) -> None:
    """Writes the files of these cases, or of all."""
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    for case in CASES:
        if not names or str(case) in names:
            found, state = run(case)
            write(case, found, state, versions)
            _report(case, found)
    if not names:
        for file in set(FOLDER.glob("*.npz")) - {path(case) for case in CASES}:
            file.unlink()


if __name__ == "__main__":
    main(sys.argv[1:])
