"""Three interchangeable ways to run a function of one member over a member axis."""

from collections.abc import Callable, Iterable

import jax
from jax.sharding import Mesh, PartitionSpec

from ddjax import mesh


def lift(
    function: Callable, driver: str, batched: Iterable[bool], onto: Mesh
) -> Callable:
    """Returns a function of one member as a function of a member axis.

    Args:
      function: positional arguments and results are pytrees of arrays.
      driver: "vmap"; "loop", one compiled body, members in turn; "mesh", members spread
        over the mesh's member axis (M must be divisible by its length) and at each
        place of it looped over on CPU, else vmapped.
      batched: for each argument, whether it has a leading member axis.
      onto: the mesh; its data axis is left to the compiler.

    Returns:
      The function, not jitted; results have a leading member axis.
    """
    batched = tuple(batched)
    if driver == "mesh":
        spec = PartitionSpec(mesh.MEMBER)
        # A core's caches hold one member's activations, not several; an accelerator
        # wants the larger products.
        inner = "loop" if jax.default_backend() == "cpu" else "vmap"
        return jax.shard_map(
            lift(function, inner, batched, onto),
            mesh=onto,
            axis_names={mesh.MEMBER},
            in_specs=tuple(spec if b else PartitionSpec() for b in batched),
            out_specs=spec,
            check_vma=False,
        )
    if driver == "vmap":
        return jax.vmap(function, in_axes=tuple(0 if b else None for b in batched))

    def looped(*args):
        def one(members):
            own = iter(members)
            each = zip(batched, args, strict=True)
            return function(*(next(own) if b else shared for b, shared in each))

        return jax.lax.map(one, [a for a, b in zip(args, batched, strict=True) if b])

    return looped
