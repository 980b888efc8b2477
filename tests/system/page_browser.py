"""The operator's page in Debian's Chromium: a page process for a line, a browser, and the rules of axe-core.

A test that needs them skips by name where Chromium or axe-core is missing, unless CMFM_FOREIGN_CLIENTS=required.
CMFM_SCREENSHOTS=FOLDER keeps a picture of each scene.
"""

import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import tomli_w
from playwright.sync_api import Browser, Page, sync_playwright

from cmfm_settings.users import make_user, write_users
from cmfm_sim.demo_line import Endpoints
from cmfm_sim.ports import free_ports
from cmfm_sim.processes import Child, Children, program

from .conftest import Line

DESKTOP: Final = (1920, 1080)
TABLET: Final = (1024, 768)
SIZES: Final = (DESKTOP, TABLET)

PASSWORD: Final = "correct horse"  # noqa: S105
START_LIMIT_S: Final = 60.0
WAIT_MS: Final = 60_000
"""Longest wait for something on the page: a loaded machine must not fail a test."""

AXE: Final = Path(__file__).parents[1] / "foreign" / "page" / "node_modules" / "axe-core" / "axe.min.js"
GRAVE: Final = ("serious", "critical")
ROLES: Final = ("view", "operate", "teach", "administer")


@dataclass(frozen=True)
class RunningPage:
    """A page process: `address` without a slash at its end. It has a user of each role, named like it (`PASSWORD`)."""

    process: Child
    address: str
    folder: Path


def start_page(line: Line, recipes: Path, **sections: dict[str, Any]) -> RunningPage:
    """Start `cmfm-hmi` for a line and wait until it listens; `sections` replace keys of its settings."""
    endpoints = line.endpoints
    settings: dict[str, dict[str, Any]] = {
        "page": {"port": free_ports(1)[0]},
        "worker": {
            "results": endpoints.results,
            "maps": endpoints.maps,
            "recovery": endpoints.recovery,
            "control": endpoints.control,
        },
        "records": {"recipes": str(recipes)},
        "access": {"anonymous_may_view": True},
    }
    for name, values in sections.items():
        settings[name] = settings.get(name, {}) | values
    port = settings["page"]["port"]
    write_users(line.folder / "hmi.users", {role: make_user(role, role, PASSWORD) for role in ROLES})
    config = line.folder / "hmi.toml"
    config.write_text(tomli_w.dumps(settings), encoding="utf-8")
    process = line.start_child("hmi", [*program("cmfm-hmi"), "--config", str(config)])
    until_s = time.monotonic() + START_LIMIT_S
    while not _listens(port):
        process.require_success()
        assert time.monotonic() < until_s, process.output()
        time.sleep(0.05)
    return RunningPage(process, f"http://127.0.0.1:{port}", line.folder)


@contextmanager
def started_page(line: Line, **sections: dict[str, Any]) -> Iterator[RunningPage]:
    """Start `cmfm-hmi`; at the end it must end with 0 on SIGTERM."""
    running = start_page(line, line.folder / "recipes", **sections)
    yield running
    running.process.terminate()
    running.process.wait(lambda: False, START_LIMIT_S)


@contextmanager
def line_without_worker(folder: Path) -> Iterator[Line]:
    """A line whose worker does not run, for pages that need none."""
    with Children(folder / "logs") as children:
        line = Line(folder, folder / "recipes", Endpoints.free(), children)
        try:
            yield line
        finally:
            line.subscriber.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the system's Chromium; skips without one."""
    binary = shutil.which("chromium")
    if binary is None:
        assert os.environ.get("CMFM_FOREIGN_CLIENTS") != "required", "chromium is not installed"
        pytest.skip("chromium is not installed (Debian's package chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=binary, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def screen(
    browser: Browser,
    address: str,
    *,
    size: tuple[int, int] = DESKTOP,
    language: str = "en",
    expected: tuple[str, ...] = (),
) -> Iterator[Page]:
    """Open an address on a screen of its own. Errors in the browser's console fail the test, except `expected` ones."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, locale=language)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(address)
        yield page
    finally:
        context.close()
    unexpected = [error for error in errors if not any(part in error for part in expected)]
    assert unexpected == [], unexpected


def log_in(page: Page, running: RunningPage, name: str, password: str = PASSWORD) -> None:
    """Log in by the form; the page is then the live page, or the login with its problem."""
    page.goto(f"{running.address}/login")
    page.fill("input[name=name]", name)
    page.fill("input[name=password]", password)
    page.click("main button")


def grave_faults(page: Page) -> list[str]:
    """Return the serious and critical faults of accessibility that axe-core finds; skips without axe-core."""
    if not AXE.is_file():
        assert os.environ.get("CMFM_FOREIGN_CLIENTS") != "required", "axe-core is not installed"
        pytest.skip("axe-core is not installed; run npm ci in tests/foreign/page")
    page.evaluate(AXE.read_text(encoding="utf-8"))  # not by a script tag, which our policy forbids
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{fault['id']}: {fault['help']}: {node['html'][:200]} {node.get('failureSummary', '')}"
        for fault in found["violations"]
        if fault["impact"] in GRAVE
        for node in fault["nodes"]
    ]


FITS = """() => {
  const within = (table) => {
    for (let place = table.parentElement; place; place = place.parentElement) {
      if (["auto", "scroll"].includes(getComputedStyle(place).overflowX)) return true;
      if (place.matches("section, .panel"))
        return table.getBoundingClientRect().right <= place.getBoundingClientRect().right + 1;
    }
    return true;
  };
  const tables = [...document.querySelectorAll("main table")];
  return document.documentElement.scrollWidth <= window.innerWidth && tables.every(within);
}"""


def fits_the_screen(page: Page) -> bool:
    """Tell whether nothing must be scrolled sideways, and no table leaves its panel (unless that scrolls)."""
    return bool(page.evaluate(FITS))


def keep_screenshot(page: Page, name: str) -> None:
    """Keep a picture of the screen, if somebody wants to look."""
    if folder := os.environ.get("CMFM_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        size = page.viewport_size or {"width": 0}
        page.screenshot(path=Path(folder) / f"{name}-{size['width']}.png")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
