"""The page stands alone, is well-formed, shows what it is given and obeys nothing in it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from agent.errors import DataError, StorageError
from converter.report.content import (
    Accuracy,
    ActivationRange,
    ExamplePicture,
    FileSize,
    Latency,
    ReportContent,
)
from converter.report.page import render, report_json, write_report

Make = Callable[..., ReportContent]
VOID = {"meta", "br", "img", "hr", "link", "input"}


class Page(HTMLParser):
    """Tags, attributes and text; fails on a tag that is closed out of order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str, css: str = "") -> int:
        return sum(name == tag and css in [*attrs.get("class", "").split(), ""] for name, attrs in self.tags)


def test_full_report_shows_every_part(make_content: Make) -> None:
    page = Page(render(make_content()))
    for text in (
        "tiny", "It lost 0.002.", "tiny.keras", "heed this", "few samples", "AP50", "allowed 0.01",
        "box agreement", "bias correction", "2 % are cut", "2 % clipped", "1 of 3 operators", "use RELU",
        "a note", "1.00 MB", "LiteRT 2.3.0", "3.2 ms", "found by both",
    ):  # fmt: skip
        assert text in page.text, text
    assert page.count("h2") == 8
    assert page.count("rect", "same") == 2  # the cat, on both sides
    assert page.count("rect", "only") == 1  # the dog, float only
    assert page.count("polygon") == 1


def test_empty_report_is_a_page_too() -> None:
    page = Page(render(ReportContent("nothing", "measured", "Nothing was measured.")))
    assert "Nothing was measured." in page.text
    assert page.count("section") == 0


@pytest.mark.parametrize(
    "part", [f.name for f in fields(ReportContent) if f.name not in {"title", "verdict", "summary"}]
)
def test_any_part_may_be_missing(make_content: Make, part: str) -> None:
    empty = None if part in {"calibration", "edgetpu", "runtimes"} else ()
    content = make_content(**{part: empty})
    Page(render(content))
    json.dumps(report_json(content), allow_nan=False)


def test_page_needs_nothing_else(make_content: Make) -> None:
    html = render(make_content())
    page = Page(html)
    assert page.count("script") == page.count("link") == page.count("iframe") == 0
    for _, attrs in page.tags:
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "href"):
            assert attrs.get(name, "#").startswith(("#", "data:image/"))
    assert not re.search(r"https?://|@import|url\(", html)
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "script" not in policy


HOSTILE = "\"'><script>alert(1)</script></style><img src=x onerror=alert(1)>{{ 7*7 }}{% raw %}"


def test_hostile_names_are_text(make_content: Make) -> None:
    plain = Page(render(make_content()))
    content = make_content()
    verdict = content.edgetpu
    assert verdict is not None
    reason = verdict.operators[1].reason
    assert reason is not None
    bad_operator = replace(
        verdict.operators[1], name=HOSTILE, reason=replace(reason, text=HOSTILE, advice=HOSTILE)
    )
    example = content.examples[0]
    content = replace(
        content,
        title=HOSTILE,
        summary=HOSTILE,
        facts=((HOSTILE, HOSTILE),) * 2,
        warnings=(HOSTILE,),
        accuracy=tuple(replace(a, metric=HOSTILE, dataset=HOSTILE) for a in content.accuracy),
        sizes=tuple(replace(s, name=HOSTILE) for s in content.sizes),
        latencies=tuple(replace(x, runtime=HOSTILE, model=HOSTILE) for x in content.latencies),
        remedies=tuple(replace(r, name=HOSTILE, what=HOSTILE, metric=HOSTILE) for r in content.remedies),
        ranges=tuple(replace(r, name=HOSTILE) for r in content.ranges),
        layers=tuple(replace(x, name=HOSTILE, operator=HOSTILE, cause=HOSTILE) for x in content.layers),
        edgetpu=replace(verdict, operators=(verdict.operators[0], bad_operator, verdict.operators[2])),
        examples=(
            replace(
                example,
                name=HOSTILE,
                float_boxes=tuple(replace(b, label=HOSTILE) for b in example.float_boxes),
            ),
        ),
    )
    page = Page(render(content))
    assert [tag for tag, _ in page.tags if tag in {"script", "img"}] == []
    assert page.count("section") == plain.count("section")
    assert all(not name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert "{{ 7*7 }}" in page.text
    assert page.text.count("alert(1)") >= 20


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, 1e38, -1e38, 1e-38, 0.0])
def test_odd_numbers_break_neither_page_nor_json(make_content: Make, number: float) -> None:
    content = make_content(
        accuracy=(Accuracy("m", "d", 1, number, number), Accuracy("m", "d", 1, 0.5, number, "px")),
        ranges=(ActivationRange("r", -1.0, number, number, 1.0, 0.5, (0, 0)),),
        layers=(replace(make_content().layers[0], float_max=number, kept_max=number, snr_db=-120.0),),
        sizes=(FileSize("int8", 0),),
        latencies=(Latency("LiteRT", "int8", 0.0, 0.0, 1, 1),),
    )
    Page(render(content))
    text = json.dumps(report_json(content), allow_nan=False)
    assert json.loads(text)["accuracy"][0]["int8_value"] in (number, None)


def test_numpy_numbers_become_json(make_content: Make) -> None:
    content = make_content(accuracy=(Accuracy("m", "d", np.int64(3), np.float32(0.5), np.float64(0.25)),))
    row = json.loads(json.dumps(report_json(content)))["accuracy"][0]
    assert (row["samples"], row["float_value"], row["int8_value"], row["drop"]) == (3, 0.5, 0.25, 0.25)


def test_json_holds_the_whole_content_but_the_pictures(make_content: Make) -> None:
    content = make_content()
    data = report_json(content)
    assert {f.name for f in fields(ReportContent)} <= data.keys()
    assert data["examples"][0].keys() == {f.name for f in fields(ExamplePicture)} - {"image"}
    assert data["accuracy"][0]["failed"] is False
    assert data["layers"][1]["lost_db"] == 32.0
    assert (data["edgetpu"]["mapped"], data["edgetpu"]["total"]) == (1, 3)


def test_same_content_gives_the_same_bytes(make_content: Make, tmp_path: Path) -> None:
    first = [path.read_bytes() for path in write_report(make_content(), tmp_path / "a")]
    second = [path.read_bytes() for path in write_report(make_content(), tmp_path / "b")]
    assert first == second


def test_picture_of_another_kind_is_refused(make_content: Make, tmp_path: Path) -> None:
    example = replace(make_content().examples[0], image=b"<svg onload=alert(1)>")
    with pytest.raises(DataError, match=r"a\.jpg: expected a JPEG or PNG"):
        write_report(make_content(examples=(example,)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_is_a_storage_error(make_content: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(StorageError):
        write_report(make_content(), tmp_path / "file")


def test_failed_write_keeps_the_earlier_report(
    make_content: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    html, data = write_report(make_content(), tmp_path)
    before = html.read_bytes(), data.read_bytes()
    written = Path.write_text

    def full(self: Path, text: str, **options: str) -> int:
        written(self, text[:100], **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(StorageError, match="No space left"):
        write_report(make_content(title="second"), tmp_path)
    monkeypatch.undo()
    assert (html.read_bytes(), data.read_bytes()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]


def test_both_runtimes_are_told_with_what_the_task_makes_of_the_difference(make_content: Make) -> None:
    content = make_content()
    text = Page(render(content)).text
    assert "AP50 differs by 0.0020 on 20 samples" in text
    assert "97.0% of the output codes agree within 1, the largest difference is 4 (one runtime rounds" in text
    assert report_json(content)["runtimes"]["spread"] == pytest.approx(0.002)
