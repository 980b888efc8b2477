"""Outputs are tried before any work, tables in a pipe are one line a row, and text that cannot be shown is escaped."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.made.dataset import run, write_dataset

from cmfm_protocol.files.outputs import (
    OutputError,
    require_writable_files,
    require_writable_folder,
    require_writable_with_folder,
)
from cmfm_protocol.files.terminal import not_utf8
from cmfm_worker.cli import console
from cmfm_worker.recipes.folder import check_target


@pytest.fixture
def blocked(tmp_path: Path) -> Path:
    """A path below a file, where nothing can be written."""
    (tmp_path / "file").write_text("x")
    return tmp_path / "file" / "out"


TOO_LONG = "x" * 300


def test_try_leaves_nothing_behind(tmp_path: Path) -> None:
    """A file that is there keeps its bytes and its time; what was not there is not there afterwards."""
    kept = tmp_path / "kept.json"
    kept.write_text("before")
    os.utime(kept, ns=(10**18, 10**18))
    require_writable_files(kept, tmp_path / "new.json", None)
    require_writable_folder(tmp_path / "a" / "b")
    require_writable_folder(tmp_path)
    require_writable_with_folder(tmp_path / "c" / "d" / "record.jsonl", kept)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]
    assert kept.read_text() == "before"
    assert kept.stat().st_mtime_ns == 10**18


def test_what_cannot_be_written_is_named(tmp_path: Path, blocked: Path) -> None:
    """Below a file, a folder in place of a file and the reverse, a missing folder, a name that is too long."""
    for file in (blocked, tmp_path, tmp_path / "no" / "x.json", tmp_path / TOO_LONG):
        with pytest.raises(OutputError, match=r"cannot be written \("):
            require_writable_files(file)
    for folder in (blocked, tmp_path / "file", tmp_path / "a" / TOO_LONG):
        with pytest.raises(OutputError, match=r"cannot be written \("):
            require_writable_folder(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_devices_and_pipes(tmp_path: Path) -> None:
    """/dev/full is refused at once; /dev/null and a pipe, as of a shell's >(command), may be written to."""
    with pytest.raises(OutputError, match=r"/dev/full: cannot be written \(No space left"):
        require_writable_files(Path("/dev/full"))
    os.mkfifo(tmp_path / "pipe")
    require_writable_files(Path("/dev/null"), tmp_path / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    with listener, pytest.raises(OutputError, match="it is no file"):
        require_writable_files(tmp_path / "socket")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission_is_named(tmp_path: Path) -> None:
    """A folder that the user may not write to."""
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        require_writable_folder(tmp_path / "a")


@pytest.mark.parametrize(
    "command",
    [
        ("fit", "--root", "{data}", "--category", "dome", "--out", "{blocked}"),
        ("prepare", "--root", "{data}", "--out", "{blocked}"),
        ("evaluate", "--all", "--no-report", "--root", "{data}", "--out", "{blocked}"),
        ("evaluate", "--recipe", "r", "--root", "{data}", "--category", "dome", "--json", "{blocked}"),
        ("inspect", "--recipe", "r", "--rgb", "a.png", "--xyz", "a.tiff", "--out", "{blocked}"),
        ("ledger", "--path", "ledger.db", "--csv", "{blocked}"),
        ("bench", "--json", "{blocked}"),
        ("import", "--mapping-2d3d", "a", "--mapping-3d2d", "b", "--weights", "w", "--out", "{blocked}"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_every_command_tries_its_output_first(
    tmp_path: Path, blocked: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    """The output is refused before inputs that do not exist are even looked for."""
    data = write_dataset(tmp_path / "data", train=2, validation=1, good=1, stains=1)
    assert run(*(word.format(data=data, blocked=blocked) for word in command)) == 2
    said = capsys.readouterr().err
    assert f"{blocked}: cannot be written" in said
    assert len(said.splitlines()) == 1


def test_recipe_in_place_needs_the_folder_beside_it(tmp_path: Path) -> None:
    """`calibrate --force` and `fit --force` write beside the recipe first."""
    (tmp_path / "recipe").mkdir()
    check_target(tmp_path / "recipe", replace=False)
    assert [path.name for path in tmp_path.iterdir()] == ["recipe"]


def test_simulator_tries_its_outputs_first(blocked: Path) -> None:
    """All its commands that write."""
    commands = (
        ["make", "--out", str(blocked)],
        ["demo", "--out", str(blocked)],
        ["record", "--out", str(blocked)],
        ["watch", "--record", str(blocked)],
        ["chaos", "--out", str(blocked)],
    )
    for command in commands:
        ended = subprocess.run(
            [sys.executable, "-m", "cmfm_sim.app", *command],
            check=False,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert ended.returncode == 2, (command, ended.stderr)
        assert "cannot be written" in ended.stderr


def test_tables_in_a_pipe_are_one_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Cells are separated by tabs, uncut; a tab or line break in a cell does not make another one."""
    console.show_table("a title", ["name", "value"], [["x" * 300, "1"], ["tab\there", "line\nbreak"]])
    console.show_facts("a title", [("fact", "y" * 300)])
    assert capsys.readouterr().out.splitlines() == [
        "# a title",
        "name\tvalue",
        "x" * 300 + "\t1",
        "tab\\there\tline\\nbreak",
        "# a title",
        "fact\t" + "y" * 300,
    ]


def test_output_that_the_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    """In a Latin-1 terminal a message with other letters ends with its own exit code, and no traceback."""
    code = "import sys; from cmfm_worker.app import main; main(sys.argv[1:])"
    environment = os.environ | {"PYTHONIOENCODING": "iso-8859-1", "PYTHONUTF8": "0"}
    root = tmp_path / "Ψ→"
    for command in (["prepare", "--root", str(root), "--out", str(tmp_path / "o")], ["fit", "--help"]):
        ended = subprocess.run(
            [sys.executable, "-c", code, *command],
            check=False,
            capture_output=True,
            env=environment,
            timeout=200,
        )
        assert ended.returncode == (0 if "--help" in command else 2)
        assert b"Traceback" not in ended.stderr


def test_names_that_are_not_utf8_are_refused_before_any_work(capsys: pytest.CaptureFixture[str]) -> None:
    """A recipe could not carry them; the message shows their bytes."""
    name = os.fsdecode(b"/data/k\xe4se")
    assert not_utf8(["fit", "--root", "/data/käse"]) is None
    assert run("fit", "--root", name, "--category", "dome", "--out", "x") == 2
    assert "/data/k\\xe4se: is not UTF-8 text" in capsys.readouterr().err


def test_escaped_streams_are_those_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A character that Latin-1 lacks is written as its escape."""
    from cmfm_protocol.files.terminal import escape_unencodable_output

    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="iso-8859-1"))
    escape_unencodable_output()
    sys.stdout.write("Ψ é")
    sys.stdout.flush()
    assert raw.getvalue() == b"\\u03a8 \xe9"
