"""Expert trajectories in the files of MTT, TESLA and DATM."""

import jax
import numpy as np
import pytest

from ddjax import models, torch_files
from ddjax.errors import InputError

NETWORK = models.network("convnet_d3", 4, (8, 8, 1), width=5)
VARIABLES = [NETWORK.init(jax.random.key(seed)) for seed in range(6)]
SHAPES = jax.eval_shape(NETWORK.init, jax.random.key(0))["params"]
# Module order, written by hand.
ORDER = [
    *(
        f"features.{i}.{leaf}"
        for i in (0, 1, 4, 5, 8, 9)
        for leaf in ("weight", "bias")
    ),
    "classifier.weight",
    "classifier.bias",
]


def tensors(variables):
    state = models.to_torch("convnet_d3", variables)
    return [state[name] for name in ORDER]


def buffer(path, snapshots, length=3):
    rows = [snapshots[i : i + length] for i in range(0, len(snapshots), length)]
    torch_files.write(path, rows)
    return path


def test_trajectories_become_parameters(tmp_path):
    path = buffer(tmp_path / "replay_buffer_0.pt", list(map(tensors, VARIABLES)))
    found = models.read_experts(path, SHAPES)
    for number, variables in enumerate(VARIABLES):
        at = divmod(number, 3)
        one = jax.tree.map(lambda leaf, at=at: leaf[at], found)
        jax.tree.map(np.testing.assert_array_equal, one, variables["params"])
        assert jax.tree.structure(one) == jax.tree.structure(variables["params"])


def test_trajectories_that_do_not_fit_are_refused(tmp_path):
    path, whole = tmp_path / "replay_buffer_0.pt", list(map(tensors, VARIABLES))
    wider = models.network("convnet_d3", 4, (8, 8, 1), width=6)
    shapes = jax.eval_shape(wider.init, jax.random.key(0))["params"]
    message = r"snapshot 0 of trajectory 0 .*features.0.weight \(found \[5, 1, 3, 3\], "
    with pytest.raises(InputError, match=message + r"expected \[6, 1, 3, 3\]\).*more"):
        models.read_experts(buffer(path, whole), shapes)
    plain = models.network("convnet_d3", 4, (8, 8, 1), width=5, norm="none")
    shapes = jax.eval_shape(plain.init, jax.random.key(0))["params"]
    with pytest.raises(InputError, match="14 tensors, expected 8; features.3.weight"):
        models.read_experts(path, shapes)
    shapes = models.network("mlp", 4, (8, 8, 1), hidden=(5,))
    shapes = jax.eval_shape(shapes.init, jax.random.key(0))["params"]
    with pytest.raises(InputError, match="params: found .*a parameter of a ConvNet"):
        models.read_experts(path, shapes)
    odd = [*whole[:5], [*whole[5][:-1], np.full(4, np.nan, np.float32)]]
    message = "classifier.bias of trajectory 1, snapshot 2 has values that are not fin"
    with pytest.raises(InputError, match=message):
        models.read_experts(buffer(path, odd), SHAPES)
    with pytest.raises(InputError, match="trajectories have 1 to 3 snapshots"):
        models.read_experts(buffer(path, whole[:4]), SHAPES)
    for value in (whole[0][0], [], [[]], [whole[0]], [[["text"]]], {"a": whole}):
        torch_files.write(path, value)
        with pytest.raises(InputError, match="expected a list of trajectories"):
            models.read_experts(path, SHAPES)


@pytest.mark.slow
def test_networks_of_pytorch_compute_the_same(tmp_path):
    torch = pytest.importorskip("torch")
    nn, channels, blocks = torch.nn, 1, []
    for _ in range(3):
        blocks += [
            nn.Conv2d(channels, 5, 3, padding=1),
            nn.GroupNorm(5, 5),
            nn.ReLU(),
            nn.AvgPool2d(2),
        ]
        channels = 5
    network = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(5, 4))
    snapshots = []
    for _ in range(2):
        for parameter in network.parameters():
            nn.init.normal_(parameter, 0.5, 0.5)
        snapshots.append([p.detach().clone() for p in network.parameters()])
    path = tmp_path / "replay_buffer_0.pt"
    torch.save([snapshots], path)
    found = models.read_experts(path, SHAPES)
    last = jax.tree.map(lambda leaf: leaf[0, 1], found)
    images = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype(np.float32)
    logits, _ = NETWORK.apply({"params": last}, images)
    expected = network(torch.tensor(images.transpose(0, 3, 1, 2))).detach().numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)
