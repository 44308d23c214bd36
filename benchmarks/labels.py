"""Labels of every view: the price of storing them and of training from them.

    python benchmarks/labels.py [--size 14] [--width 32] [--rounds 3]

Three measurements in one run, each with the best of several rounds that take
turns:

- writing: labels a second of augmenting, the teacher's forward pass, encoding and
  writing,
  against the teacher's forward pass alone on inputs that lie ready, both spread over
  the devices;
- replay: seconds of a student's training from the store, under `soft` labels (one
  vector an image) and with labels on the fly, for a teacher of twice and of
  four times the student's width.
"""

import argparse
import json
import os
import pathlib
import tempfile
import time

import numpy as np

IMAGES, CLASSES, SUBSET, BATCH, EPOCHS = 1000, 10, 500, 25, 40
MEMBERS = 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=14, help="pixels a side")
    parser.add_argument("--width", type=int, default=32, help="of the student")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    import jax

    jax.config.update("jax_num_cpu_devices", os.cpu_count())
    import jax.numpy as jnp
    from jax.sharding import NamedSharding, PartitionSpec

    from ddjax import mesh
    from ddjax.data.augment import Recipe
    from ddjax.labels import Ensemble, LabelStore, Objective, codecs
    from ddjax.labels.labeller import Labeller, write_labels
    from ddjax.models import network
    from ddjax.train import batches, student, sweep
    from ddjax.train.members import Members
    from ddjax.train.micro_batch import images_in_cache, micro_batch_size

    rng = np.random.default_rng(0)
    shape = (arguments.size, arguments.size, 1)
    recipe = Recipe(pad=1, flip=True, cutmix=1.0)
    pool = batches.Pool(
        jnp.asarray(rng.integers(0, 256, (IMAGES, *shape), np.uint8)),
        jnp.asarray(np.arange(IMAGES, dtype=np.int32) % CLASSES),
        jnp.arange(IMAGES, dtype=jnp.int32),
        jnp.full(1, 0.5, jnp.float32),
        jnp.full(1, 0.25, jnp.float32),
        jnp.asarray(rng.normal(size=(IMAGES, CLASSES)), jnp.float32),
    )
    subset = np.sort(rng.permutation(IMAGES)[:SUBSET]).astype(np.int32)
    net = network("convnet_d3", CLASSES, shape, width=arguments.width)

    def best(functions, rounds):
        """Returns the best seconds of each function; the first call is a warm-up."""
        times = {name: [] for name in functions}
        for _ in range(1 + rounds):
            for name, function in functions.items():
                start = time.perf_counter()
                function()
                times[name].append(time.perf_counter() - start)
        return {name: min(rounds[1:]) for name, rounds in times.items()}

    for factor in (2, 4):
        teacher = network("convnet_d3", CLASSES, shape, width=factor * arguments.width)
        variables = teacher.init(jax.random.key(0))
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            labellers = Labeller(
                Ensemble((teacher,)), (variables,), pool, recipe, 0, subset
            )
            made = []

            def write(folder=folder, labellers=labellers, made=made):
                store = LabelStore.create(
                    folder / str(len(made)),
                    epochs=EPOCHS,
                    example_ids=subset,
                    num_classes=CLASSES,
                    codec=codecs.parse("fp16"),
                    identity={},
                )
                write_labels(store, labellers)
                made.append(store)

            # The fastest way we know: one program, on each device block after block.
            devices = mesh.mesh_of(jax.device_count(), 1)
            block = images_in_cache(teacher, 128)
            blocks = -(-EPOCHS * SUBSET // (block * devices.size))
            images = rng.normal(size=(devices.size * blocks, block, *shape))
            spread = NamedSharding(devices, mesh.EVERYWHERE)
            inputs = jax.device_put(images.astype(np.float32), spread)
            shared = jax.device_put(variables, NamedSharding(devices, PartitionSpec()))
            forward = jax.jit(
                jax.shard_map(
                    lambda v, x, net=teacher: jax.lax.map(
                        lambda i: net.apply(v, i)[0], x
                    ),
                    mesh=devices,
                    in_specs=(PartitionSpec(), mesh.EVERYWHERE),
                    out_specs=mesh.EVERYWHERE,
                    check_vma=False,
                )
            )

            def bare(forward=forward, shared=shared, inputs=inputs):
                with jax.default_matmul_precision("highest"):
                    jax.block_until_ready(forward(shared, inputs))

            seconds = best({"bare": bare, "write": write}, 3 * arguments.rounds)
            bare_rate = len(images) * block / seconds["bare"]
            write_rate = EPOCHS * SUBSET / seconds["write"]
            print(
                json.dumps(
                    {
                        "case": f"write, teacher x{factor}",
                        "labels_per_second": round(write_rate),
                        "bare_forward_per_second": round(bare_rate),
                        "ratio": round(write_rate / bare_rate, 3),
                    }
                ),
                flush=True,
            )

            def read(epochs, positions, store=made[-1]):
                return store.read(epochs, positions)

            steps = EPOCHS * SUBSET // BATCH
            values = student.HParams(1e-3, float(steps), 0.01, temperature=20.0)

            def runner(objective, pool=pool):
                program = student.Program(
                    net,
                    objective,
                    recipe,
                    BATCH,
                    micro_batch=micro_batch_size(net, BATCH),
                )
                driver = "mesh" if jax.local_device_count() > 1 else "loop"
                return sweep.Runner(program, pool, driver)

            def members(targets=None, values=values):
                return Members(
                    np.arange(MEMBERS, dtype=np.int32),
                    [subset] * MEMBERS,
                    jax.tree.map(lambda v: np.full(MEMBERS, v, np.float32), values),
                    targets=targets and [targets] * MEMBERS,
                )

            fly = pool._replace(teachers=(variables,))
            ways = {
                "soft": (runner(Objective("soft")), members()),
                "store": (runner(Objective("soft_kd")), members(read)),
                "on the fly": (
                    runner(Objective("soft_kd", Ensemble((teacher,))), fly),
                    members(),
                ),
            }
            seconds = best(
                {
                    name: lambda way=way, steps=steps: way[0].train(way[1], steps)
                    for name, way in ways.items()
                },
                arguments.rounds,
            )
            print(
                json.dumps(
                    {
                        "case": f"train, teacher x{factor}",
                        "seconds": {name: round(s, 3) for name, s in seconds.items()},
                        "store_over_soft": round(seconds["store"] / seconds["soft"], 3),
                        "on_the_fly_over_store": round(
                            seconds["on the fly"] / seconds["store"], 3
                        ),
                    }
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
