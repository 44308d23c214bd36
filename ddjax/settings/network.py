"""Which network, with which options.

None is an option's default, which the network itself knows, see `ddjax.models`.
"""

import dataclasses
from typing import Any

from ddjax.declare import Names, setting

_NORMS = ("instance", "batch", "group", "none")
_STEMS = ("auto", "small", "large")


def _width(meaning: str) -> Any:
    return setting(None, meaning, "[1, 4096]")


def _norm() -> Any:
    return setting(None, "The normalisation.", _NORMS)


def _stem(meaning: str) -> Any:
    return setting(None, f"The first layers: {meaning}.", _STEMS)


def _rate(meaning: str) -> Any:
    return setting(None, meaning, "[0, 1)")


@dataclasses.dataclass(frozen=True)
class Convnet:
    """ConvNet-D1 to -D6."""

    width: int | None = _width("Channels of every convolution.")
    norm: str | None = _norm()


@dataclasses.dataclass(frozen=True)
class Resnet:
    """ResNet-18, -34, -50, -101."""

    width: int | None = _width("Channels of the first stage.")
    norm: str | None = _norm()
    stem: str | None = _stem("small (3x3, no pooling), large (7x7, pooling)")
    downsample: str | None = setting(
        None, "How a shortcut shrinks.", ("stride", "average")
    )


@dataclasses.dataclass(frozen=True)
class ResnetAp:
    """ResNetAP-10."""

    width: int | None = _width("Channels of the first stage.")
    norm: str | None = _norm()


@dataclasses.dataclass(frozen=True)
class WideResnet:
    """WRN-16-2."""

    norm: str | None = _norm()


@dataclasses.dataclass(frozen=True)
class Mobilenet:
    """MobileNetV2."""

    stem: str | None = _stem("small (stride 1), large (stride 2)")
    dropout: float | None = _rate("Before the last layer.")


@dataclasses.dataclass(frozen=True)
class Efficientnet:
    """EfficientNet-B0."""

    stem: str | None = _stem("small (stride 1), large (stride 2)")
    dropout: float | None = _rate("Before the last layer.")
    stochastic_depth: float | None = _rate("Of the last block.")


@dataclasses.dataclass(frozen=True)
class Shufflenet:
    """ShuffleNetV2 x0.5."""

    stem: str | None = _stem("small (stride 1), large (stride 2)")


@dataclasses.dataclass(frozen=True)
class Alexnet:
    """AlexNet."""

    dropout: float | None = _rate("Before both hidden dense layers.")


@dataclasses.dataclass(frozen=True)
class Vgg:
    """VGG-11."""

    norm: str | None = _norm()
    dropout: float | None = _rate("Behind both hidden dense layers.")


@dataclasses.dataclass(frozen=True)
class Vit:
    """ViT-B/16."""

    dropout: float | None = _rate("Of every block.")


@dataclasses.dataclass(frozen=True)
class Swin:
    """Swin V2-T."""

    stochastic_depth: float | None = _rate("Of the last block.")


@dataclasses.dataclass(frozen=True)
class Mlp:
    """A multi-layer perceptron."""

    hidden: tuple[int, ...] | None = setting(
        None, "Units of each hidden layer; (): linear.", "[1, 65536]", counts="[0, 32]"
    )


@dataclasses.dataclass(frozen=True)
class Network:
    """A network's name and, for each family, its options; only the named one's count.

    A network belongs to the family whose name it begins with.
    """

    name: str = setting("convnet_d3", "The network.", Names("networks"))
    dtype: str | None = setting(
        None, "In which layers compute.", ("float32", "bfloat16")
    )
    convnet: Convnet = Convnet()
    resnet: Resnet = Resnet()
    resnet_ap: ResnetAp = ResnetAp()
    wide_resnet: WideResnet = WideResnet()
    mobilenet: Mobilenet = Mobilenet()
    efficientnet: Efficientnet = Efficientnet()
    shufflenet: Shufflenet = Shufflenet()
    alexnet: Alexnet = Alexnet()
    vgg: Vgg = Vgg()
    vit: Vit = Vit()
    swin: Swin = Swin()
    mlp: Mlp = Mlp()

    @property
    def family(self) -> str:
        """The section of the named network, "" for an unknown name."""
        known = [f.name for f in dataclasses.fields(self)[2:]]
        return max((f for f in known if self.name.startswith(f)), key=len, default="")

    def options(self) -> dict[str, Any]:
        """Returns the options that were given for the named network."""
        given = {"dtype": self.dtype}
        if self.family:
            given |= dataclasses.asdict(getattr(self, self.family))
        return {name: value for name, value in given.items() if value is not None}


def named(name: str, **options: Any) -> Network:
    """Returns the settings of a network.

    Args:
      name: of the network.
      **options: fields of its family.
    """
    network = Network(name)
    if not options:
        return network
    family = dataclasses.replace(getattr(network, network.family), **options)
    return dataclasses.replace(network, **{network.family: family})
