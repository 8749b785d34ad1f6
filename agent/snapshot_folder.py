"""Pictures of alerts as files."""

from __future__ import annotations

import re
import sys
from collections import OrderedDict
from pathlib import Path

from agent.alerts.schema import AlertPayload
from agent.client_events import SnapshotPicture
from agent.errors import StorageError

_REMEMBERED_ALERTS = 500
_REMEMBERED_BYTES = 32_000_000
_JPEG = b"\xff\xd8\xff"


class SnapshotFolder:
    """Writes the picture of every alert that has one: `<time>_<device>_<camera>_<rule>_<id>.jpg`.

    Picture and alert come in any order and are joined by the picture's digest. What came over the network
    chooses no path: names are cut down to letters, digits and dashes. A file is there whole or not at all.

    Args:
        folder: where to; made when it is not there.

    Raises:
        StorageError: it cannot be made or written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._waiting: OrderedDict[str, list[AlertPayload]] = OrderedDict()
        self._bytes = 0
        self.saved = 0
        """Files written."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".edgetrack-watch.partial"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise StorageError(
                str(folder), f"expected a folder that can be written, got {error.strerror}"
            ) from error

    @property
    def waiting(self) -> int:
        """Alerts whose picture has not come: a newer one of the same rule may have taken its place."""
        return sum(len(alerts) for alerts in self._waiting.values())

    def take_alert(self, alert: AlertPayload) -> None:
        """Save the picture of an alert, now or when it comes."""
        if alert.snapshot is None:
            return
        digest = alert.snapshot.sha256
        if digest in self._pictures:
            self._save(alert, self._pictures[digest])
        else:
            self._waiting.setdefault(digest, []).append(alert)
            if len(self._waiting) > _REMEMBERED_ALERTS:
                self._waiting.popitem(last=False)

    def take_picture(self, picture: SnapshotPicture) -> None:
        """Save a picture if an alert waits for it, and keep it for one that may come."""
        if not picture.jpeg.startswith(_JPEG) or len(picture.jpeg) > _REMEMBERED_BYTES:
            return
        digest = picture.sha256
        for alert in self._waiting.pop(digest, ()):
            self._save(alert, picture.jpeg)
        if digest not in self._pictures:
            self._pictures[digest] = picture.jpeg
            self._bytes += len(picture.jpeg)
        while self._bytes > _REMEMBERED_BYTES:
            _, oldest = self._pictures.popitem(last=False)
            self._bytes -= len(oldest)

    def _save(self, alert: AlertPayload, jpeg: bytes) -> None:
        path = self._folder / picture_name(alert)
        unfinished = path.with_name(f".{path.name}.partial")
        try:
            unfinished.write_bytes(jpeg)
            unfinished.replace(path)
        except OSError as error:
            print(f"{path}: expected to keep a picture, got {error.strerror}", file=sys.stderr, flush=True)
        else:
            self.saved += 1


def picture_name(alert: AlertPayload) -> str:
    """File name of an alert's picture; sorts by time."""
    names = (re.sub(r"[^A-Za-z0-9-]", "-", name)[:40] for name in (alert.device, alert.camera, alert.rule))
    moment = alert.time.strftime("%Y%m%dT%H%M%S") + f"{alert.time.microsecond // 1000:03d}Z"
    return "_".join((moment, *names, alert.id)) + ".jpg"
