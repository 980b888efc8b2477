"""A GenTL device's clock, its losses and its life: the parts that the simulated producer lacks."""

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("genicam", reason="needs the extra genicam")

from genicam import genapi, gentl

from cmfm_cameras.adapters import genicam
from cmfm_cameras.adapters.genicam import GenicamDevice
from cmfm_cameras.errors import DeviceError, InputError, Refusal, RefusedCaptureError
from cmfm_cameras.gentl import session as session_module
from cmfm_cameras.gentl.nodes import Nodes
from cmfm_cameras.gentl.raw_frame import RawFrame, part_of, raw_frame
from cmfm_cameras.numbering import FrameIds
from cmfm_cameras.settings.genicam import GenicamSection

RED = GenicamSection(producers=("viky",), device="VikyTL_DEV_red", silent_s=0.01)


@pytest.fixture
def device() -> Iterator[GenicamDevice]:
    """An open device, whose parts a test replaces."""
    opened = genicam.open_device(RED)
    yield opened
    opened.close()


def say(device: GenicamDevice, **features: Any) -> None:
    """Let the device have these features."""
    nodes = Nodes(SimpleNamespace(**{name: SimpleNamespace(value=value) for name, value in features.items()}))
    device._session.nodes = device._nodes = nodes
    device._session._state_s = -100.0


@pytest.mark.parametrize(
    ("features", "is_synchronised"),
    [
        ({"PtpStatus": "Slave"}, True),
        ({"GevIEEE1588Status": "Slave"}, True),
        ({"PtpStatus": "Master"}, False),
        ({"PtpStatus": "Listening"}, False),
        ({}, False),
    ],
)
def test_a_timestamp_is_a_trigger_time_while_ptp_holds_the_clock(
    device: GenicamDevice, features: dict[str, str], is_synchronised: bool
) -> None:
    """PTP counts TAI, 37 s ahead of UTC. A master's own clock is nobody else's."""
    say(device, **features)
    frame = RawFrame(b"", (), 1, 1_000_000_000_000_000_000)
    assert device._trigger_ns(frame) == (1_000_000_000_000_000_000 - 37 * 10**9 if is_synchronised else None)
    assert device._trigger_ns(RawFrame(b"", (), 1, None)) is None


def test_the_state_is_asked_once_a_second(device: GenicamDevice) -> None:
    """Each question is a register read over the network."""
    say(device, PtpStatus="Slave", DeviceTemperature=41.5)
    assert device._session.temperature_c() == 41.5
    device._session.nodes = Nodes(SimpleNamespace())
    assert device._session.is_synchronised()
    device._session._state_s -= 1.0
    assert not device._session.is_synchronised()


def silent(device: GenicamDevice, read: Any) -> None:
    """Let no frame come, and let the device reply as `read` does."""
    port = SimpleNamespace(read=read)
    device._session._acquirer = SimpleNamespace(
        try_fetch=lambda **_: None, remote_device=SimpleNamespace(port=port), destroy=lambda: None
    )
    device._session._heard_s = time.monotonic() - 1.0


def failing(error: type[Exception]) -> Any:
    def read(*_: object) -> None:
        raise error("as a device replies")

    return read


@pytest.mark.parametrize(
    "read", [lambda *_: None, failing(gentl.InvalidAddressException), failing(gentl.AccessDeniedException)]
)
def test_a_silent_device_that_replies_is_there(device: GenicamDevice, read: Any) -> None:
    """A line that stands still triggers no frames."""
    silent(device, read)
    assert device.capture(0.01) is None


@pytest.mark.parametrize("error", [gentl.IoException, gentl.InvalidHandleException, gentl.TimeoutException])
def test_a_silent_device_that_does_not_reply_is_lost(device: GenicamDevice, error: type[Exception]) -> None:
    """A pulled cable is found although no driver reports it."""
    silent(device, failing(error))
    with pytest.raises(DeviceError, match=r"Viky.*is gone"):
        device.capture(0.01)


def test_a_software_trigger_that_is_refused_is_tried_again(device: GenicamDevice) -> None:
    """While the frame before is exposed; a device that does not reply is lost."""
    fired: list[type[Exception] | None] = [genapi.AccessException, None]

    def execute() -> None:
        if error := fired.pop(0):
            raise error("busy", "nodes.cpp", 1)

    device._section = RED.model_copy(update={"trigger": "software", "software_s": 0.0})
    device._nodes = Nodes(SimpleNamespace(TriggerSoftware=SimpleNamespace(execute=execute)))
    device._triggered_s = before_s = time.monotonic() - 1.0
    device._trigger_if_due()
    assert device._triggered_s == before_s
    device._trigger_if_due()
    assert device._triggered_s > before_s
    fired.append(genapi.TimeoutException)
    with pytest.raises(DeviceError, match="takes no trigger"):
        device._trigger_if_due()


def test_a_device_of_several_streams_is_refused() -> None:
    """Its picture and points come in buffers of their own."""
    with pytest.raises(InputError, match="2 data streams"):
        session_module._require_one_stream(SimpleNamespace(data_streams=[1, 2]))
    session_module._require_one_stream(SimpleNamespace(data_streams=[1]))


def test_losses_of_producer_and_network_are_counted(device: GenicamDevice) -> None:
    """Frames for which there was no buffer, and incomplete ones."""
    stream = SimpleNamespace(num_underrun=3)
    device._session._acquirer = SimpleNamespace(data_streams=[stream], destroy=lambda: None)
    session_module._Incomplete(device._session).emit()
    assert device._session.lost() == 4


@pytest.mark.parametrize(
    ("tl_type", "extended", "bits", "expected"),
    [
        ("GEV", "Off", 0, FrameIds(16, 1)),
        ("GEV", "On", 0, FrameIds(64, 1)),
        ("GEV", "Off", 32, FrameIds(32, 1)),
        ("U3V", "Off", 0, FrameIds(64, 0)),
    ],
)
def test_the_width_of_frame_ids(
    device: GenicamDevice, tl_type: str, extended: str, bits: int, expected: FrameIds
) -> None:
    """GigE Vision counts 16 bits from 1, unless it has extended ids."""
    say(device, GevGVSPExtendedIDMode=extended)
    device._session._section = RED.model_copy(update={"frame_id_bits": bits})
    assert device._session._frame_ids(SimpleNamespace(tl_type=tl_type)) == expected


def test_rows_that_were_not_delivered_are_refused() -> None:
    """A line-scan frame that was cut short."""
    part = SimpleNamespace(
        data_format=0x01080001, data_offset=0, data_size=100, width=10, height=10, delivered_image_height=7
    )
    with pytest.raises(RefusedCaptureError, match="7 of 10 rows") as refused:
        part_of(part)
    assert refused.value.reason is Refusal.INCOMPLETE
    part.delivered_image_height = 10
    assert part_of(part).height == 10


def test_a_single_image_is_one_part() -> None:
    """A buffer without parts, as a device sends that has one component."""
    buffer = SimpleNamespace(
        payload_type=1,
        pixel_format=0x026000C0,
        size_filled=1200,
        width=10,
        height=10,
        offset_x=4,
        raw_buffer=b"x",
    )
    frame = raw_frame(buffer)
    (part,) = frame.parts
    assert (part.format.name, part.size, part.x_offset, part.y_offset) == ("Coord3D_ABC32f", 1200, 4, 0)
    assert frame.frame_id is None
