"""Which tensors of a file of PyTorch are a network's, and what the file says of it.

A file may hold more than weights, and several sets of weights, plain and averaged.
"""

import json
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ddjax.errors import InputError

# Under which training scripts keep the weights, beside optimiser and epoch.
_WRAPPERS = ("state_dict", "model", "model_state_dict", "net")
# Under which they, and the libraries that publish weights, name the network.
_NAMES = ("arch", "architecture", "model_name", "modelspec.architecture")
_DEPTH = 4  # of mappings within mappings
# Our name -> what timm, torchvision and the papers' code call the same network.
_ALIASES = {
    "efficientnet_b0": ("efficientnet_b0", "efficientnetb0"),
    "mobilenet_v2": ("mobilenetv2_100", "mobilenet_v2", "mobilenetv2"),
    "shufflenet_v2_x0_5": ("shufflenetv2_x0_5", "shufflenetv2_05"),
    "swin_v2_t": ("swinv2_tiny_window8_256", "swin_v2_tiny"),
    "vit_b_16": ("vit_base_patch16_224", "deit_base_patch16_224"),
    "wide_resnet_16_2": ("wrn_16_2", "wrn16_2"),
    "resnet_ap10": ("resnet10ap", "resnet10_ap"),
}


def choose(held: Any, weights: str, source: str) -> Any:
    """Returns the set of weights that a file holds, or the one that is asked for.

    Args:
      held: what is in the file.
      weights: its place there, keys joined by dots; "": the only one.
      source: what the file is called in messages.

    Returns:
      A mapping of names to tensors, empty where there is none; or what was held, where
      it holds no mappings.

    Raises:
      InputError: there are several and none is asked for, or not the one asked for.
    """
    if not isinstance(held, Mapping):
        return held
    states = dict(_states(held, "", 0))
    if weights:
        if weights not in states:
            raise InputError(
                f"weights: found {weights!r}, but {source} has {_listed(states)}"
            )
        return states[weights]
    if len(states) > 1:
        raise InputError(
            f"{source}: found {_listed(states)}, and they are different networks, or "
            "the same as trained and averaged; weights=NAME says which of them"
        )
    if not states and any(isinstance(value, Mapping) for value in held.values()):
        return {}
    return next(iter(states.values()), held)


def _listed(states):
    if not states:
        return "no sets of weights by name"
    return f"{len(states)} sets of weights, {', '.join(map(repr, states))}"


def _states(held: Mapping, place: str, depth: int) -> Iterator[tuple[str, Mapping]]:
    """Yields (place, tensors by name) of the sets of weights in a mapping."""
    if not held or depth > _DEPTH or not all(isinstance(key, str) for key in held):
        return
    if all(hasattr(value, "shape") for value in held.values()):
        known = place.rpartition(".")[2] in _WRAPPERS or not place
        if known or any("weight" in key for key in held):
            yield place, held
        return
    for key, value in held.items():
        if isinstance(value, Mapping):
            inner = f"{place}.{key}" if place else key
            yield from _states(value, inner, depth + 1)


def said_names(held: Any, path: pathlib.Path | None) -> dict[str, str]:
    """Returns what a file, or the config.json beside it, calls its network.

    Args:
      held: what is in the file, or a mapping of what it says beside the tensors.
      path: the file; None: it is none.

    Returns:
      Where it stands -> the name. timm publishes config.json with "architecture", and
      its training script, as PyTorch's for ImageNet, keeps "arch" in the file.
    """
    found = _named(held)
    if path is not None:
        beside = path.with_name("config.json")
        try:
            config = json.loads(beside.read_text()) if beside.is_file() else {}
        except (OSError, ValueError):
            config = {}  # somebody's file that is nothing of ours
        found |= {
            f"{key} of config.json beside it": n for key, n in _named(config).items()
        }
    return found


def _named(held: Any, depth: int = 0) -> dict[str, str]:
    if not isinstance(held, Mapping) or depth > 2:
        return {}
    found = {}
    for key in _NAMES:
        if isinstance(held.get(key), str) and held[key]:
            found[key] = held[key]
    for key in ("args", "pretrained_cfg", "config", "hyper_parameters"):
        inner = _named(held.get(key), depth + 1)
        found |= {f"{key}.{name}": value for name, value in inner.items()}
    args = held.get("args")
    if isinstance(args, Mapping) and isinstance(args.get("model"), str):
        found["args.model"] = args["model"]
    return found


def check_name(name: str, said: Mapping[str, str], allowed: str, source: str) -> None:
    """Refuses weights that say that they are another network's.

    Networks may have tensors of the same names and shapes and yet compute other
    things: timm's resnetaa50 pools where resnet50 strides, and tf_efficientnet_b0 pads
    otherwise than efficientnet_b0. Where nothing says so, nobody can see it.

    Args:
      name: of the network, a key of `MODELS`.
      said: of `said_names`.
      allowed: another name that is taken for it; "": none.
      source: what the weights are called in messages.

    Raises:
      InputError: a name means neither.
    """
    aliases = _ALIASES.get(name, ())
    if name.startswith("convnet"):  # of DC and MTT, which say the depth elsewhere
        aliases = ("convnet",)
    known = {_plain(alias) for alias in (name, allowed, *aliases) if alias}
    for place, says in said.items():
        if _plain(says) not in known:
            raise InputError(
                f"{source}: {place} says that the weights are of {says!r}, not of "
                f"{name}, whose tensors may have the same names and shapes all the "
                f"same; architecture=NAME, the name in the file, takes them for it"
            )


def _plain(name):
    """A name without its training ("resnet50.a1_in1k"), its library and case."""
    name = name.lower().rpartition("/")[2].partition(".")[0]
    return re.sub(r"[^a-z0-9]", "", name)
