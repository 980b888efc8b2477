"""CLIENT.md's programs against a real worker, as they stand in the document."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from cmfm_client.curve import CameraKeys, ClientKeys
from cmfm_client.json_lines import read_json_lines
from cmfm_protocol.files.key_files import KeyPair, write_pair

from .conftest import Line

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

DOCUMENT = (Path(__file__).parents[2] / "protocol" / "CLIENT.md").read_text(encoding="utf-8")
LINES = {"subscriber": 15, "camera": 15, "request": 5, "curve": 4}
PORTS = {5555: "frames", 5556: "results", 5558: "recovery", 5559: "control"}


def program(mark: str) -> str:
    """The program that carries a mark in a comment of its first line."""
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    (found,) = [code for code in blocks if code.splitlines()[0].endswith(f"# {mark}")]
    return str(found)


def for_line(mark: str, line: Line) -> str:
    """A program with the endpoints of a test's line."""
    code = program(mark)
    for port, name in PORTS.items():
        code = code.replace(f"tcp://127.0.0.1:{port}", getattr(line.endpoints, name))
    return code


@pytest.mark.parametrize(("mark", "most"), LINES.items())
def test_programs_stay_as_short_as_promised(mark: str, most: int) -> None:
    """A stranger reads each in a minute."""
    assert len(program(mark).splitlines()) <= most


def test_every_program_is_tested() -> None:
    """A program that is added to the document needs a test."""
    assert len(re.findall(r"```python\n", DOCUMENT)) == len(LINES)


def test_pasted_programs_run_a_line(make_line: Callable[[str], Line], tmp_path: Path) -> None:
    """Three parts sent, three verdicts heard and recorded; a subscriber that was killed continues its record."""
    line = make_line("tcp")
    worker = line.start()
    with started(for_line("subscriber", line), tmp_path) as subscriber:
        assert run(for_line("request", line), tmp_path).stdout.splitlines() == ["ready"]
        assert run(for_line("camera", line), tmp_path).stdout == ""
        live = said(subscriber, 3)
    assert [words.split()[0] for words in live] == ["part-0", "part-1", "part-2"]
    assert all(words.endswith((" let through", " reject")) for words in live)
    run(for_line("camera", line), tmp_path)  # nobody listens now
    with started(for_line("subscriber", line), tmp_path) as subscriber:
        recovered = said(subscriber, 3)
    assert recovered == ["part-0 reject", "part-1 reject", "part-2 reject"]  # too late to be let through
    records = [row["result"] for _, row in read_json_lines(tmp_path / "results.jsonl")]
    assert [record["result_id"] for record in records] == [1, 2, 3, 4, 5, 6]
    line.wait_for(lambda: len(line.received) == 6, worker, 10)
    assert [record["verdict"] for record in records] == [str(item.result.verdict) for item in line.received]
    line.finish(worker)


@contextmanager
def started(code: str, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A program that runs until it is killed at the end of the context."""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: "subprocess.Popen[str]", lines: int) -> list[str]:
    """The next lines that a program prints."""
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(lines)]


def test_pasted_curve_lines_read_key_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are those that `cmfm-worker keys new` writes."""
    monkeypatch.chdir(tmp_path)
    pairs = {name: KeyPair(*zmq.curve_keypair()) for name in ("plc1", "camera1", "worker")}
    for name, pair in pairs.items():
        write_pair(tmp_path, name, pair)
    (tmp_path / "workers").mkdir()
    names: dict[str, object] = {}
    exec(program("curve"), names)  # noqa: S102 (our own document is what is tested)
    assert names["client"] == ClientKeys(pairs["plc1"], pairs["worker"].public)
    assert names["camera"] == CameraKeys(pairs["camera1"], Path("workers"))


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, which must be a success."""
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return ended


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(#([^)]+)\)", DOCUMENT))))
def test_links_lead_somewhere(link: str) -> None:
    """No link inside the document is dead."""
    headings = re.findall(r"^#+ (.+)$", DOCUMENT, re.MULTILINE)
    assert link in {heading.lower().replace(" ", "-") for heading in headings}
