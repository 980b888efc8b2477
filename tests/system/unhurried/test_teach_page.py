"""The Teach page in a browser, beside a running line: parts are collected, chosen, taught and used."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.system.belt import LIMIT_S, Belt, distinct_parts
from tests.system.conftest import Line
from tests.system.page_browser import (
    SIZES,
    WAIT_MS,
    chromium,
    fits_the_screen,
    grave_faults,
    keep_screenshot,
    log_in,
    screen,
    started_page,
)

from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.collected import read_product
from cmfm_records.ledger import open_ledger
from cmfm_sim.processes import program

pytestmark = [pytest.mark.system, pytest.mark.timeout(1500)]
expect.set_options(timeout=WAIT_MS)

MakeLine = Callable[[str], Line]
PARTS = 30

QUICK = """import os, sys
arguments = sys.argv[1:]
if "--from-collected" in arguments:
    arguments += ["--extractors", "classic", "--epochs", "3", "--simulated-defects", "12"]
os.execv({program!r}, [*{command!r}, *arguments])
"""
"""A program for [worker] command: the page's commands as they are, with a teaching that takes seconds."""


def quick_command(folder: Path) -> list[str]:
    script, command = folder / "quick.py", program("cmfm-worker")
    script.write_text(QUICK.format(program=command[0], command=command))
    return [sys.executable, str(script)]


def look_at_it(page: Page, name: str) -> None:
    """At both sizes everything fits and axe-core finds nothing grave."""
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        assert fits_the_screen(page)
        assert grave_faults(page) == []
        keep_screenshot(page, name)


def test_product_is_collected_taught_and_used_on_the_page(
    make_line: MakeLine, recipes: Path, synthetic_root: Path
) -> None:
    """A product that the line does not know: 30 parts, one left out, one bad; taught, looked at, used; who did it is
    in the ledger."""
    line = make_line("tcp")
    folder = line.folder / "recipes"
    shutil.copytree(recipes / "praline", folder / "praline")
    worker = line.start(
        recipes={"folder": str(folder), "default": "praline"},
        intake={"repeated": "warn"},  # this camera has few pictures
    )
    with (
        Belt(line, distinct_parts(synthetic_root, PARTS)) as belt,
        chromium() as browser,
        started_page(line, worker={"command": quick_command(line.folder)}) as running,
        screen(browser, running.address) as page,
    ):
        log_in(page, running, "teach")
        page.goto(f"{running.address}/teach")
        look_at_it(page, "teach-choose")
        page.fill("input[name=product]", "cap")
        page.click("main button")
        expect(page.locator("#line")).to_have_text("The line collects nothing.")
        expect(page.locator("#begin")).to_be_disabled()
        expect(page.locator("#gain")).to_contain_text("20 more are needed")
        page.fill("input[name=count]", str(PARTS))
        page.fill("input[name=frames_of]", "cap")
        page.click("#start")
        expect(page.locator("#line")).to_contain_text(f"0 of {PARTS}")
        belt.run_until(lambda: page.locator("#good").inner_text() == str(PARTS), "cap", worker)
        expect(page.locator("#line")).to_have_text(f"{PARTS} of {PARTS} parts were kept.")
        expect(page.locator("#parts li")).to_have_count(PARTS)

        first, second = (page.locator("#parts li").nth(number) for number in (0, 1))
        first.locator("input").uncheck()
        second.locator("button").click()
        expect(page.locator("#good")).to_have_text(str(PARTS - 2))
        expect(page.locator("#others")).to_contain_text("1 bad · 1 left out")
        look_at_it(page, "teach-collected")
        product = read_product(line.folder / "collected", "cap")
        assert [len(product.used_as(use)) for use in ("good", "bad", "left_out")] == [PARTS - 2, 1, 1]

        page.click("#begin")
        expect(page.locator("#stage")).to_contain_text("Step")
        keep_screenshot(page, "teach-running")
        belt.run_until(lambda: page.locator("#outcome-panel").is_visible(), "praline", worker)
        expect(page.locator("#outcome")).to_contain_text(f"from {PARTS - 2} parts")
        expect(page.locator("#outcome .worst img").first).to_be_visible()
        expect(page.locator("#outcome")).to_contain_text("Of 1 parts called bad")
        assert page.locator("#outcome .worst img").first.evaluate(
            "picture => picture.decode().then(() => true)"
        )
        assert not (folder / "cap").exists()
        look_at_it(page, "teach-outcome")

        page.click("#use")
        expect(page.locator("#used")).to_have_text("The line uses it.", timeout=LIMIT_S * 1000)
        belt.send("cap")
        line.wait_for(lambda: len(line.received) == belt.sent, worker, 60)
        newest = max((item.result for item in line.received), key=lambda result: result.seq)
        assert (newest.recipe, newest.verdict is Verdict.FAULT) == ("cap", False)
        page.goto(f"{running.address}/language/de?next=/teach/cap")
        expect(page.locator("#used")).to_have_text("Die Linie verwendet es.")
        look_at_it(page, "teach-german")
        with open_ledger(line.folder / "ledger.sqlite") as reader:
            changes = [(entry.who, entry.what) for entry in reader.audit()]
        for what in ("collect", "collected_part", "teach", "recipe_use"):
            assert ("teach", what) in changes
    line.finish(worker)
