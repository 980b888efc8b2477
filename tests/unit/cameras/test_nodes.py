"""A device's description of its coordinates, read from a node map as GenApi shows it."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("genicam", reason="needs the extra genicam")

from genicam import genapi

from cmfm_cameras.errors import InputError
from cmfm_cameras.gentl.configure import configure
from cmfm_cameras.gentl.nodes import Nodes, read_scan3d
from cmfm_cameras.gentl.scan3d import Axis, Intrinsics, Pose
from cmfm_cameras.settings.genicam import GenicamSection


@dataclass
class Selected:
    """A feature with a value for each entry of a selector."""

    selector: SimpleNamespace
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> Any:
        if self.selector.value not in self.values:
            raise genapi.AccessException("not readable", "nodes.cpp", 1)
        return self.values[self.selector.value]


class IEnumeration(SimpleNamespace):
    """An enumeration; the name of the class is GenApi's."""


def scanner(**more: Any) -> SimpleNamespace:
    """A device with 16-bit coordinates, as a laser scanner has them."""
    axis = IEnumeration(value="CoordinateB", symbolics=("CoordinateA", "CoordinateB", "CoordinateC"))
    pose_entries = ("RotationX", "RotationY", "RotationZ", "TranslationX", "TranslationY", "TranslationZ")
    pose = IEnumeration(value="RotationX", symbolics=pose_entries)
    return SimpleNamespace(
        Scan3dOutputMode=SimpleNamespace(value="CalibratedABC_Grid"),
        Scan3dDistanceUnit=SimpleNamespace(value="Millimeter"),
        Scan3dCoordinateSystem=SimpleNamespace(value="Cartesian"),
        Scan3dCoordinateSelector=axis,
        Scan3dCoordinateScale=Selected(axis, {"CoordinateA": 0.01, "CoordinateB": 0.02, "CoordinateC": 0.05}),
        Scan3dCoordinateOffset=Selected(axis, {"CoordinateA": -300.0, "CoordinateC": 400.0}),
        Scan3dInvalidDataFlag=Selected(
            axis, {"CoordinateA": False, "CoordinateB": False, "CoordinateC": True}
        ),
        Scan3dInvalidDataValue=Selected(axis, {"CoordinateA": 7.0, "CoordinateB": 7.0, "CoordinateC": 0.0}),
        Scan3dCoordinateReferenceSelector=pose,
        Scan3dCoordinateReferenceValue=Selected(
            pose, dict(zip(pose_entries, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), strict=True))
        ),
        **more,
    )


def test_each_axis_has_its_own_scale_offset_and_mark() -> None:
    """And selectors stand afterwards where they stood."""
    device = scanner()
    found = read_scan3d(Nodes(device), GenicamSection())
    assert found.axes == (Axis(0.01, -300.0), Axis(0.02, 0.0), Axis(0.05, 400.0, 0.0))
    assert found.metres == 1e-3
    assert found.pose == Pose((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    assert device.Scan3dCoordinateSelector.value == "CoordinateB"
    assert device.Scan3dCoordinateReferenceSelector.value == "RotationX"


def test_settings_count_before_the_device() -> None:
    """For a device that says nothing, or the wrong thing."""
    section = GenicamSection(unit="um", output_mode="CalibratedC", pose="device", fx=900.0, cx=10.0, cy=20.0)
    found = read_scan3d(Nodes(scanner()), section)
    assert (found.metres, found.output_mode, found.pose) == (1e-6, "CalibratedC", None)
    assert found.intrinsics == Intrinsics(900.0, 900.0, 10.0, 20.0)


def test_intrinsics_and_baseline_of_the_device() -> None:
    """SFNC's names; all three numbers, or none."""
    said = {"Scan3dFocalLength": 1200.0, "Scan3dPrincipalPointU": 640.0, "Scan3dPrincipalPointV": 480.5}
    nodes = {name: SimpleNamespace(value=value) for name, value in said.items()}
    found = read_scan3d(Nodes(scanner(**nodes, Scan3dBaseline=SimpleNamespace(value=80.0))), GenicamSection())
    assert found.intrinsics == Intrinsics(1200.0, 1200.0, 640.0, 480.5)
    assert found.baseline == 80.0
    del nodes["Scan3dPrincipalPointV"]
    assert read_scan3d(Nodes(scanner(**nodes)), GenicamSection()).intrinsics is None


@pytest.mark.parametrize("unit", ["Pixel", None])
def test_a_device_that_says_no_length_needs_the_setting(unit: str | None) -> None:
    """Millimetres are not guessed."""
    device = scanner()
    device.Scan3dDistanceUnit = SimpleNamespace(value=unit)
    with pytest.raises(InputError, match="set unit under"):
        read_scan3d(Nodes(device), GenicamSection())


def test_chunk_values_have_their_own_names() -> None:
    """Values of one frame are read by the same rules."""
    chunk = SimpleNamespace(**{f"Chunk{name}": node for name, node in vars(scanner()).items()})
    found = read_scan3d(Nodes(chunk), GenicamSection(), "Chunk")
    assert found.axes[2] == Axis(0.05, 400.0, 0.0)


def test_a_device_that_does_not_reply_is_no_wrong_setting() -> None:
    """It is opened again; a value that it does not take ends the process."""

    class Answering(SimpleNamespace):
        error: type[Exception] = genapi.TimeoutException
        value = property(lambda _: 1, lambda self, _: self.fail())

        def fail(self) -> None:
            raise self.error("as a device replies", "nodes.cpp", 1)

    with pytest.raises(genapi.TimeoutException):
        Nodes(SimpleNamespace(Gain=Answering())).set("Gain", "3")
    with pytest.raises(InputError, match="Gain = 3"):
        Nodes(SimpleNamespace(Gain=Answering(error=genapi.OutOfRangeException))).set("Gain", "3")


def trigger_device() -> SimpleNamespace:
    return SimpleNamespace(
        TriggerSelector=IEnumeration(value="AcquisitionStart", symbolics=("AcquisitionStart", "FrameStart")),
        TriggerMode=IEnumeration(value="Off", symbolics=("Off", "On")),
        TriggerSource=IEnumeration(value="Line0", symbolics=("Line0", "Line2", "Software")),
        TriggerActivation=IEnumeration(value="RisingEdge", symbolics=("RisingEdge", "FallingEdge")),
        GenDCStreamingMode=IEnumeration(value="On", symbolics=("Off", "On")),
        ComponentSelector=IEnumeration(value="Range", symbolics=("Range",)),
        ComponentEnable=SimpleNamespace(value=False),
    )


@pytest.mark.parametrize(
    ("settings", "mode", "source"),
    [
        ({"trigger": "as_is"}, "Off", "Line0"),
        ({"trigger": "free_run"}, "Off", "Line0"),
        ({"trigger": "software"}, "On", "Software"),
        ({"trigger": "hardware", "trigger_source": "Line2"}, "On", "Line2"),
    ],
)
def test_triggers(settings: dict[str, str], mode: str, source: str) -> None:
    """Of the frame, from a line, from software, or none."""
    device = trigger_device()
    section = GenicamSection.model_validate({**settings, "components": ("Range",)})
    configure(Nodes(device), section)
    assert (device.TriggerMode.value, device.TriggerSource.value) == (mode, source)
    if settings["trigger"] != "as_is":
        assert device.TriggerSelector.value == "FrameStart"
    assert device.GenDCStreamingMode.value == "Off"
    assert device.ComponentEnable.value is True


def test_gendc_that_stays_on_is_refused_at_the_start() -> None:
    """harvesters would hand over numbers without meaning."""

    class Stubborn(SimpleNamespace):
        value = property(lambda _: "On", lambda *_: None)

    device = trigger_device()
    device.GenDCStreamingMode = Stubborn()
    with pytest.raises(InputError, match="GenDC"):
        configure(Nodes(device), GenicamSection(components=("Range",)))
