"""What a person does: looks, draws, tries, saves, and sees the alert; in a real Chromium."""

from __future__ import annotations

import struct
from collections.abc import Callable

import yaml

from agent.config import load_config
from agent.stage_times import STAGES
from tests.agent.web.conftest import Browser, RunningAgent

Start = Callable[..., RunningAgent]
_BOARD = (
    "(() => { const r = document.querySelector('.drawing').getBoundingClientRect();"
    " return [r.left, r.top, r.width, r.height]; })()"
)
_PICTURE_MOVES = """(async () => {
  const pen = document.querySelector('canvas.picture').getContext('2d');
  const { width, height } = pen.canvas;
  const sum = () => pen.getImageData(0, 0, width, height).data.reduce((a, b) => a + b, 0);
  const [first, end] = [sum(), performance.now() + 60_000];
  while (performance.now() < end) {
    await new Promise((done) => requestAnimationFrame(done));
    if (sum() !== first) return width;
  }
  return 0;
})()"""


def test_draws_a_zone_tries_it_saves_it_and_sees_its_alert(start_agent: Start, browser: Browser) -> None:
    agent = start_agent()
    browser.look()
    browser.open(f"{agent.url}/#/zones/front")
    browser.wait_for("document.querySelector('.stage .empty')?.hidden")
    browser.wait_for("document.querySelectorAll('.drawing polyline.past').length >= 2")
    left, top, width, height = browser.ask(_BOARD)
    for x, y in ((0.02, 0.45), (0.98, 0.45), (0.98, 0.98), (0.02, 0.98)):
        browser.click(left + x * width, top + y * height)
    browser.wait_for("parseInt(document.querySelector('.verdict strong')?.textContent) >= 1 ||"
                     " document.querySelector('.verdict strong')?.textContent === 'once'")  # fmt: skip
    assert "zone-1: {points:" in browser.ask("document.querySelector('pre').textContent")
    before = agent.config.read_text()
    browser.ask("document.querySelector('button.main').click()")
    browser.wait_for("document.querySelector('[data-saved=\"zone-1\"]')")
    after = agent.config.read_text()
    assert "# where cars stand" in after and "# keep this" in after
    assert agent.config.with_name("edgetrack.yaml.bak").read_text() == before
    config = load_config(agent.config)
    assert config.cameras["front"].zones["zone-1"].points[2][0] > 0.9
    assert set(before.splitlines()) < set(after.splitlines())
    browser.ask("location.hash = '#/incidents'")
    browser.wait_for("document.querySelector('.incidents').innerText.includes('entered zone-1')")
    expected = ("WebSocket", "ERR_CONNECTION_REFUSED")  # while the cameras begin anew
    assert all(any(words in problem for words in expected) for problem in browser.problems), browser.problems


def test_live_picture_moves_layers_can_be_switched_and_health_is_shown(
    start_agent: Start, browser: Browser
) -> None:
    agent = start_agent(more="defaults: {actions: {labels: [motion]}}\n")
    browser.look(width=360, height=740, scheme="light", scale=2)
    browser.open(agent.url)
    browser.wait_for("document.querySelector('.stage .empty')?.hidden")
    assert browser.ask(_PICTURE_MOVES) == 640  # as wide as the clip
    browser.wait_for("document.querySelector('.incident img')?.naturalWidth > 100")
    browser.ask("document.querySelector('.incident summary').click()")
    assert browser.ask("document.querySelectorAll('.incident dt').length") > 0
    assert browser.ask("document.documentElement.scrollWidth <= innerWidth")
    drawn = "document.querySelector('canvas.overlay').toDataURL().length"
    with_layers = browser.ask(drawn)
    browser.ask("document.querySelectorAll('.chip input').forEach((box) => box.click())")
    assert browser.ask(drawn) < with_layers
    browser.ask("location.hash = '#/health'")
    browser.wait_for("document.querySelectorAll('.line polyline').length >= 3")
    text = browser.ask("document.querySelector('main').innerText")
    assert "Frames/s" in text
    shown = browser.ask("[...document.querySelectorAll('.stages tbody th')].map((th) => th.innerText)")
    assert shown == ["capture (with waiting)", *STAGES[1:]]
    assert not {"null", "undefined", "[object"} & set(text.split())
    assert browser.ask("document.documentElement.scrollWidth <= innerWidth")
    assert browser.problems == []


def test_zone_is_drawn_with_the_keyboard_alone(start_agent: Start, browser: Browser) -> None:
    agent = start_agent()
    browser.look()
    browser.open(f"{agent.url}/#/zones")
    browser.wait_for("document.querySelector('.drawing')")
    browser.ask("document.querySelector('.drawing').focus()")
    browser.press("Enter")  # the cross, in the middle
    for keys in (("ArrowLeft", "ArrowLeft"), ("ArrowDown",), ("ArrowRight", "ArrowRight")):
        for key in keys:
            browser.press(key, modifiers=8)
        browser.press("Enter")
    browser.wait_for("document.querySelector('pre').textContent.includes('points:')")
    text = browser.ask("document.querySelector('pre').textContent")
    points = yaml.safe_load(text)["cameras"]["front"]["zones"]["zone-1"]["points"]
    assert points == [[0.4, 0.5], [0.4, 0.55], [0.5, 0.55]]
    for _ in range(2):
        browser.press("Tab")
    browser.press("ArrowUp")
    browser.wait_for("document.querySelector('pre').textContent.includes('0.54')")


def test_page_asks_for_the_password_and_lets_in_who_has_it(start_agent: Start, browser: Browser) -> None:
    agent = start_agent(web="  password: correct horse\n")
    browser.look()
    browser.open(agent.url)
    browser.wait_for("document.querySelector('#password')")
    steps = {
        "wrong": "!document.querySelector('#wrong').hidden",
        "correct horse": "document.querySelector('.stage .empty')?.hidden",
    }
    for password, shown in steps.items():
        browser.ask(f"document.querySelector('#password').value = '{password}'")
        browser.ask("document.querySelector('button.main').click()")
        browser.wait_for(shown)
    assert struct.unpack(">I", browser.picture()[16:20])[0] == 1280
    agent.restart()  # no session of before is known to the new process
    browser.wait_for("location.pathname === '/login'")
