"""Record and play: every bit, every number and every refusal again."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.made.scripted_device import ScriptedDevice, capture, openings

from cmfm_cameras.adapters import recording
from cmfm_cameras.capture import Capture
from cmfm_cameras.commands.record import Recorder
from cmfm_cameras.device_thread import Arrived, DeviceEvent, DeviceLost, DeviceThread, Ended, Opened, Refused
from cmfm_cameras.errors import DeviceError, InputError, Refusal, RefusedCaptureError, SourceEndedError
from cmfm_cameras.numbering import FrameIds
from cmfm_cameras.recordings.frame_files import read_recording
from cmfm_cameras.settings.recording import RecordingSection

SIGNALLING_NAN = np.array(0x7F800123, np.uint32).view(np.float32)


def recorded(folder: Path, *devices: ScriptedDevice) -> Recorder:
    """Record all that the devices give, from opening to opening."""
    recorder = Recorder(folder)
    thread = DeviceThread(openings(*devices), reopen_max_s=0.01)
    thread.start()
    while True:
        event: DeviceEvent | None = thread.next_event(30)
        if event is None or isinstance(event, Ended):
            assert isinstance(event, Ended)
            assert event.error is None
            break
        recorder.take(event)
    assert thread.stop()
    return recorder


def played(folder: Path, **settings: object) -> list[Capture | RefusedCaptureError]:
    device = recording.open_device(
        RecordingSection.model_validate({"path": folder, "speed": 1000, **settings})
    )
    found: list[Capture | RefusedCaptureError] = []
    while True:
        try:
            if (one := device.capture(0.1)) is not None:
                found.append(one)
        except RefusedCaptureError as error:
            found.append(error)
        except SourceEndedError:
            return found


def test_captures_come_back_bit_for_bit(tmp_path: Path) -> None:
    """With every bit of a NaN, and all that the device said."""
    first = replace(capture(3), part_id="p1", encoder=-4, exposure_us=1.5, gain=0.1, temperature_c=-3.25)
    first.xyz[1, 1] = SIGNALLING_NAN
    first.xyz[2, 2, 0] = -0.0
    recorded(tmp_path, ScriptedDevice([first, capture(4)]))
    one, two = played(tmp_path)
    assert isinstance(one, Capture)
    assert isinstance(two, Capture)
    assert one.rgb.tobytes() == first.rgb.tobytes()
    assert one.xyz.tobytes() == first.xyz.tobytes()
    for field in ("part_id", "encoder", "exposure_us", "gain", "temperature_c"):
        assert getattr(one, field) == getattr(first, field)
    assert two.xyz.tobytes() == capture(4).xyz.tobytes()


def test_numbers_are_those_of_the_line(tmp_path: Path) -> None:
    """Lost frames are lost again, refused ones refused again, and a reopened device goes on."""
    refused = RefusedCaptureError(Refusal.OTHER_TRIGGER, "two triggers", frame_id=6, part_id="p6")
    first = ScriptedDevice([capture(1), capture(4), refused, DeviceError("gone")], FrameIds(16, 1))
    second = ScriptedDevice([capture(1), capture(1), capture(2)], FrameIds(16, 1))
    recorder = recorded(tmp_path, first, second)
    assert (recorder.frames, recorder.refused) == (5, 1)
    numbers = [one.frame_id for one in played(tmp_path)]
    assert numbers == [0, 3, 5, 6, 7]  # the repeated id had no number
    again = played(tmp_path)[2]
    assert isinstance(again, RefusedCaptureError)
    assert (again.reason, str(again), again.part_id) == (Refusal.OTHER_TRIGGER, "two triggers", "p6")


def test_a_device_without_ids_keeps_what_it_lost(tmp_path: Path) -> None:
    """Two frames lost before the second one."""
    recorded(tmp_path, ScriptedDevice([capture(), capture(lost_before=2)]))
    assert [one.frame_id for one in played(tmp_path)] == [0, 3]


def event(frame_id: int, arrived_ns: int, trigger_ns: int | None = None) -> Arrived:
    return Arrived(replace(capture(frame_id), trigger_ns=trigger_ns), arrived_ns)


def test_times_are_those_of_the_line(tmp_path: Path) -> None:
    """Pauses are kept, and a trigger keeps its distance to the arrival."""
    recorder = Recorder(tmp_path)
    recorder.take(Opened("d", FrameIds()))
    recorder.take(event(1, 10**18, 10**18 - 7_000_000))
    recorder.take(event(2, 10**18 + 400_000_000))
    device = recording.open_device(RecordingSection(path=tmp_path, speed=2))
    began_s = time.monotonic()
    first = device.capture(0.1)
    assert first is not None
    assert first.trigger_ns is not None
    assert 0 <= time.time_ns() - first.trigger_ns - 7_000_000 < 5e9
    waits = 0
    while (second := device.capture(0.01)) is None:
        waits += 1
    assert time.monotonic() - began_s >= 0.2
    assert waits >= 1
    assert second.trigger_ns is None


def test_a_recording_can_begin_again(tmp_path: Path) -> None:
    """With new numbers, so that nothing comes twice."""
    recorded(tmp_path, ScriptedDevice([capture(1), capture(3)]))
    device = recording.open_device(RecordingSection(path=tmp_path, speed=1000, repeat=True))
    captures = [found for found in (device.capture(5) for _ in range(5)) if found is not None]
    assert [one.frame_id for one in captures] == [0, 2, 3, 5, 6]


def test_a_frame_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    """Its JSON file is written last."""
    recorded(tmp_path, ScriptedDevice([capture(1), capture(2)]))
    (tmp_path / "000001.json").unlink()
    assert len(played(tmp_path)) == 1


def test_a_damaged_frame_is_refused_and_uses_its_number(tmp_path: Path) -> None:
    """The others are played."""
    recorded(tmp_path, ScriptedDevice([capture(1), capture(2), capture(3)]))
    (tmp_path / "000001.xyz.tiff").write_bytes(b"II*")
    numbers = [(type(one).__name__, one.frame_id) for one in played(tmp_path)]
    assert numbers == [("Capture", 0), ("RefusedCaptureError", 1), ("Capture", 2)]


def test_what_is_no_recording_is_named(tmp_path: Path) -> None:
    """Folder or file."""
    with pytest.raises(InputError, match="needs path"):
        recording.check(RecordingSection())
    with pytest.raises(InputError, match="no folder of a recording"):
        read_recording(tmp_path / "none")
    with pytest.raises(InputError, match="holds no recorded frame"):
        read_recording(tmp_path)
    recorded(tmp_path, ScriptedDevice([capture(1)]))
    for content in ("{", "[]", json.dumps({"v": 1})):
        (tmp_path / "000000.json").write_text(content)
        with pytest.raises(InputError, match=r"000000\.json is not a frame"):
            read_recording(tmp_path)


def test_a_device_that_was_never_there_records_nothing(tmp_path: Path) -> None:
    """The command ends with its error; one that is lost later is waited for."""
    recorder = Recorder(tmp_path)
    with pytest.raises(DeviceError, match="absent"):
        recorder.take(DeviceLost("absent", was_open=False))
    recorder.take(Opened("d", FrameIds()))
    recorder.take(DeviceLost("gone", was_open=True))
    recorder.take(Refused(RefusedCaptureError(Refusal.INCOMPLETE, "half"), 5))
    assert recorder.refused == 1
