"""Rejects and a part's page in a browser: a real line's rejects, the slider, the 3D view, a wrong call, a replay."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.system.conftest import Line
from tests.system.page_browser import (
    DESKTOP,
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
from tests.unit.made.archive import archive_part, domed_part

from cmfm_records.collected import read_product

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]
expect.set_options(timeout=WAIT_MS)

MakeLine = Callable[[str], Line]


def look_at_sizes(page: Page, name: str) -> None:
    """The page fits both screens, and has no grave fault of accessibility."""
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        assert fits_the_screen(page)
        keep_screenshot(page, name)
    assert grave_faults(page) == []
    page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})


def becomes_true(page: Page, expression: str) -> None:
    """Wait for an expression; `Page.wait_for_function` needs an eval, which our policy forbids."""
    give_up = time.monotonic() + WAIT_MS / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < give_up, expression
        time.sleep(0.05)


def changes(canvas: Locator, act: Callable[[], object]) -> None:
    """The view draws another picture after `act`."""
    before = canvas.screenshot()
    act()
    give_up = time.monotonic() + WAIT_MS / 1000
    while canvas.screenshot() == before:
        assert time.monotonic() < give_up


def drag(page: Page, canvas: Locator, right: int, down: int) -> None:
    """Drag the view with the left button."""
    box = canvas.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right, y + down, steps=4)
    page.mouse.up()


def turned_in_every_way(page: Page, renderer: str) -> None:
    """The 3D view turns by mouse, keyboard and buttons, and its colours and surroundings can be chosen."""
    canvas = page.locator(".view canvas")
    expect(canvas).to_have_attribute("data-renderer", renderer)
    expect(canvas).to_have_attribute("data-yaw", "0.350")
    expect(page.locator(".bars rect").first).to_be_visible()
    canvas.scroll_into_view_if_needed()
    changes(canvas, lambda: drag(page, canvas, 120, 40))
    changes(canvas, lambda: canvas.press("ArrowUp"))
    changes(canvas, lambda: canvas.press("+"))
    changes(canvas, lambda: page.click("[data-do=ArrowLeft]"))
    changes(canvas, lambda: page.check("input[name=colour][value=heat]"))
    changes(canvas, lambda: page.uncheck("input[name=tray]"))
    changes(canvas, lambda: canvas.press("0"))


def test_reject_of_a_running_line(make_line: MakeLine, recipes: Path, synthetic_root: Path) -> None:
    """A reject is opened, blended, turned, marked by name, and inspected again with an equal outcome.

    The gallery filters it by its reason; its row of the ledger and the trace can be read.
    """
    line = make_line("tcp")
    worker = line.start(kept={"which": "all"})
    running = start_page(line, recipes)
    options = ["--rate", f"{line.rate_hz(2):.3f}", "--deadline-ms", "20000"]
    camera = line.replay(synthetic_root, *options)
    line.wait_for(lambda: camera.returncode is not None, worker, 120)
    line.wait_for(lambda: len(line.received) >= len(line.triggers()), worker, 60)
    line.finish(worker)
    failed = next(item.result for item in line.received if str(item.result.verdict) == "FAIL")
    with chromium() as browser, screen(browser, running.address) as page:
        log_in(page, running, "operate")
        page.goto(f"{running.address}/rejects")
        expect(page.locator(".card")).to_have_count(min(len(line.received), 24))
        page.select_option("select[name=reason]", "above_threshold")
        page.click("#filters button")
        fails = sum(str(item.result.verdict) == "FAIL" for item in line.received)
        expect(page.locator(".counted strong")).to_have_text(f"{fails} archived parts")
        expect(page.locator(".card .verdict.FAIL")).to_have_count(min(fails, 24))
        becomes_true(
            page, "[...document.querySelectorAll('.card img')].slice(0, 5).every(i => i.naturalWidth > 0)"
        )
        look_at_sizes(page, "rejects")

        page.goto(f"{running.address}/parts/of/{failed.boot_id}/{failed.result_id}")
        expect(page.locator("h1")).to_contain_text(failed.part_id)
        over = page.locator(".layers .over")
        becomes_true(page, "[...document.querySelectorAll('.layers img')].every(i => i.naturalWidth === 160)")
        page.fill("#blend", "100")
        expect(over).to_have_css("opacity", "1")
        page.fill("#blend", "0")
        expect(over).to_have_css("opacity", "0")
        expect(page.locator("#frame-problem")).to_be_hidden()
        expect(page.locator(".bars rect").first).to_be_visible()
        turned_in_every_way(page, "webgl")
        look_at_sizes(page, "part")

        page.fill("textarea[name=comment]", "a glare, not a dent")
        page.click("button[value=good]")
        expect(page.locator("#marks .mark.good")).to_contain_text("operate")
        expect(page.locator("#marks .mark.good")).to_contain_text("a glare, not a dent")
        (part,) = read_product(line.folder / "collected", "praline").used_as("good")
        assert part.facts["result_id"] == failed.result_id

        page.click("#replay button")
        expect(page.locator("#replay")).to_have_attribute("data-state", "equal", timeout=3 * WAIT_MS)
        expect(page.locator("#replay")).to_contain_text("Equal, bit for bit")
        look_at_sizes(page, "part-marked-and-replayed")

        page.click("#ledger-row")
        expect(page.locator("table")).to_contain_text(failed.stream_uuid)
        look_at_sizes(page, "ledger-row")
        page.goto(f"{running.address}/audit")
        expect(page.locator("tbody")).to_contain_text("mark_good")


def open_newest(page: Page, running: RunningPage) -> None:
    page.goto(f"{running.address}/rejects")
    page.locator(".card a").first.click()


def test_view_without_webgl_and_torn_parts(tmp_path: Path) -> None:
    """Without WebGL, and when it is lost, the view turns too. A torn picture is a sentence, in both languages."""
    archive_part(tmp_path / "kept", domed_part(1))
    whole = archive_part(tmp_path / "kept", domed_part(2))
    no_webgl = (
        "const whole = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {"
        "  return kind === 'webgl' ? null : whole.call(this, kind, ...rest); };"
    )
    gone = ("404 (Not Found)", "503 (Service Unavailable)")
    with line_without_worker(tmp_path) as line, chromium() as browser, started_page(line) as running:
        with screen(browser, running.address) as page:
            page.add_init_script(no_webgl)
            open_newest(page, running)
            turned_in_every_way(page, "canvas")

        with screen(browser, running.address) as page:
            open_newest(page, running)
            canvas = page.locator(".view canvas")
            expect(canvas).to_have_attribute("data-renderer", "webgl")
            canvas.evaluate("c => c.getContext('webgl').getExtension('WEBGL_lose_context').loseContext()")
            expect(canvas).to_have_attribute("data-renderer", "canvas")
            changes(canvas, lambda: canvas.press("ArrowLeft"))
            pinch = page.context.new_cdp_session(page)
            box = canvas.bounding_box()
            assert box is not None
            middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            before = float(canvas.get_attribute("data-zoom") or 0)
            for kind, apart in (("touchStart", 20), ("touchMove", 60), ("touchMove", 100)):
                points = [
                    {"x": middle[0] + side * apart, "y": middle[1], "id": n} for n, side in enumerate((-1, 1))
                ]
                pinch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            pinch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
            becomes_true(page, f"document.querySelector('.view canvas').dataset.zoom > {2 * before}")

        torn = archive_part(tmp_path / "kept", domed_part(3))
        (torn / "rgb.png").write_bytes((torn / "rgb.png").read_bytes()[:2000])
        with screen(browser, running.address, expected=gone) as page:
            busy = f"**/{whole.name}/overview.jpg"
            page.route(busy, lambda route: route.fulfill(status=503, json={"error": "busy"}))
            page.goto(f"{running.address}/rejects")
            expect(page.locator(".card .missing")).to_have_text("no picture")
            becomes_true(page, "[...document.querySelectorAll('.card img')].every(i => i.naturalWidth > 0)")
            expect(page.locator(".card img")).to_have_count(2)
        for size in SIZES:
            for language, says in (
                ("en", "is torn or damaged"),
                ("de", "Die Aufzeichnungen sind nicht lesbar"),
            ):
                with screen(browser, running.address, size=size, language=language, expected=gone) as page:
                    open_newest(page, running)
                    expect(page.locator("#frame-problem")).to_contain_text(says)
                    expect(page.locator(".view [role=status]")).to_contain_text("rgb.png")
                    assert fits_the_screen(page)
                    assert grave_faults(page) == []
                    keep_screenshot(page, f"part-torn-{language}")
