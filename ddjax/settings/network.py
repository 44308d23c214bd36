"""Which network, with which options.

None is an option's default, which the network itself knows, see `ddjax.models`.
"""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Convnet:
    """ConvNet-D1 to -D6."""

    width: int | None = None  # channels of every convolution
    norm: str | None = None  # instance, batch, group, none


@dataclasses.dataclass(frozen=True)
class Resnet:
    """ResNet-18, -34, -50, -101."""

    width: int | None = None  # channels of the first stage
    norm: str | None = None
    stem: str | None = None  # auto, small (3x3, no pooling), large (7x7, pooling)
    downsample: str | None = None  # stride, average


@dataclasses.dataclass(frozen=True)
class ResnetAp:
    """ResNetAP-10."""

    width: int | None = None
    norm: str | None = None


@dataclasses.dataclass(frozen=True)
class WideResnet:
    """WRN-16-2."""

    norm: str | None = None


@dataclasses.dataclass(frozen=True)
class Mobilenet:
    stem: str | None = None  # auto, small (stride 1), large (stride 2)
    dropout: float | None = None


@dataclasses.dataclass(frozen=True)
class Efficientnet:
    stem: str | None = None
    dropout: float | None = None
    stochastic_depth: float | None = None  # of the last block


@dataclasses.dataclass(frozen=True)
class Shufflenet:
    stem: str | None = None


@dataclasses.dataclass(frozen=True)
class Alexnet:
    dropout: float | None = None


@dataclasses.dataclass(frozen=True)
class Vgg:
    norm: str | None = None
    dropout: float | None = None


@dataclasses.dataclass(frozen=True)
class Vit:
    dropout: float | None = None


@dataclasses.dataclass(frozen=True)
class Swin:
    stochastic_depth: float | None = None


@dataclasses.dataclass(frozen=True)
class Mlp:
    hidden: tuple[int, ...] | None = None  # units of each hidden layer; (): linear


@dataclasses.dataclass(frozen=True)
class Network:
    """A network's name and, for each family, its options; only the named one's count.

    A network belongs to the family whose name it begins with.
    """

    name: str = "convnet_d3"  # see ddjax.models.MODELS
    dtype: str | None = None  # in which layers compute: float32, bfloat16
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
