"""The operator's page in a browser, beside a running line."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from .conftest import Line
from .page_browser import (
    SIZES,
    WAIT_MS,
    chromium,
    fits_the_screen,
    grave_faults,
    keep_screenshot,
    line_without_worker,
    log_in,
    screen,
    start_page,
    started_page,
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]
expect.set_options(timeout=WAIT_MS)

MakeLine = Callable[[str], Line]


def shown_parts(page: Page) -> int:
    """Return how many parts the strip shows."""
    return page.locator("#strip li").count()


def test_live_verdicts_of_a_running_line(make_line: MakeLine, recipes: Path, synthetic_root: Path) -> None:
    """Each verdict comes to the page with its picture, at both sizes; the counts are those of the line.

    Killing the page costs the line nothing, and a page that is started again shows what it missed.
    """
    line = make_line("tcp")
    worker = line.start()
    running = start_page(line, recipes)
    options = ["--rate", f"{line.rate_hz(2):.3f}", "--loop", "2", "--deadline-ms", "20000"]
    with chromium() as browser:
        with screen(browser, running.address) as page:
            expect(page.locator("#phase")).to_have_text("Inspecting")
            camera = line.replay(synthetic_root, *options)
            line.wait_for(lambda: camera.returncode is not None, worker, 120)
            expected = len(line.triggers())
            line.wait_for(lambda: len(line.received) >= expected, worker, 60)
            expect(page.locator("#strip li")).to_have_count(min(expected, 30))
            expect(page.locator("#hour-all")).to_have_text(str(expected))
            newest = max(line.received, key=lambda item: item.result.result_id).result
            expect(page.locator("#fact-part")).to_have_text(newest.part_id)
            expect(page.locator("#verdict")).to_have_attribute("data-verdict", str(newest.verdict))
            failed = sum(str(item.result.verdict) == "FAIL" for item in line.received)
            expect(page.locator("#hour-FAIL")).to_have_text(str(failed))
            expect(page.locator("#cameras tr")).to_have_count(1)
            expect(page.locator("#owed")).to_have_text("0")
            picture = page.locator(".tile-0").evaluate("tile => getComputedStyle(tile).backgroundImage")
            assert "/live/picture?" in picture

        for size in SIZES:
            for language in ("en", "de"):
                with screen(browser, running.address, size=size, language=language) as page:
                    expect(page.locator("#strip li")).to_have_count(min(expected, 30))
                    expect(page.locator("#no-picture")).to_be_hidden()
                    assert fits_the_screen(page)
                    assert grave_faults(page) == []
                    keep_screenshot(page, f"live-{language}")

        running.process.kill()
        again = line.replay(synthetic_root, *options)
        line.wait_for(lambda: again.returncode is not None, worker, 120)
        more = expected + len(line.triggers())
        line.wait_for(lambda: len(line.received) >= more, worker, 60)
        assert {str(item.result.verdict) for item in line.received} <= {"PASS", "FAIL", "UNDECIDED", "FAULT"}
        assert line.lost == 0
        running = start_page(line, recipes)
        with screen(browser, running.address) as page:
            expect(page.locator("#hour-all")).to_have_text(str(more))
            line.finish(worker)
            expect(page.locator("#alarms")).to_contain_text("no part is inspected")
            assert grave_faults(page) == []


def test_logins_and_the_read_only_line(tmp_path: Path) -> None:
    """A wrong password is refused in words, many close the door; a line of the PLC is read-only until taken over.

    Taking over and giving back are in the trace. No worker is needed for any of it.
    """
    takeover = tmp_path / "takeover.json"
    access = {"plc_owns_line": True, "takeover": str(takeover), "anonymous_may_view": False}
    refused = ("401 (Unauthorized)",)
    with (
        line_without_worker(tmp_path) as line,
        chromium() as browser,
        started_page(line, access=access) as running,
        screen(browser, running.address, expected=refused) as page,
    ):
        expect(page).to_have_url(re.compile("/login"))
        assert grave_faults(page) == []
        log_in(page, running, "operate", "wrong password")
        expect(page.locator(".problem")).to_have_text("Name or password is wrong.")
        keep_screenshot(page, "login-refused")
        log_in(page, running, "operate")
        expect(page).to_have_url(f"{running.address}/")
        expect(page.locator("#read-only")).to_contain_text("a PLC owns the line")
        for size in SIZES:
            page.set_viewport_size({"width": size[0], "height": size[1]})
            keep_screenshot(page, "read-only")
            assert fits_the_screen(page)
        assert grave_faults(page) == []

        page.click("#read-only button")
        expect(page.locator("#taken-over")).to_contain_text("operate")
        assert json.loads(takeover.read_text())["who"] == "operate"
        assert grave_faults(page) == []
        keep_screenshot(page, "taken-over")
        page.click("#taken-over button")
        expect(page.locator("#read-only")).to_be_visible()
        assert not takeover.exists()

        page.goto(f"{running.address}/audit")
        expect(page.locator("tbody tr")).to_have_count(2)
        expect(page.locator("tbody tr").first).to_contain_text("give_back")
        assert grave_faults(page) == []
        keep_screenshot(page, "audit")

        page.click("header form button")
        expect(page).to_have_url(re.compile("/login"))
        for _ in range(6):
            log_in(page, running, "teach", "wrong password")
        expect(page.locator(".problem")).to_contain_text("Too many wrong passwords")
