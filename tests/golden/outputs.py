"""What a network makes of a case, cut down to a few kilobytes, and the files of it."""

import dataclasses
import json
import pathlib

import numpy as np

from .cases import Case
from .fill import fill, filled

FOLDER = pathlib.Path(__file__).parent
STATISTICS = ("running_mean", "running_var")
_EVERY = 17
_ENTRIES = 7


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What is compared.

    Attributes:
      eval_logits: [B, C] in evaluation mode.
      train_logits: [B, C] in training mode, without dropout.
      input_gradient: every 17th number of the gradient of the mean cross-entropy in
        training mode with respect to the images [B, H, W, channels].
      statistics: [tensors, 8], of every running mean and variance after that training
        step, in the order of their sorted keys: root mean square and seven entries.
    """

    eval_logits: np.ndarray
    train_logits: np.ndarray
    input_gradient: np.ndarray
    statistics: np.ndarray


def outputs(
    eval_logits: np.ndarray,
    train_logits: np.ndarray,
    gradient_BHWC: np.ndarray,
    state: dict[str, np.ndarray],
) -> Outputs:
    """Returns the outputs of a case from whole arrays.

    Args:
      eval_logits, train_logits: [B, C].
      gradient_BHWC: gradient with respect to the images.
      state: key in PyTorch -> tensor, after the training step.
    """
    rows = [_row(state[k]) for k in sorted(state) if k.endswith(STATISTICS)]
    return Outputs(
        np.asarray(eval_logits, np.float32),
        np.asarray(train_logits, np.float32),
        np.asarray(gradient_BHWC, np.float32).ravel()[::_EVERY],
        np.asarray(rows, np.float32).reshape(-1, 1 + _ENTRIES),
    )


def _row(values):
    places = np.linspace(0, len(values) - 1, _ENTRIES).astype(int)
    return [np.sqrt(np.mean(np.square(values))), *values[places]]


def path(case: Case) -> pathlib.Path:
    """Returns the file of a case."""
    return FOLDER / f"{case}.npz"


def write(
    case: Case, found: Outputs, state: dict[str, np.ndarray], versions: dict[str, str]
) -> None:
    """Writes the file of a case.

    Args:
      case: the case.
      found: its outputs.
      state: key -> tensor before the training step. Of tensors that `fill` makes only
        the shapes are kept; the others, constants which equal ones of the same last
        name share, are written.
      versions: library -> version.
    """
    constants = {}
    for key, tensor in state.items():
        if not filled(key):
            known = constants.setdefault(_constant(key), tensor)
            np.testing.assert_array_equal(tensor, known, err_msg=key)
    np.savez_compressed(
        path(case),
        shapes=json.dumps({key: tensor.shape for key, tensor in state.items()}),
        versions=json.dumps(versions),
        **dataclasses.asdict(found),
        **constants,
    )


def read(case: Case) -> tuple[Outputs, dict[str, np.ndarray]]:
    """Returns the outputs of a case and the state they were made with."""
    with np.load(path(case)) as file:
        names = [field.name for field in dataclasses.fields(Outputs)]
        found = Outputs(**{name: file[name] for name in names})
        shapes = json.loads(str(file["shapes"]))
        state = {
            key: fill(key, tuple(shape)) if filled(key) else file[_constant(key)]
            for key, shape in shapes.items()
        }
    return found, state


def _constant(key):
    return key.rpartition(".")[2]
