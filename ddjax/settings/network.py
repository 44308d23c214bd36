"""Which network, with which options; the networks' files declare them."""

import dataclasses
from typing import Any

from ddjax.declare import Names, setting, with_sections
from ddjax.models import MODELS
from ddjax.models.layers import DTYPES


@dataclasses.dataclass(frozen=True)
class _Network:
    """A network's name and, for each family, its options.

    Only those of the named network's family count.
    """

    name: str = setting("convnet_d3", "The network.", Names("networks"))
    dtype: str = setting("float32", "In which layers compute.", DTYPES)

    @property
    def family(self) -> str:
        """The section of the named network, "" for an unknown name."""
        return MODELS[self.name].family if self.name in MODELS else ""

    def arguments(self) -> dict[str, Any]:
        """Returns the options of the named network, as `models.network` takes them."""
        own = dataclasses.asdict(getattr(self, self.family)) if self.family else {}
        return {"dtype": self.dtype} | own

    def options(self) -> dict[str, Any]:
        """Returns those options that are not their network's defaults."""
        default = type(self)(self.name).arguments()
        given = self.arguments()
        return {key: given[key] for key in given if given[key] != default[key]}


Network: Any = with_sections(
    _Network, {model.family: model.options for model in MODELS.values()}
)


def named(name: str, **options: Any) -> Any:
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
