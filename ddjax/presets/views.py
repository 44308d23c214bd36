"""The students' network once more, on other views: does a result depend on them?"""

import copy
from typing import Any

from ml_collections import ConfigDict

from ddjax import settings


def add_views(
    config: ConfigDict, name: str, network: str = "", **augment: Any
) -> ConfigDict:
    """Adds an entry to `transfer`: a network that is trained on views of its own.

    Its rates are tuned on validation like all others', and it has as many image passes.

    Args:
      config: of `settings.defaults`, with its student's network; changed in place.
      name: of the entry.
      network: the entry of `transfer` whose network and recipe it has; "": the
        student's.
      **augment: fields of `augment` that are not off; none: no augmentation.

    Returns:
      The new entry.
    """
    settings.add_transfer(config, name, config.student.network.name)
    entry = config.transfer[name]
    if network:
        entry.update(copy.deepcopy(config.transfer[network]))
    else:
        entry.network.update(copy.deepcopy(config.student.network))
    off = settings.defaults().augment
    entry.own_augment = True
    entry.augment.update(off)
    entry.augment.update(augment)
    return entry
