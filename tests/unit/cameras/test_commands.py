"""`cmfm-camera` as a person runs it: help, exit codes, check, example, list, look, record, the life of a process."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.unit.made.scripted_device import wait_until

from cmfm_cameras.app import exit_code, main
from cmfm_cameras.device import adapter_of, kinds, section_of
from cmfm_cameras.errors import DeviceError, DeviceHungError, ExitCode, InputError, StartupError
from cmfm_cameras.files.ply import read_ply
from cmfm_cameras.settings.camera import CameraSection
from cmfm_cameras.settings.model import CameraSettings
from cmfm_client.errors import BindError
from cmfm_sim.ports import free_ports

VENDORS = "{'cv2', 'genicam', 'harvesters', 'pyrealsense2', 'torch', 'zmq'}"


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def settings(folder: Path, text: str) -> Path:
    path = folder / "camera.toml"
    path.write_text(text)
    return path


def save_part(folder: Path, name: str = "part-7") -> None:
    """A plate at 0.5 m with a step of 2 cm, whose picture has the same edge; a column was not measured."""
    folder.mkdir(exist_ok=True)
    rgb = np.full((60, 80, 3), 90, np.uint8)
    rgb[:, 40:] = 200
    z = np.full((60, 80), 0.5, np.float32)
    z[:, 40:] = 0.48
    z[:, 10] = np.nan
    x = np.broadcast_to(np.linspace(-0.05, 0.05, 80, dtype=np.float32), z.shape)
    y = np.broadcast_to(np.linspace(-0.04, 0.04, 60, dtype=np.float32)[:, None], z.shape)
    xyz = np.ascontiguousarray(np.stack([x, y, z], axis=-1))
    tifffile.imwrite(folder / f"{name}.xyz.tiff", xyz, photometric="rgb", metadata=None)
    Image.fromarray(rgb).save(folder / f"{name}.rgb.png")


FOLDER = '[folder]\npath = "in"\nexisting = "publish"\nsettle_s = 0.02\npoll_s = 0.01\n'


def test_help_names_commands_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """And imports no vendor's package, so that it is quick."""
    assert run("--help") == 0
    shown = capsys.readouterr().out
    for text in ("list", "look", "record", "play", "check", "example", "--config", "could not start"):
        assert text in shown
    program = f"import sys, cmfm_cameras.app; print(sorted({VENDORS} & set(sys.modules)))"
    loaded = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert loaded.strip() in ("[]", "['zmq']")


def test_every_kind_has_an_adapter_and_a_section() -> None:
    """A kind that is added needs both; sections describe every key."""
    known = get_args(CameraSection.model_fields["kind"].annotation)
    assert kinds() == known
    for kind in known:
        adapter = adapter_of(kind)
        assert all(callable(getattr(adapter, name)) for name in ("check", "open_device", "list_devices"))
        assert type(section_of(CameraSettings(), kind)).model_fields


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("x"), ExitCode.BAD_INPUT),
        (StartupError("x"), ExitCode.STARTUP),
        (BindError("x"), ExitCode.STARTUP),
        (DeviceError("x"), ExitCode.DEVICE),
        (DeviceHungError("x"), ExitCode.DEVICE),
        (ValueError("x"), ExitCode.BUG),
    ],
)
def test_exit_codes(error: Exception, code: ExitCode) -> None:
    """A supervisor starts again for 1, 3 and 4, not for bad settings."""
    assert exit_code(error) is code


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[camera]\nknd = 'folder'\n", ["camera.knd", "unknown key", "did you mean 'kind'"]),
        ("[camera]\nkind = 'kinect'\n", ["camera.kind", "folder", "genicam"]),
        ("[camera]\nendpoint = 'tcp://0.0.0.0:5555'\n", ["insecure = true"]),
        ("[camera]\nworkers = 'w'\n", ["workers needs key"]),
        ("[camera]\nkey = 'cam.key_secret'\n[folder]\npath = '.'\n", ["cam.key_secret"]),
        ("", ['kind = "folder" needs path']),
        ("[camera]\nkind = 'recording'\n", ['kind = "recording" needs path']),
        ("[folder]\nform = 'rgb_depth'\n", ["needs fx"]),
        ("[folder]\nafter = 'move'\n", ["needs done"]),
        ("[camera]\nkind = 'genicam'\n[genicam]\nproducers = ['no.cti']\n", ["no.cti is missing"]),
        ("[genicam]\nfeatures = ['=3']\n", ["names no feature"]),
    ],
)
def test_wrong_settings_are_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: list[str]
) -> None:
    """Exit code 2, with file, key and what to do; the start says the same as `check`."""
    config = settings(tmp_path, text)
    for arguments in (("--config", config), ("check", "--config", config)):
        assert run(*arguments) == 2
        shown = "".join(capsys.readouterr())
        for word in words:
            assert word in shown


def test_check_and_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The example is a settings file; `check --json` gives each value with its source."""
    assert run("example") == 0
    example = capsys.readouterr().out
    assert run("check", "--config", settings(tmp_path, example)) == 2  # no folder is named
    capsys.readouterr()
    (tmp_path / "in").mkdir()
    assert run("check", "--config", settings(tmp_path, FOLDER), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["problems"] == []
    assert report["settings"]["folder"]["existing"] == {
        "value": "publish",
        "source": "file",
        "description": report["settings"]["folder"]["existing"]["description"],
    }


def test_list_shows_what_settings_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A kind that cannot be asked says why; the others are listed all the same."""
    (tmp_path / "in").mkdir()
    config = settings(tmp_path, FOLDER)
    assert run("list", "--config", config, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert {
        "kind": "folder",
        "identifier": str(tmp_path / "in"),
        "description": "folder, form rgb_xyz",
    } in report["devices"]
    assert "producer" in report["not_asked"]["genicam"]
    assert run("list", "--config", config, "--kind", "kinect") == 2
    assert "known are " in capsys.readouterr().err
    assert run("list", "--config", config, "--kind", "folder") == 0
    assert "in" in capsys.readouterr().out


def test_look_writes_files_a_picture_and_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The edge of the distance is drawn where the picture's own edge is."""
    save_part(tmp_path / "in")
    out = tmp_path / "out"
    assert run("look", "--config", settings(tmp_path, FOLDER), "--out", out) == 0
    said = capsys.readouterr().out
    assert "coverage: 98.8% of the pixels" in said
    assert "distance: 0.4800 m to 0.5000 m, median 0.4800 m" in said
    assert "part: part-7" in said
    with Image.open(out / "look.png") as picture:
        assert picture.width > 4 * 400
    rgb, xyz = read_ply(out / "points.ply")
    assert np.isnan(xyz[:, 10]).all()
    with Image.open(out / "rgb.png") as saved:
        assert (np.asarray(saved) == rgb).all()


def test_edges_lie_where_the_distance_steps() -> None:
    """On the near side of a step, and around what was not measured."""
    from cmfm_cameras.commands.look import edges_of

    depth = np.full((20, 30), 0.5, np.float32)
    depth[:, 15:] = 0.48
    depth[5, 5] = 0.0
    edges = edges_of(depth)
    assert edges[:, [14, 15]].any(axis=1).all()
    assert edges[4:7, 4:7].sum() >= 4
    assert edges[10:, :13].sum() == edges[:, 18:].sum() == 0


def test_look_says_why_a_frame_is_not_publishable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files and picture are there all the same: they show what is wrong. Exit code 4."""
    save_part(tmp_path / "in")
    config = settings(tmp_path, FOLDER.replace('path = "in"', 'path = "in"\nunit = "um"'))
    assert run("look", "--config", config, "--out", tmp_path / "out") == 4
    said = capsys.readouterr().out
    assert "not publishable (not_metres)" in said
    assert (tmp_path / "out" / "look.png").is_file()


def test_look_ends_without_a_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 4 for a device that gives none, and for one that is not there."""
    (tmp_path / "in").mkdir()
    config = settings(tmp_path, FOLDER)
    assert run("look", "--config", config, "--out", tmp_path / "out", "--limit-s", 0.2) == 4
    assert "no frame within 0.2 s" in capsys.readouterr().err
    (tmp_path / "in").rmdir()
    assert run("look", "--config", config, "--out", tmp_path / "out") == 4
    assert "cannot be read" in capsys.readouterr().err


def test_record_and_what_it_refuses(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A folder that holds a recording is never mixed with another one."""
    save_part(tmp_path / "in")
    config, folder = settings(tmp_path, FOLDER), tmp_path / "recorded"
    assert run("record", folder, "--config", config, "--frames", 1) == 0
    assert "1 frames and 0 refused" in capfd.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == [
        "000000.json",
        "000000.rgb.png",
        "000000.xyz.tiff",
    ]
    assert run("record", folder, "--config", config, "--frames", 1) == 2
    assert "holds a recording already" in capfd.readouterr().err
    assert run("record", tmp_path / "none", "--config", config, "--seconds", 0.3) == 0
    (tmp_path / "in").rename(tmp_path / "away")
    assert run("record", tmp_path / "lost", "--config", config) == 4
    assert run("play", tmp_path / "nothing", "--config", config) == 2


def start(config: Path, **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "cmfm_cameras.app", "--config", str(config)]
    return subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True)


def page(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.read().decode()}"


def test_the_process_starts_serves_metrics_and_ends_in_order(tmp_path: Path) -> None:
    """systemd is told READY=1; metrics count the frames; SIGTERM ends it with 0 and the log says so."""
    save_part(tmp_path / "in")
    (port,) = free_ports(1)
    camera = f'[camera]\nendpoint = "ipc://{tmp_path}/frames"\nwait_for_worker = false\n'
    config = settings(tmp_path, f'{camera}{FOLDER}[metrics]\nport = {port}\n[log]\nformat = "json"\n')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        process = start(config, NOTIFY_SOCKET=str(tmp_path / "notify"))
        try:
            assert systemd.recv(1000).startswith(b"READY=1")
            wait_until(lambda: "cmfm_camera_captures_total 1.0" in page(port, "/metrics"))
            metrics = page(port, "/metrics")
            assert "cmfm_camera_dropped_total 1.0" in metrics  # no worker listens
            assert 'cmfm_camera_refused_total{reason="not_metres"} 0.0' in metrics
            assert "cmfm_camera_last_frame_age_seconds" in metrics
            assert "open: folder" in page(port, "/readyz")
            assert "a call into the driver" in page(port, "/livez")
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert (events[0], events[-1]) == ("camera_started", "camera_stopped")


def test_an_endpoint_that_is_taken_ends_with_3(tmp_path: Path) -> None:
    """Two cameras with one endpoint."""
    (tmp_path / "in").mkdir()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        endpoint = f"tcp://127.0.0.1:{holder.getsockname()[1]}"
        config = settings(tmp_path, f'[camera]\nendpoint = "{endpoint}"\n{FOLDER}')
        process = start(config)
        _, log = process.communicate(timeout=60)
    assert process.returncode == 3
    assert endpoint in log
    assert "Traceback" not in log
