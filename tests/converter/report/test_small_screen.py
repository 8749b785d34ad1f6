"""The page on a telephone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from converter.report.content import ReportContent
from converter.report.page import write_report
from tests.agent.web.conftest import Browser

_CUT_OFF = """
[...document.querySelectorAll("section, header, .scroll")].flatMap(card => {
  const edge = card.getBoundingClientRect().right + 1;
  return [...card.querySelectorAll("td, rect, svg, code")]
    .filter(part => part.getBoundingClientRect().right > edge)
    .map(part => part.tagName + " " + part.textContent.trim());
})
"""


@pytest.fixture
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if binary is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    chromium = Browser(binary, tmp_path_factory.mktemp("chromium"))
    yield chromium
    chromium.close()


@pytest.mark.parametrize("width", [360, 500, 1280])
def test_nothing_is_cut_off_at_the_edge_of_its_card(
    browser: Browser, make_content: Callable[..., ReportContent], tmp_path: Path, width: int
) -> None:
    html, _ = write_report(make_content(), tmp_path)
    browser.look(width=width)
    browser.open(html.as_uri())
    browser.wait_for("document.querySelectorAll('.chart rect').length > 0")
    assert browser.ask(_CUT_OFF) == []
