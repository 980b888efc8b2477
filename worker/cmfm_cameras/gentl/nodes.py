"""The features of a device (GenApi): optional ones, required ones with errors of ours, and what they say of 3D."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

from genicam import genapi

from cmfm_cameras.errors import InputError
from cmfm_cameras.gentl.scan3d import Axis, Intrinsics, Pose, Scan3d, metres_of
from cmfm_cameras.settings.genicam import GenicamSection
from cmfm_protocol.files.part_files import METRES

AXES: Final = ("CoordinateA", "CoordinateB", "CoordinateC")
ROTATIONS: Final = ("RotationX", "RotationY", "RotationZ")
TRANSLATIONS: Final = ("TranslationX", "TranslationY", "TranslationZ")
WRONG_SETTINGS: Final = (
    genapi.AccessException,
    genapi.InvalidArgumentException,
    genapi.LogicalErrorException,
    genapi.OutOfRangeException,
    genapi.PropertyException,
    AttributeError,
    TypeError,
    ValueError,
)
"""The errors of a device that is there, and does not take a value. All else is a device that does not reply."""

WORDS: Final = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}


class Nodes:
    """The features of a device by name."""

    def __init__(self, node_map: Any) -> None:
        self._map = node_map

    def get(self, name: str) -> Any:
        """Return a feature's value; None if the device has no such feature, or it cannot be read now."""
        try:
            return getattr(self._map, name).value
        except (genapi.GenericException, AttributeError):
            return None

    def number(self, name: str) -> float | None:
        """Return a feature's value as a number, or None."""
        value = self.get(name)
        return float(value) if isinstance(value, int | float) else None

    def choices(self, name: str) -> tuple[str, ...]:
        """Return the entries of an enumeration that can be set now; none if the device has no such feature."""
        try:
            return tuple(getattr(self._map, name).symbolics)
        except (genapi.GenericException, AttributeError):
            return ()

    def set(self, name: str, value: object) -> None:
        """Set a feature. Raises InputError naming it if the device has none, or does not take the value.

        A device that does not reply raises an error of GenApi.
        """
        try:
            node = getattr(self._map, name)
            node.value = _typed(node, value)
        except WRONG_SETTINGS as error:
            raise InputError(f"feature {name} = {value}: {_why(error)}") from error

    def execute(self, name: str) -> None:
        """Execute a command. Raises InputError naming it."""
        try:
            getattr(self._map, name).execute()
        except WRONG_SETTINGS as error:
            raise InputError(f"command {name}: {_why(error)}") from error

    def apply(self, features: Sequence[str]) -> None:
        """Set "Name=Value" and execute "Name", in order. Raises InputError naming the feature."""
        for feature in features:
            name, equals, value = (word.strip() for word in feature.partition("="))
            if equals:
                self.set(name, value)
            else:
                self.execute(name)

    @contextlib.contextmanager
    def selected(self, name: str, entry: str) -> Iterator[bool]:
        """Select an entry while the context lasts. False if the device does not have it; nothing is selected then."""
        before = self.get(name)
        if before is None or entry not in self.choices(name):
            yield False
            return
        self.set(name, entry)
        try:
            yield True
        finally:
            self.set(name, before)


def read_scan3d(nodes: Nodes, section: GenicamSection, prefix: str = "") -> Scan3d:
    """Return what the device says about its coordinates, with the settings over it.

    `prefix` is "Chunk" for the values of one frame. Raises InputError if nobody says the unit.
    """
    said = nodes.get(f"{prefix}Scan3dOutputMode")
    return Scan3d(
        output_mode=section.output_mode if section.output_mode != "auto" else said or "CalibratedABC_Grid",
        system=nodes.get(f"{prefix}Scan3dCoordinateSystem") or "Cartesian",
        metres=_metres(nodes, section, prefix),
        axes=_axes(nodes, prefix),
        pose=_pose(nodes, prefix) if section.pose == "sensor" else None,
        rotation_order=section.rotation_order,
        intrinsics=_intrinsics(nodes, section, prefix),
        baseline=nodes.number(f"{prefix}Scan3dBaseline"),
        zero_is_missing=section.zero_is_missing,
    )


def _metres(nodes: Nodes, section: GenicamSection, prefix: str) -> float:
    if section.unit != "auto":
        return METRES[section.unit]
    said = nodes.get(f"{prefix}Scan3dDistanceUnit")
    metres = metres_of(said) if isinstance(said, str) else None
    if metres is None:
        raise InputError(
            f"the device says Scan3dDistanceUnit = {said}: set unit under [genicam] to that of its coordinates"
        )
    return metres


def _axes(nodes: Nodes, prefix: str) -> tuple[Axis, Axis, Axis]:
    a, b, c = (_axis(nodes, prefix, entry) for entry in AXES)
    return a, b, c


def _axis(nodes: Nodes, prefix: str, entry: str) -> Axis:
    with nodes.selected(f"{prefix}Scan3dCoordinateSelector", entry):
        scale = nodes.number(f"{prefix}Scan3dCoordinateScale")
        offset = nodes.number(f"{prefix}Scan3dCoordinateOffset")
        flagged = nodes.get(f"{prefix}Scan3dInvalidDataFlag")
        invalid = nodes.number(f"{prefix}Scan3dInvalidDataValue") if flagged else None
    return Axis(1.0 if scale is None else scale, offset or 0.0, invalid)


def _pose(nodes: Nodes, prefix: str) -> Pose | None:
    selector, value = (f"{prefix}Scan3dCoordinateReference{word}" for word in ("Selector", "Value"))
    values = {}
    for entry in (*ROTATIONS, *TRANSLATIONS):
        with nodes.selected(selector, entry) as there:
            values[entry] = nodes.number(value) if there else None
    if None in values.values():
        return None
    x, y, z = (values[entry] or 0.0 for entry in ROTATIONS)
    tx, ty, tz = (values[entry] or 0.0 for entry in TRANSLATIONS)
    return Pose((x, y, z), (tx, ty, tz))


def _intrinsics(nodes: Nodes, section: GenicamSection, prefix: str) -> Intrinsics | None:
    fx = section.fx or nodes.number(f"{prefix}Scan3dFocalLength")
    cx = nodes.number(f"{prefix}Scan3dPrincipalPointU") if section.cx is None else section.cx
    cy = nodes.number(f"{prefix}Scan3dPrincipalPointV") if section.cy is None else section.cy
    if not fx or cx is None or cy is None:
        return None
    return Intrinsics(fx, section.fy or fx, cx, cy)


def _typed(node: Any, value: object) -> object:
    """The value as the node's interface takes it: settings write every value as text."""
    kind = type(node).__name__
    if not isinstance(value, str) or kind not in ("IBoolean", "IInteger", "IFloat"):
        return value
    if kind == "IBoolean":
        if value.lower() not in WORDS:
            raise ValueError("expected true or false")
        return WORDS[value.lower()]
    return int(value, 0) if kind == "IInteger" else float(value)


def _why(error: Exception) -> str:
    if isinstance(error, AttributeError):
        return "the device has no such feature"
    return " ".join(str(error).split())[:200]
