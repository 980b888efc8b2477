"""Pages Threshold, Trends and Recipes in a browser, beside a running line: a threshold is dragged, saved and undone."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.system.belt import Belt, distinct_parts
from tests.system.conftest import Line
from tests.system.page_browser import (
    SIZES,
    WAIT_MS,
    RunningPage,
    chromium,
    fits_the_screen,
    grave_faults,
    keep_screenshot,
    log_in,
    screen,
    started_page,
)

from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.ledger import open_ledger

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]
expect.set_options(timeout=WAIT_MS)

MakeLine = Callable[[str], Line]
PARTS = 24
"""More than `LEAST_PARTS` of any statement on the page, and few enough for seconds."""


def threshold_of(page: Page) -> float:
    """Return the number in the field of the threshold."""
    return float(page.locator("#fail-at").input_value())


def after(page: Page, verdict: str) -> int:
    """Return how many of the newest parts would have a verdict."""
    return int(page.locator(f"#after-{verdict}").inner_text())


def middle_of(page: Page, selector: str) -> tuple[float, float]:
    box = page.locator(selector).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag_by_mouse(page: Page, dx: float) -> None:
    """Take the line of the threshold and move it by so many pixels."""
    x, y = middle_of(page, ".handle.fail .grip")
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 6):
        page.mouse.move(x + dx * step / 5, y)
    page.mouse.up()


def drag_by_finger(page: Page, dx: float) -> None:
    """Do the same by touch, as the browser's own protocol sends it."""
    x, y = middle_of(page, ".handle.fail .grip")
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setTouchEmulationEnabled", {"enabled": True})

    def touch(kind: str, points: list[dict[str, float]]) -> None:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", [{"x": x, "y": y}])
    for step in range(1, 6):
        touch("touchMove", [{"x": x + dx * step / 5, "y": y}])
    touch("touchEnd", [])
    session.send("Emulation.setTouchEmulationEnabled", {"enabled": False})
    session.detach()


def export_and_import(page: Page, running: RunningPage, folder: Path, name: str, copy: str) -> None:
    """Take a recipe away as a file and bring it back under another name; a file that was changed is refused."""
    page.goto(f"{running.address}/recipes")
    with page.expect_download() as started:
        page.click(f'a[href="/recipes/{name}/export"]')
    exported, torn = folder / "exported.zip", folder / "torn.zip"
    started.value.save_as(exported)
    content = bytearray(exported.read_bytes())
    content[len(content) // 2] ^= 0xFF
    torn.write_bytes(content)
    for file, place in ((torn, "#problem"), (exported, "#done")):
        page.set_input_files("#import [name=file]", file)
        page.fill("#import [name=name]", copy)
        page.fill("#import [name=why]", "for the other line")
        page.click("#import button")
        expect(page.locator("#import button")).to_be_enabled()
        expect(page.locator(place)).to_be_visible()
        said = page.locator(place).inner_text()
        assert (f"{copy} was imported" if place == "#done" else "is damaged") in said, said
        assert str(folder) not in said
    page.goto(f"{running.address}/recipes")
    expect(page.locator("tbody tr")).to_have_count(2)
    assert (folder / "recipes" / copy / "mapping.safetensors").read_bytes() == (
        folder / "recipes" / name / "mapping.safetensors"
    ).read_bytes()


def newest(line: Line) -> Result:
    """Return the newest verdict."""
    return max((item.result for item in line.received), key=lambda result: result.result_id)


def look_at(page: Page, running: RunningPage, path: str, ready: str, name: str) -> None:
    """A page in English on a screen, in German on a tablet: it fits, and axe-core finds nothing grave."""
    for language, (width, height) in zip(("en", "de"), SIZES, strict=True):
        page.set_viewport_size({"width": width, "height": height})
        page.goto(f"{running.address}/language/{language}")
        page.goto(running.address + path)
        expect(page.locator(ready).first).to_be_visible()
        assert fits_the_screen(page), (name, language)
        assert grave_faults(page) == []
        keep_screenshot(page, f"{name}-{language}")
    page.goto(f"{running.address}/language/en")


def test_a_threshold_is_dragged_saved_and_undone_and_no_part_is_lost(
    make_line: MakeLine, recipes: Path, synthetic_root: Path
) -> None:
    """By mouse, finger and keys the newest parts are judged again; saved, the next part is judged by it; undone, by the
    one before. Every part of the whole scene has its verdict, and who changed what is in the ledger."""
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
        started_page(line) as running,
        screen(browser, running.address, expected=("422",)) as page,
    ):
        belt.run_until(lambda: belt.sent == PARTS, "praline", worker)
        line.wait_for(lambda: len(line.received) == PARTS, worker, 60)
        log_in(page, running, "teach")
        expect(page).to_have_url(f"{running.address}/")
        page.goto(f"{running.address}/threshold")
        expect(page.locator("#recent-count")).to_have_text(re.compile(rf"\({PARTS}\)"))
        expect(page.locator("#rate")).to_contain_text("95 % interval")
        expect(page.locator("#save")).to_be_disabled()
        taught = newest(line).threshold
        before = threshold_of(page)
        assert taught is not None
        assert before == float(f"{taught:.5g}")
        passed = after(page, "PASS")

        low = page.locator("#histogram").evaluate("place => place.clientWidth")
        drag_by_mouse(page, -0.35 * low)
        dragged = threshold_of(page)
        assert dragged < before
        assert after(page, "PASS") < passed
        expect(page.locator("#changed li a").first).to_have_attribute(
            "href", re.compile(r"^/parts/of/.+/\d+$")
        )
        count = page.locator("#changed li").count()
        assert page.locator("#changed-count").inner_text() == f"({count})"
        page.locator(".handle.fail").focus()
        page.keyboard.press("ArrowRight")
        assert threshold_of(page) > dragged
        keyed = threshold_of(page)
        drag_by_finger(page, 0.05 * low)
        assert threshold_of(page) > keyed
        keep_screenshot(page, "threshold-dragged")
        assert grave_faults(page) == []

        chosen = threshold_of(page)
        page.fill("#why", "more than enough passed")
        page.click("#save")
        belt.run_until(lambda: "Saved as version" in page.locator("#done").inner_text(), "praline", worker)
        expect(page.locator("#done")).to_have_text("Saved as version 2. The line uses it.")
        belt.run_until(lambda: newest(line).threshold == chosen, "praline", worker)
        expect(page.locator("#undo")).to_contain_text("back to version 1")
        keep_screenshot(page, "threshold-saved")
        page.click("#undo")
        belt.run_until(lambda: "version 3" in page.locator("#done").inner_text(), "praline", worker)
        belt.run_until(lambda: newest(line).threshold == taught, "praline", worker)
        assert threshold_of(page) == before

        line.wait_for(lambda: len(line.received) == belt.sent, worker, 60)
        assert line.lost == 0
        assert not any(item.result.verdict is Verdict.FAULT for item in line.received)

        page.goto(f"{running.address}/recipes/praline/versions")
        expect(page.locator("tbody tr")).to_have_count(3)
        expect(page.locator("tbody")).to_contain_text("more than enough passed")
        page.goto(f"{running.address}/trends?recipe=praline")
        expect(page.locator("#totals")).to_contain_text(f"{belt.sent} parts")
        page.locator("#trends").press("End")
        expect(page.locator("#score-at")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d · \d"))
        expect(page.locator("#rejects-at")).to_contain_text("FAIL")
        keep_screenshot(page, "trends-cursor")
        export_and_import(page, running, line.folder, "praline", "copy")
        look_at(page, running, "/threshold", ".handle.fail", "threshold")
        look_at(page, running, "/trends?recipe=praline&range=hour", "#plot-score .axes", "trends")
        look_at(page, running, "/recipes", "tbody tr", "recipes")
        look_at(page, running, "/recipes/praline/versions", "[data-restore]", "recipe-versions")
        look_at(
            page, running, "/recipes/compare?a=praline@1&b=praline@2", "#compared svg", "recipes-compared"
        )
        with open_ledger(line.folder / "ledger.sqlite") as reader:
            changes = [(each.who, each.what, each.subject) for each in reader.audit()]
        assert ("teach", "threshold", "praline") in changes
        assert ("teach", "restore", "praline") in changes
    line.finish(worker)
