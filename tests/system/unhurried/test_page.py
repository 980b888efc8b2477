"""The operator's page in a browser, beside a running line."""

import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.system.conftest import Line
from tests.system.page_browser import (
    SIZES,
    WAIT_MS,
    RunningPage,
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

from cmfm_service.line_owner import OwnerFile
from cmfm_sim.processes import Child

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]
expect.set_options(timeout=WAIT_MS)

MakeLine = Callable[[str], Line]


def test_live_verdicts_of_a_running_line(make_line: MakeLine, recipes: Path, synthetic_root: Path) -> None:
    """Each verdict comes to the page with its picture, at both sizes; the counts are those of the line.

    Killing the page's program costs the line nothing. The open page says so, and shows what it missed once the program
    is there again. A worker that ends is an alarm.
    """
    line = make_line("tcp")
    worker = line.start()
    running = start_page(line, recipes)
    gone = ("ERR_CONNECTION", "ERR_INCOMPLETE", "ERR_EMPTY")
    with chromium() as browser, screen(browser, running.address, expected=gone) as page:
        expect(page.locator("#phase")).to_have_text("Inspecting")
        inspected = inspect_all(line, worker, synthetic_root)
        expect(page.locator("#hour-all")).to_have_text(str(inspected))
        newest = max(line.received, key=lambda item: item.result.result_id).result
        expect(page.locator("#fact-part")).to_have_text(newest.part_id)
        expect(page.locator("#verdict")).to_have_attribute("data-verdict", str(newest.verdict))
        failed = sum(str(item.result.verdict) == "FAIL" for item in line.received)
        expect(page.locator("#hour-FAIL")).to_have_text(str(failed))
        expect(page.locator("#cameras tr")).to_have_count(1)
        expect(page.locator("#owed")).to_have_text("0")
        hold_a_pictured_part(page)
        for size in SIZES:
            for language in ("en", "de"):
                look(browser, running, size, language, parts=min(inspected, 30))
        look_with_a_wrong_clock(browser, running)
        open_a_rejected_part(browser, running)

        running.process.kill()
        expect(page.locator("#alarms")).to_contain_text("what is shown is old")
        inspected += inspect_all(line, worker, synthetic_root)
        assert line.lost == 0
        assert len(line.received) == inspected
        port = int(running.address.rpartition(":")[2])
        start_page(line, recipes, page={"port": port})
        expect(page.locator("#hour-all")).to_have_text(str(inspected))  # the open page finds it by itself
        line.finish(worker)
        expect(page.locator("#alarms")).to_contain_text("no part is inspected")
        assert grave_faults(page) == []


def inspect_all(line: Line, worker: Child, root: Path) -> int:
    """Send the test parts twice; return how many, once each has its verdict."""
    before = len(line.received)
    options = ["--rate", f"{line.rate_hz(2):.3f}", "--loop", "2", "--deadline-ms", "60000"]
    camera = line.replay(root, *options)
    line.wait_for(lambda: camera.returncode is not None, worker, 120)
    camera.require_success()
    sent = len(line.triggers())
    line.wait_for(lambda: len(line.received) >= before + sent, worker, 60)
    return sent


def hold_a_pictured_part(page: Page) -> None:
    """Hold a part of the strip: its picture and its verdict stand large until *back to live*."""
    pictured = page.locator('#strip li:has(.thumb[style*="background-image"]) button').last
    pictured.click()
    expect(page.locator("#no-picture")).to_be_hidden()
    shown = page.locator(".tile-0").evaluate("tile => getComputedStyle(tile).backgroundImage")
    assert "/live/picture?" in shown
    expect(pictured).to_have_attribute("aria-pressed", "true")
    page.click("#resume")
    expect(page.locator("#resume")).to_be_hidden()


def open_a_rejected_part(browser: Browser, running: RunningPage) -> None:
    """The link of a rejected part leads from the strip to the part's own page."""
    with screen(browser, running.address) as page:
        rejected = page.locator("#strip li.FAIL button").last
        rejected.click()
        part = page.locator("#fact-part").inner_text()
        page.click("#open-part")
        expect(page.locator("h1")).to_contain_text(part)
        expect(page.locator("h1 .verdict")).to_have_attribute("class", re.compile("FAIL"))


def look(browser: Browser, running: RunningPage, size: tuple[int, int], language: str, *, parts: int) -> None:
    """Open the page at a size in a language: everything fits, and axe-core finds nothing grave."""
    with screen(browser, running.address, size=size, language=language) as page:
        expect(page.locator("#strip li")).to_have_count(parts)
        expect(page.locator(".thumb").last).to_be_visible()
        assert fits_the_screen(page)
        assert grave_faults(page) == []
        keep_screenshot(page, f"live-{language}")


def look_with_a_wrong_clock(browser: Browser, running: RunningPage) -> None:
    """A browser that believes in another year shows the line's time, and nothing as old."""
    with screen(browser, running.address) as page:
        page.clock.install(time=0)
        page.reload()
        assert page.evaluate("new Date().getUTCFullYear()") == 1970
        expect(page.locator("#strip li").first).to_be_visible()
        expect(page.locator("#clock")).to_contain_text(time.strftime("%Y-"))
        expect(page.locator("#live")).not_to_have_class(re.compile("stale"))


def test_an_open_page_follows_the_gateway_s_word(tmp_path: Path) -> None:
    """A PLC takes the line and gives it up: the bar comes and goes by itself; a silent gateway is said."""
    told = OwnerFile(tmp_path / "owner.json")
    told.tell(plc=False)
    stop = threading.Event()
    owned = threading.Event()

    def gateway() -> None:
        while not stop.wait(0.1):
            told.tell(plc=owned.is_set())

    running_gateway = threading.Thread(target=gateway)
    running_gateway.start()
    access = {"owner": str(tmp_path / "owner.json"), "anonymous_may_view": False}
    try:
        with (
            line_without_worker(tmp_path) as line,
            chromium() as browser,
            started_page(line, access=access) as running,
            screen(browser, running.address, expected=("401 (Unauthorized)",)) as page,
        ):
            log_in(page, running, "operate")
            expect(page.locator("#phase")).to_be_visible()
            expect(page.locator("#read-only")).to_have_count(0)
            owned.set()
            expect(page.locator("#read-only")).to_contain_text("a PLC owns the line")
            owned.clear()
            expect(page.locator("#read-only")).to_have_count(0)
            stop.set()
            expect(page.locator("#read-only")).to_contain_text("the gateway does not say")
            assert grave_faults(page) == []
    finally:
        stop.set()
        running_gateway.join()


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
        expect(page.locator("tbody tr").first).to_contain_text("line given back to the PLC")
        assert grave_faults(page) == []
        keep_screenshot(page, "audit")

        page.click("header form button")
        expect(page).to_have_url(re.compile("/login"))
        for _ in range(6):
            log_in(page, running, "teach", "wrong password")
        expect(page.locator(".problem")).to_contain_text("Too many wrong passwords")
