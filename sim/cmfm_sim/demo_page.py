"""The demo's page: `cmfm-hmi` as a process of its own on a free port, with a user who may do everything."""

import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tomli_w

from cmfm_settings.users import make_user, write_users
from cmfm_sim.demo_line import Endpoints
from cmfm_sim.errors import FailedError
from cmfm_sim.ports import free_ports
from cmfm_sim.processes import Child, Children, program

START_LIMIT_S: Final = 60.0
POLL_S: Final = 0.1
USER: Final = "demo"


@dataclass(frozen=True, slots=True)
class DemoPage:
    """A running page, its address, and the password of the user `USER`."""

    process: Child
    address: str
    password: str


def start_page(
    children: Children, folder: Path, endpoints: Endpoints, stopped: Callable[[], bool]
) -> DemoPage:
    """Write `hmi.toml` and the file of users, start the page and wait until it listens. Raises FailedError."""
    (port,) = free_ports(1)
    for old in folder.glob("hmi.sqlite*"):
        old.unlink()
    password = secrets.token_urlsafe(9)
    write_users(folder / "hmi.users", {USER: make_user(USER, "administer", password)})
    settings = {
        "page": {"port": port},
        "worker": {
            "results": endpoints.results,
            "maps": endpoints.maps,
            "recovery": endpoints.recovery,
            "control": endpoints.control,
        },
        "access": {"anonymous_may_view": True},
    }
    config = folder / "hmi.toml"
    config.write_text(tomli_w.dumps(settings), encoding="utf-8")
    process = children.start("hmi", [*program("cmfm-hmi"), "--config", str(config)])
    until_s = time.monotonic() + START_LIMIT_S
    while not _listens(port):
        if stopped():
            raise FailedError("stopped")
        if process.returncode is not None:
            raise process.failure(
                f"ended with exit code {process.returncode}; it needs pip install cmfm[hmi]"
            )
        if time.monotonic() > until_s:
            raise process.failure(f"did not listen within {START_LIMIT_S:g} s")
        time.sleep(POLL_S)
    return DemoPage(process, f"http://127.0.0.1:{port}/", password)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
