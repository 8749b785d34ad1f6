"""The live page, as a user configures it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from agent.settings import Seconds, Section
from agent.web.address import Address


class WebSettings(Section):
    """The live page: off unless `listen` is set."""

    listen: Address | None = None
    """`127.0.0.1:8080`, or any other `host:port` of this machine. An address that others reach needs a
    password, and a proxy with TLS before it where the network is not your own."""
    password: SecretStr | None = None
    """Better kept out of this file: `EDGETRACK_WEB_PASSWORD` in the environment, `password_file`, or a
    systemd credential named `edgetrack-web-password` supply it too; the first of these that is there wins,
    this field comes last. Eight characters or more; programs send it as `Authorization: Bearer …`."""
    password_file: Path | None = None
    """File whose first line is the password."""
    hosts: tuple[str, ...] = ()
    """Names by which browsers reach the page, beside this machine's own name and addresses: that of a proxy
    before it, for instance. Requests to other names are refused."""
    privacy: Literal["blur", "pixelate", "none"] = "blur"
    """How people are made unrecognisable in the live picture, as `snapshots.privacy` does it in snapshots:
    who is one says `snapshots.people`, and of a detector that cannot tell (motion) all that moves may be."""
    max_fps: Annotated[float, Field(gt=0, le=60)] = 10.0
    """Live pictures per second at most; slower viewers get fewer, and nobody's are made when nobody looks."""
    max_width: Annotated[int, Field(ge=160, le=4096)] = 960
    """px; wider pictures are scaled down."""
    quality: Annotated[int, Field(ge=20, le=95)] = 75
    """Of the live pictures' JPEG."""
    edit: bool = True
    """Whether zones, tripwires and rules can be saved to the configuration from the page."""
    keep_s: Annotated[Seconds, Field(le=3600)] = 300.0
    """Tracks of so many last seconds are kept in memory, for trying rules on; about 1 MB a minute for each
    camera with ten objects in sight."""
