"""Writing a report: `report.html`, one file that needs nothing else, and `report.json` for programs."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from agent.errors import DataError, StorageError
from agent.version import __version__
from converter.edgetpu.verdict import OperatorVerdict, Verdict
from converter.layer_error import NOTABLE_LOSS_DB, worst_layers
from converter.report.charts import accuracy_rows, range_rows, snr_chart
from converter.report.content import ExamplePicture, ReportContent
from converter.report.example_boxes import drawn_boxes

HTML_NAME = "report.html"
JSON_NAME = "report.json"
_IMAGE_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}


def write_report(content: ReportContent, folder: Path) -> tuple[Path, Path]:
    """Write both files; neither is seen half-written.

    Args:
        content: what the report tells.
        folder: made if missing.

    Returns:
        Paths of report.html and report.json.

    Raises:
        DataError: an example picture is neither JPEG nor PNG.
        StorageError: the files cannot be written.
    """
    html, data = (
        render(content),
        json.dumps(report_json(content), indent=2, ensure_ascii=False, allow_nan=False),
    )
    paths = folder / HTML_NAME, folder / JSON_NAME
    with _storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, (html, data + "\n"), strict=True):
            partial = path.with_name(f".{path.name}.partial")
            try:
                partial.write_text(text, encoding="utf-8", errors="replace")
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
    return paths


@contextmanager
def _storage(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            str(folder), f"expected room for a report, got: {error.strerror or error}"
        ) from error


def render(content: ReportContent) -> str:
    """The page as HTML: styles, drawings and pictures within, no script; every text is escaped.

    Raises:
        DataError: an example picture is neither JPEG nor PNG.
    """
    environment = Environment(
        loader=PackageLoader("converter.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "bytes": _bytes, "percent": _percent}
    return environment.get_template("page.html").render(
        content=content,
        version=__version__,
        accuracy=accuracy_rows(content.accuracy),
        snr=snr_chart(content.layers, NOTABLE_LOSS_DB),
        worst=worst_layers(content.layers, 8),
        ranges=range_rows(content),
        blockers=_blockers(content.edgetpu) if content.edgetpu else (),
        largest_file=max((size.size_bytes for size in content.sizes), default=1) or 1,
        slowest_ms=max((latency.p90_ms for latency in content.latencies), default=1.0) or 1.0,
        examples=[(e, _data_uri(e), *drawn_boxes(e)) for e in content.examples],
    )


def _data_uri(picture: ExamplePicture) -> str:
    for mark, kind in _IMAGE_TYPES.items():
        if picture.image.startswith(mark):
            return f"data:{kind};base64,{base64.b64encode(picture.image).decode('ascii')}"
    raise DataError(picture.name, f"expected a JPEG or PNG picture, got {picture.image[:8]!r}")


@dataclasses.dataclass(frozen=True, slots=True)
class _Blocker:
    """Operators that stay on the CPU for one reason."""

    operators: tuple[OperatorVerdict, ...]
    text: str
    advice: str

    @property
    def names(self) -> str:
        return ", ".join(sorted({operator.name for operator in self.operators}))


def _blockers(verdict: Verdict) -> tuple[_Blocker, ...]:
    """Reasons with their operators, the most frequent first."""
    groups: dict[tuple[str, str], list[OperatorVerdict]] = {}
    for operator in verdict.operators:
        if operator.reason is not None:
            own = operator.reason.code not in {"behind-cpu", "model-refused", "data-type", "dynamic-shape"}
            groups.setdefault((operator.reason.code, operator.name if own else ""), []).append(operator)
    blockers = []
    for found in groups.values():
        reason = found[0].reason
        if reason is not None:
            blockers.append(_Blocker(tuple(found), reason.text, reason.advice))
    return tuple(sorted(blockers, key=lambda blocker: -len(blocker.operators)))


def report_json(content: ReportContent) -> dict[str, Any]:
    """The content as JSON types; pictures are left out, numbers that JSON has no word for become null."""
    data: dict[str, Any] = _plain(content)
    for row, accuracy in zip(data["accuracy"], content.accuracy, strict=True):
        row["drop"], row["failed"] = _plain(accuracy.drop), accuracy.failed
    for row, layer in zip(data["layers"], content.layers, strict=True):
        row["lost_db"] = _plain(layer.lost_db)
    if content.runtimes is not None:
        data["runtimes"] |= {"spread": content.runtimes.spread, "text": content.runtimes.text}
    if content.edgetpu is not None:
        data["edgetpu"] |= {"mapped": content.edgetpu.mapped, "total": content.edgetpu.total}
    return {"schema_version": 1, "edgetrack": __version__, **data}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (field.name for field in dataclasses.fields(value))
        return {
            name: _plain(getattr(value, name))
            for name in fields
            if not isinstance(getattr(value, name), bytes)
        }
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    return str(value)


def _number(value: float | None, digits: int = 4) -> str:
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    value += 0.0  # no "-0"
    if 10**digits <= abs(value) < 1e7:
        return f"{value:.0f}"
    return f"{value:.{digits}g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.2g}"


def _bytes(value: float) -> str:
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.2f} {unit}"
    return f"{value:.0f} B"


def _percent(value: float) -> str:
    return f"{100 * value:.2g} %" if 0 < value < 0.1 else f"{100 * value:.0f} %"
