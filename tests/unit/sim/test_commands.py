"""The commands as a user types them: exit codes, messages, and a replay that is received."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import zmq
from tests.unit.made.line_sockets import Connect

from cmfm_protocol.files.dataset import list_parts, read_part
from cmfm_protocol.wire.frame import Frame, decode_frame
from cmfm_protocol.wire.topics import parse_topic
from cmfm_sim import app
from cmfm_sim.demo_conveyor import rate_for
from cmfm_sim.demo_line import MARKER, DemoFolder, Endpoints
from cmfm_sim.errors import InputError
from cmfm_sim.trigger_log import read_triggers


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["cmfm-sim", *map(str, arguments)])
    try:
        app.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def replay_arguments(root: Path, *more: object) -> list[object]:
    return ["replay", "--dataset", "synthetic", "--root", root, "--category", "praline", "--rate", 100, *more]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--category", "bagel"], "no category 'bagel'"),
        (["--split", "exam"], "split 'exam' is not one of"),
        (["--faults", "lose=1"], "'lose' is unknown"),
        (["--faults", "late=1:1s", "--deadline-ms", "5000"], "not past the deadline"),
        (["--faults", "drop=999"], "999 faults"),
        (["--endpoint", "5555"], "--endpoint '5555' is not an endpoint"),
        (["--line", "a b"], "line 'a b': a name has 1 to 64"),
        (["--rate", "0"], "--rate"),
        (["--dataset", "imagenet"], "imagenet"),
        (["--light", "2"], "--dataset eyecandies, not synthetic"),
        (["--dataset", "eyecandies"], "it has the layout 'mvtec3d'"),
        (["--record", "/dev/null/x"], "cannot be written"),
    ],
)
def test_bad_input_ends_a_replay_with_2_and_a_message(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    synthetic_root: Path,
    arguments: list[str],
    message: str,
) -> None:
    """One line that names what is wrong, no traceback."""
    assert run(monkeypatch, *replay_arguments(synthetic_root, *arguments)) == 2
    said = capsys.readouterr().err
    assert message in " ".join(said.replace("│", " ").split())
    assert "Traceback" not in said


def test_folder_that_is_no_data_set_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With the folder's name and the layout that was expected."""
    assert run(monkeypatch, *replay_arguments(tmp_path)) == 2
    assert f"{tmp_path} is not a data set" in capsys.readouterr().err


def test_a_replay_that_nobody_listens_to_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], synthetic_root: Path, endpoint: str
) -> None:
    """After the time it was told to wait."""
    arguments = replay_arguments(synthetic_root, "--endpoint", endpoint, "--wait-s", 0.2)
    assert run(monkeypatch, *arguments) == 1
    assert "nobody subscribed" in capsys.readouterr().err


def test_a_replay_sends_the_test_split_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    synthetic_root: Path,
    endpoint: str,
    tmp_path: Path,
    connect: Connect,
) -> None:
    """Every part's own pictures, twice, with the category as the recipe; the summary is one JSON object."""
    parts = list_parts(synthetic_root, "praline", "test")
    worker = connect(zmq.SUB, endpoint)
    record = tmp_path / "triggers.jsonl"
    arguments = replay_arguments(
        synthetic_root, "--endpoint", endpoint, "--loop", 2, "--shuffle", 3, "--record", record, "--json"
    )
    assert run(monkeypatch, *arguments) == 0
    summary = json.loads(capsys.readouterr().out)
    triggers = read_triggers(record)
    assert summary["triggers"] == summary["sent"] == len(triggers) == 2 * len(parts)
    assert {trigger.defect for trigger in triggers} >= {"good", "hole", "swap"}
    frames = list[Frame]()
    while len(frames) < 2 * len(parts):
        message = worker.recv_multipart()
        if parse_topic(message[0]).kind == "frame":
            frames.append(decode_frame(message))
    assert {frame.header.recipe for frame in frames} == {"praline"}
    assert len({frame.rgb.tobytes() for frame in frames}) == len(parts)


def test_eyecandies_are_replayed_with_their_points_and_the_light_asked_for(
    monkeypatch: pytest.MonkeyPatch,
    eyecandies_root: Path,
    endpoint: str,
    connect: Connect,
) -> None:
    """A frame carries metres, not the depth picture, and the image of its light."""
    worker = connect(zmq.SUB, endpoint)
    arguments = ["replay", "--dataset", "eyecandies", "--root", eyecandies_root, "--category", "GummyBear"]
    arguments += ["--light", 1, "--rate", 20, "--endpoint", endpoint, "--limit", 3, "--send-limit-ms", 2000]
    assert run(monkeypatch, *arguments) == 0
    frames = dict[str, Frame]()
    while len(frames) < 3:
        message = worker.recv_multipart()
        if parse_topic(message[0]).kind == "frame":
            frame = decode_frame(message)
            frames[frame.header.part_id] = frame
    for files in list_parts(eyecandies_root, "GummyBear", "test", "eyecandies", light=1)[:3]:
        rgb, xyz = read_part(files)
        assert frames[files.id].rgb.tobytes() == rgb.tobytes()
        assert frames[files.id].xyz.tobytes() == xyz.tobytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_replay_in_order(
    synthetic_root: Path, endpoint: str, tmp_path: Path, connect: Connect, number: signal.Signals
) -> None:
    """Exit code 0, and the summary tells how far it came."""
    record = tmp_path / "triggers.jsonl"
    arguments = replay_arguments(
        synthetic_root, "--endpoint", endpoint, "--loop", 1000, "--record", record, "--json"
    )
    worker = connect(zmq.SUB, endpoint)
    command = [sys.executable, "-m", "cmfm_sim.app", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        worker.setsockopt(zmq.RCVTIMEO, 60_000)
        while parse_topic(worker.recv_multipart()[0]).kind != "frame":
            pass
        process.send_signal(number)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    summary = json.loads(out)
    assert summary["stopped"]
    assert 0 < summary["triggers"] == len(read_triggers(record)) < 8000


def test_watching_a_worker_that_is_not_there_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], endpoint: str
) -> None:
    """If --count was given."""
    assert run(monkeypatch, "watch", "--endpoint", endpoint, "--count", 1, "--timeout-s", 0.3) == 1
    assert "0 of 1 verdicts came" in capsys.readouterr().err
    assert run(monkeypatch, "watch", "--endpoint", endpoint, "--timeout-s", 0.1) == 0


def test_the_demo_refuses_what_would_fail_later(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Before it starts to work."""
    assert run(monkeypatch, "demo", "--out", tmp_path / "a", "--category", "bagel") == 2
    assert run(monkeypatch, "demo", "--out", tmp_path / "a", "--faults", "nonsense") == 2
    assert not (tmp_path / "a").exists()
    (tmp_path / "precious").write_text("")
    assert run(monkeypatch, "demo", "--out", tmp_path) == 2
    assert "was not written by a demo" in capsys.readouterr().err
    assert (tmp_path / "precious").exists()


def test_the_demos_folder_is_emptied_except_for_kept_parts(tmp_path: Path) -> None:
    """A second demo starts afresh; with `keep` parts and recipes stay."""
    folder = DemoFolder(tmp_path / "demo")
    folder.prepare(keep=False)
    for path in (folder.dataset, folder.recipes, folder.rejected):
        path.mkdir()
    folder.write_config(Endpoints.free(), ["praline"])
    (folder.root / "notes.txt").write_text("mine")
    folder.prepare(keep=True)
    assert sorted(p.name for p in folder.root.iterdir()) == [MARKER, "dataset", "notes.txt", "recipes"]
    folder.prepare(keep=False)
    assert sorted(p.name for p in folder.root.iterdir()) == [MARKER, "notes.txt"]


def test_the_demo_sends_fewer_parts_to_a_slow_worker() -> None:
    """Four parts a second, or fewer if the worker could not inspect them in time."""
    assert [rate_for(part_ms) for part_ms in (None, 0.0, 5.0, 120.0)] == [4.0] * 4
    assert rate_for(300.0) == pytest.approx(2.0)


def test_a_file_is_no_folder_for_a_demo(tmp_path: Path) -> None:
    """The file is not changed."""
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        DemoFolder(file).prepare(keep=False)
    assert file.read_text() == "mine"


def test_the_demos_endpoints_differ_and_are_local() -> None:
    """Five of them, none reachable from another host."""
    endpoints = Endpoints.free()
    all_five = {endpoints.frames, endpoints.results, endpoints.maps, endpoints.recovery, endpoints.control}
    assert len(all_five) == 5
    assert all(endpoint.startswith("tcp://127.0.0.1:") for endpoint in all_five)


def test_chaos_plan_is_printed_and_reproducible(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The seed determines it; nothing is started."""
    said = []
    for _ in range(2):
        assert (
            run(monkeypatch, "chaos", "--seed", 7, "--duration-s", 240, "--deadline-ms", 2000, "--show-plan")
            == 0
        )
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert "kill-worker" in said[0]
    assert "seed 7" in said[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--acts", "kill-plc"], "--acts kill-plc: there are kill-camera"),
        (["--deadline-ms", "5000"], "not past the deadline"),
        (["--faults", "lose=1"], "'lose' is unknown"),
        (["--config", "/nowhere/line.toml", "--root", "/nowhere"], "cannot be read"),
        (["--category", "bread"], "--category bread"),
    ],
)
def test_bad_input_ends_chaos_with_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    """Before anything is started."""
    assert run(monkeypatch, "chaos", "--out", tmp_path / "out", *arguments) == 2
    assert message in capsys.readouterr().err
