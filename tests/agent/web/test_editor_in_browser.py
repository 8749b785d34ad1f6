"""Places deleted and brought back, an arrow drawn, a finger on a phone, a file that may not be written."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.agent.web.conftest import LONG_S, Browser, RunningAgent
from tests.conftest import wait_until

Start = Callable[..., RunningAgent]
_BOARD = (
    "(() => { const r = document.querySelector('.drawing').getBoundingClientRect();"
    " return [r.left, r.top, r.width, r.height]; })()"
)
_CHOOSE = (
    "(() => {{ const list = document.querySelector('#{list}'); list.value = '{value}';"
    " list.dispatchEvent(new Event('change')); }})()"
)


def rule_of(browser: Browser) -> dict[str, Any]:
    """As the YAML to copy has it."""
    content = yaml.safe_load(browser.ask("document.querySelector('pre').textContent") or "{}")
    rules = content.get("cameras", {}).get("front", {}).get("rules", [{}])
    return dict(rules[0])


def test_zone_is_deleted_with_its_rule_by_keyboard_and_undo_brings_both_back(
    start_agent: Start, browser: Browser
) -> None:
    agent = start_agent()
    before = agent.config.read_text()
    browser.look()
    browser.open(f"{agent.url}/#/zones")
    browser.wait_for("document.querySelector('.drawing')")
    assert browser.ask("document.querySelector('.removal').hidden")
    browser.ask(_CHOOSE.format(list="existing", value="zone/drive"))
    browser.ask("document.querySelector('#delete').focus()")
    browser.press("Enter")
    assert "the rule watching it (zone-drive)" in browser.ask(
        "document.querySelector('#delete-question').textContent"
    )
    assert browser.ask("document.activeElement.textContent") == "Keep"
    browser.press("Escape")
    assert browser.ask("document.activeElement.id") == "delete"
    assert agent.config.read_text() == before
    browser.press("Enter")
    browser.press("Tab", modifiers=8)
    assert browser.ask("document.activeElement.id") == "delete-now"
    browser.press("Enter")
    browser.wait_for("document.querySelector('[data-deleted=\"drive\"]')")
    content = yaml.safe_load(agent.config.read_text())["cameras"]["front"]
    assert content["zones"] == {} and "rules" not in content
    assert all(comment in agent.config.read_text() for comment in ("# the street", "# where cars stand"))
    browser.wait_for("!document.querySelector('#existing').innerText.includes('drive')")
    browser.ask("document.querySelector('#undo-saved').click()")
    browser.wait_for("document.querySelector('[data-undone]')")
    assert agent.config.read_text() == before
    browser.wait_for("document.querySelector('#existing').value === 'zone/drive'")


def test_zone_and_the_arrow_of_its_right_way_are_drawn_by_touch(start_agent: Start, browser: Browser) -> None:
    agent = start_agent()
    browser.look(width=390, height=844, scale=2)
    browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
    browser.open(f"{agent.url}/#/zones")
    browser.wait_for("document.querySelectorAll('.drawing polyline.past').length >= 1")
    left, top, width, height = browser.ask(_BOARD)

    def at(x: float, y: float) -> tuple[float, float]:
        return left + x * width, top + y * height

    browser.ask(_CHOOSE.format(list="rule-kind", value="wrong-way"))
    for x, y in ((0.05, 0.4), (0.95, 0.4), (0.95, 0.95), (0.05, 0.95)):
        browser.touch(at(x, y))
    browser.wait_for("document.querySelectorAll('.drawing .corner.end').length === 2")
    browser.wait_for("document.querySelector('pre').textContent.includes('allowed')")
    tail, head = rule_of(browser)["allowed"]
    assert head[0] > tail[0] and head[1] == tail[1]
    browser.touch(at(*head), at(0.7, 0.7), at(0.5, 0.9))
    wait_until(lambda: rule_of(browser)["allowed"][1][1] > 0.85, LONG_S, "the arrow's new head in the YAML")
    moved = rule_of(browser)["allowed"]
    assert moved[0] == tail
    assert moved[1] == pytest.approx([0.5, 0.9], abs=0.01)
    browser.ask(
        "[...document.querySelectorAll('button')].find((b) => b.textContent.startsWith('Turn')).click()"
    )
    browser.ask("document.querySelector('[data-of=arrow][data-index=\"1\"]').focus()")
    browser.press("ArrowUp", modifiers=8)
    turned = [moved[1], [tail[0], round(tail[1] - 0.05, 3)]]
    text = f"[{turned[1][0]}, {turned[1][1]}]]"
    browser.wait_for(f"document.querySelector('pre').textContent.includes('{text}')")
    assert rule_of(browser) == {"kind": "wrong-way", "zone": "zone-1", "for_s": 0.5, "allowed": turned}
    assert browser.ask("document.documentElement.scrollWidth <= innerWidth")
    assert browser.problems == []
    browser.ask("document.querySelector('.buttons button').click()")  # Undo, once for each step
    browser.wait_for(f"!document.querySelector('pre').textContent.includes('{text}')")


def test_read_only_folder_is_told_of_and_the_yaml_can_be_copied(
    start_agent: Start, browser: Browser, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As systemd's ProtectSystem=strict makes /etc."""
    alone = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))
    read_only = (
        f'mount --bind "{tmp_path}" "{tmp_path}" && mount -o remount,bind,ro "{tmp_path}" && exec "$@"'
    )
    within = (*alone, "sh", "-c", read_only, "sh")
    if not shutil.which("unshare") or subprocess.run([*within, "true"], check=False).returncode:
        pytest.skip("needs mount namespaces")
    agent = start_agent(outbox=str(tmp_path_factory.mktemp("state") / "outbox.sqlite"), within=within)
    browser.look()
    browser.open(f"{agent.url}/#/zones")
    browser.wait_for("document.querySelector('#obstacle')")
    told = browser.ask("document.querySelector('#obstacle').innerText")
    assert "Nothing can be saved from here." in told
    assert f"{tmp_path}: expected a folder that the agent may write, got a read-only one" in told
    assert "edgetrack.yaml" in told and "systemctl reload edgetrack-agent" in told
    browser.ask(_CHOOSE.format(list="existing", value="zone/drive"))
    browser.wait_for("document.querySelector('pre').textContent.includes('drive')")
    assert browser.ask("document.querySelector('button.main').disabled")
    assert browser.ask("document.querySelector('#delete').disabled")
    assert not browser.ask(
        "[...document.querySelectorAll('button')].find((b) => b.textContent === 'Copy YAML').disabled"
    )
