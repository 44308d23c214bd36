"""Whether arrays fit: no more than half of a memory, which leaves room to work."""

import os

from ddjax.errors import InputError


def host() -> int:
    """Returns the bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check(size: int, what: str, advice: str, device: int | None = None) -> None:
    """Checks that arrays take at most half of a memory.

    Args:
      size: bytes that they take.
      what: names the setting and the arrays, to begin the message with.
      advice: what makes them fit.
      device: bytes of the device that they go to; None: they stay on the host.

    Raises:
      InputError: they take more.
    """
    limit, owner = (host(), "host") if device is None else (device, "device")
    if size > limit / 2:
        raise InputError(
            f"{what} take {size / 2**30:,.1f} GiB, allowed is half of the {owner}'s "
            f"{limit / 2**30:,.1f} GiB; {advice}"
        )
