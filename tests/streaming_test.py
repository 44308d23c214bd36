"""Training on a stream: the same as in memory, from any step on."""

import jax
import numpy as np
import pytest
import runs
import sweep_test
from PIL import Image

from ddjax import data
from ddjax.train import batches
from ddjax.train import members as groups
from ddjax.train.members import Watch
from ddjax.train.streaming import Streaming
from ddjax.train.sweep import Runner

STEPS = sweep_test.STEPS


@pytest.fixture(scope="module")
def pools(tmp_path_factory):
    """The same examples in memory and as a stream."""
    folder = tmp_path_factory.mktemp("stream")
    rng = np.random.default_rng(0)
    for split, count in (("train", sweep_test.N), ("test", 4)):
        for number in range(count):
            place = folder / split / f"class{number % sweep_test.CLASSES}"
            place.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, sweep_test.SHAPE[:2], np.uint8)
            Image.fromarray(pixels).save(place / f"{number:02d}.png")
    examples = data.load(f"folder:{folder}", None, 4, stream=True).train
    channels = np.full(1, 0.4, np.float32), np.full(1, 0.3, np.float32)
    stream = batches.Pool(examples.images, examples.labels, examples.ids, *channels)
    return stream._replace(images=examples.images[:]), stream


def streaming(pool, shared_by=0):
    return Streaming(sweep_test.PROGRAM, pool, runs.COMPILED, shared_by, 1)


def trained(runner, **arguments):
    states, _ = runner.train(sweep_test.make_members(), STEPS, **arguments)
    return [
        leaf for state in states for leaf in map(np.asarray, jax.tree.leaves(state))
    ]


@pytest.fixture(scope="module")
def in_memory(pools):
    runner = Runner(sweep_test.PROGRAM, pools[0], "loop", runs.COMPILED)
    return trained(runner)


@pytest.mark.parametrize("shared_by", [0, 2])
def test_a_stream_trains_as_memory_does(pools, in_memory, shared_by):
    runner = streaming(pools[1], shared_by)
    sweep_test.assert_close(trained(runner), in_memory)
    cost = runner.take_cost()
    assert cost.train_passes == 3 * STEPS * sweep_test.PROGRAM.batch_size
    assert runner.meter.read().images > 0
    assert runner.pool.images is None


def test_stretches_change_nothing(pools, in_memory, monkeypatch):
    monkeypatch.setattr(groups, "STRETCH", 2)
    sweep_test.assert_close(trained(streaming(pools[1])), in_memory)


@pytest.mark.parametrize("stop", [1, 4, 8])
def test_a_resumed_stream_goes_on_with_the_next_image(
    pools, in_memory, tmp_path, stop, monkeypatch
):
    class Stopping(Watch):
        def at_most(self, count):
            return 1

        def stepped(self, step, count, numbers):
            assert {"loss", "images_per_second"} <= set(numbers)
            if step == stop + 1:
                raise KeyboardInterrupt

    keep = {"folder": tmp_path / "kept", "checkpoint_seconds": 0.0}
    with pytest.raises(KeyboardInterrupt):
        trained(streaming(pools[1]), watch=Stopping(), **keep)
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.name == str(stop)

    shown = []
    steps_of = groups.steps_of

    def noted(plan, first, last, size):
        part = steps_of(plan, first, last, size)
        shown.append(part.positions[0])
        return part

    monkeypatch.setattr(groups, "steps_of", noted)
    sweep_test.assert_close(trained(streaming(pools[1]), **keep), in_memory)
    assert len(shown) == 3 * (STEPS - stop)


def test_a_damaged_image_is_named_where_it_is_met(pools, tmp_path):
    stream = pools[1]
    path = next(tmp_path.parent.glob("stream*/train/class0/*.png"))
    content = path.read_bytes()
    path.write_bytes(content[:20])
    try:
        with pytest.raises(data.source.InputError, match=path.name):
            trained(streaming(stream))
    finally:
        path.write_bytes(content)
