"""The cameras of this machine, for a first configuration."""

from __future__ import annotations

import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path

# linux/videodev2.h: VIDIOC_QUERYCAP is _IOR('V', 0, struct v4l2_capability), which is driver, card, bus_info,
# version, capabilities, device_caps and 12 reserved bytes.
_QUERYCAP = 0x80685600
_CAPABILITY = struct.Struct("16s32s32sIII12x")
_CAPTURE = 0x00000001
_DEVICE_CAPS = 0x80000000
_PI_DRIVERS = ("unicam", "rp1-cfe", "bcm2835-isp", "bcm2835-codec", "pispbe", "rpivid", "rpi-hevc-dec")
"""Parts of a Raspberry Pi's own camera and codecs, which give pictures through picamera2 only."""


@dataclass(frozen=True, slots=True)
class FoundCamera:
    """A camera that could be configured.

    Args:
        source: what `source` of a camera has to say.
        name: what it calls itself.
    """

    source: str
    name: str


def v4l2_cameras(dev: Path = Path("/dev")) -> list[FoundCamera]:
    """USB and other Video4Linux cameras that this user may open, by the name that outlives a restart."""
    links = {link.resolve(): link for link in sorted((dev / "v4l/by-id").glob("*"))}
    found = []
    for node in sorted(dev.glob("video*"), key=lambda path: (len(path.name), path.name)):
        try:
            handle = os.open(node, os.O_RDWR | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            answer = fcntl.ioctl(handle, _QUERYCAP, bytes(_CAPABILITY.size))
        except OSError:  # no Video4Linux device
            continue
        finally:
            os.close(handle)
        name = camera_name(answer)
        if name is not None:
            found.append(FoundCamera(str(links.get(node.resolve(), node)), name))
    return found


def camera_name(capability: bytes) -> str | None:
    """The name in a `struct v4l2_capability`; None when the device is no camera.

    Args:
        capability: 104 bytes, as the kernel fills them in.
    """
    driver, card, _bus, _version, capabilities, device_caps = _CAPABILITY.unpack(capability)
    own = device_caps if capabilities & _DEVICE_CAPS else capabilities
    if not own & _CAPTURE or _text(driver) in _PI_DRIVERS:
        return None
    return _text(card)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode(errors="replace")
