"""Networks that are trained on the set between the steps of its images.

Letters: C classes, M synthetic images, B images of a batch, H W image, K channels.
"""

import abc
import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ddjax import keys
from ddjax.artifacts import Cost
from ddjax.declare import setting
from ddjax.distill.match import loop
from ddjax.distill.match.options import Options
from ddjax.distill.match.real import RealImages
from ddjax.distill.match.siamese import augmented
from ddjax.losses import cross_entropy
from ddjax.models import Network, Variables


@dataclasses.dataclass(frozen=True)
class Inner(Options):
    """How images are learned through a network that is trained on them.

    Attributes are settings; see `Options`.
    """

    outer: int = setting(
        0,
        "Steps of the images with one network; 0: the authors' for IPC 1, 10, 20, 30, "
        "40, 50 and 100.",
        "[0, 10000]",
    )
    inner: int = setting(
        0,
        "Epochs of training between two of them; 0: the authors', likewise.",
        "[0, 10000]",
    )
    train_rate: float = setting(0.01, "Of SGD on the network.", "(0, 100]")
    train_batch: int = setting(256, "Images of a training batch.", "[1, 100000]")


class Trained(NamedTuple):
    """A network in training.

    Attributes:
      variables: of the network.
      velocity: SGD's, a pytree like the params.
    """

    variables: Variables
    velocity: Any


@dataclasses.dataclass(frozen=True)
class Trainer:
    """SGD with PyTorch's momentum, cross-entropy; weight decay on all weights.

    Attributes:
      network: what is trained.
      rate: the learning rate.
      momentum: v <- momentum v + g.
      decay: g <- g + decay w.
    """

    network: Network
    rate: float
    momentum: float = 0.0
    decay: float = 0.0

    def begin(self, variables: Variables) -> Trained:
        """Returns a network before its first step."""
        return Trained(variables, jax.tree.map(jnp.zeros_like, variables["params"]))

    def step(
        self, trained: Trained, images_BHWK: jax.Array, labels: jax.Array
    ) -> Trained:
        """Returns the network after a step on a batch.

        Args:
          trained: see `begin`.
          images_BHWK: [B,H,W,K] float32, normalised and augmented.
          labels: [B] int32 or [B,C] float32 probabilities.
        """
        variables, velocity = trained

        def loss(params):
            logits, updated = self.network.apply(
                variables | {"params": params}, images_BHWK, train=True
            )
            return cross_entropy(logits, labels).mean(), updated

        params = variables["params"]
        gradient, updated = jax.grad(loss, has_aux=True)(params)
        velocity = jax.tree.map(
            lambda v, g, w: self.momentum * v + g + self.decay * w,
            velocity,
            gradient,
            params,
        )
        params = jax.tree.map(lambda w, v: w - self.rate * v, params, velocity)
        return Trained(updated | {"params": params}, velocity)

    def epochs(
        self,
        trained: Trained,
        key: jax.Array,
        images_MHWK: jax.Array,
        labels_M: jax.Array,
        count: int,
        batch_size: int,
        operations: tuple[str, ...],
    ) -> Trained:
        """Returns the network after some epochs on a set.

        Every epoch has an order of its own; its last batch has what is left.

        Args:
          trained: see `begin`.
          key: a typed PRNG key.
          images_MHWK: [M,H,W,K] float32, normalised.
          labels_M: [M] int32.
          count: epochs; static.
          batch_size: images of a batch; static.
          operations: of DSA, one a batch; static.
        """
        size, many = len(labels_M), batch_size * (len(labels_M) // batch_size)

        def step(trained, given):
            rows, key = given
            shown = augmented(operations, key, images_MHWK[rows])
            return self.step(trained, shown, labels_M[rows]), None

        def epoch(trained, key):
            order_key, key = jax.random.split(key)
            order = jax.random.permutation(order_key, size)
            last_key, key = jax.random.split(key)
            if many:
                rows = order[:many].reshape(-1, batch_size)
                given = rows, jax.random.split(key, len(rows))
                trained, _ = jax.lax.scan(step, trained, given)
            if many < size:
                trained, _ = step(trained, (order[many:], last_key))
            return trained, None

        return jax.lax.scan(epoch, trained, jax.random.split(key, count))[0]

    def loops(
        self, images: int, channels_shape: tuple[int, ...], epochs: int, batch_size: int
    ) -> tuple[loop.Loop, ...]:
        """Returns the steps of `epochs` beyond those that a program counts.

        Args:
          images: M.
          channels_shape: H, W, K.
          epochs: of all calls of `epochs` together that one program has.
          batch_size: images of a batch.
        """
        whole, rest = divmod(images, batch_size)
        sizes = [(whole * epochs, batch_size)] * (whole > 0)
        sizes += [(epochs, rest)] * (rest > 0)
        return tuple(
            loop.Loop(times - 1, self.step, self._shapes(channels_shape, size))
            for times, size in sizes
        )

    def _shapes(self, shape, size):
        key = jax.eval_shape(lambda: keys.key(0))
        trained = jax.eval_shape(lambda key: self.begin(self.network.init(key)), key)
        images = jax.ShapeDtypeStruct((size, *shape), jnp.float32)
        return trained, images, jax.ShapeDtypeStruct((size,), jnp.int32)


@dataclasses.dataclass(frozen=True)
class Rounds(loop.Step):
    """An iteration that trains a fresh network on the images between their steps.

    There are `outer` steps of the images; after each but the last the network is
    trained for `inner` epochs on the images as they then are.
    """

    def rounds(self) -> tuple[int, int]:
        """Returns the steps of the images, and the epochs between two of them."""
        return self.options.outer, self.options.inner

    @abc.abstractmethod
    def match(
        self,
        variables: Variables,
        state: loop.State,
        real: RealImages,
        key: jax.Array,
    ) -> tuple[jax.Array, jax.Array, Variables]:
        """Returns a loss, its derivative by the images, and the network's variables.

        Args:
          variables: of the network.
          state, real, key: as of the iteration.

        Returns:
          [] float32, [M,H,W,K] float32, and variables with updated moments.
        """

    def probe(self) -> "Rounds":
        """Returns a step of the images in a fresh network."""
        return dataclasses.replace(
            self, options=dataclasses.replace(self.options, outer=1)
        )

    def move(self, state: loop.State, gradient_MHWK: jax.Array) -> loop.State:
        """Returns the state after a step of the images."""
        return self.descend(state, gradient_MHWK)

    def __call__(self, state, real, key):
        options, (outer, inner) = self.options, self.rounds()
        trainer = Trainer(self.network, options.train_rate)
        init_key, key = jax.random.split(key)
        labels = jnp.repeat(jnp.arange(self.num_classes), self.ipc)

        def one(carry, given):
            state, trained = carry
            number, key = given
            match_key, train_key = jax.random.split(key)
            loss, gradient, variables = self.match(
                trained.variables, state, real, match_key
            )
            state, trained = self.move(state, gradient), Trained(variables, trained[1])

            def train(trained):
                return trainer.epochs(
                    trained,
                    train_key,
                    state["images"],
                    labels,
                    inner,
                    options.train_batch,
                    options.augment,
                )

            if outer > 1:
                more = number + 1 < outer
                trained = jax.lax.cond(more, train, lambda trained: trained, trained)
            return (state, trained), loss

        start = state, trainer.begin(self.network.init(init_key))
        given = jnp.arange(outer), jax.random.split(key, outer)
        (state, _), losses = jax.lax.scan(one, start, given)
        return state, losses.mean()

    def training(self) -> Cost:
        """Returns the passes of training the network in an iteration."""
        outer, inner = self.rounds()
        return Cost(train_passes=(outer - 1) * inner * self.num_classes * self.ipc)

    def loops(self, state, real):
        (outer, inner), size = self.rounds(), self.num_classes * self.ipc
        if outer == 1:
            return ()
        trainer = Trainer(self.network, self.options.train_rate)
        shape, epochs = state["images"].shape[1:], (outer - 1) * inner
        return trainer.loops(size, shape, epochs, self.options.train_batch)
