"""Fakes of vendors' packages: the calls that the adapters make, recorded, with the answers that the vendors document.

`real` of a class names the vendor's class; test_vendor_signatures holds the fake's methods to that class's, as recorded
from the vendor's package. A fake proves that the documented calls are made and their answers converted. It proves
nothing about a device.
"""

from collections.abc import Callable
from typing import Any, Final

from tests.unit.made.fake_vendors import depthai, mecheye, nxlib, pyorbbecsdk, zivid
from tests.unit.made.fake_vendors.shown import Shown

FAKES: Final[dict[str, Callable[..., Any]]] = {
    "ensenso": nxlib.fake,
    "mecheye": mecheye.fake,
    "oakd": depthai.fake,
    "orbbec": pyorbbecsdk.fake,
    "zivid": zivid.fake,
}
MODULES: Final = {
    "ensenso": "nxlib",
    "mecheye": "mecheye.area_scan_3d_camera",
    "oakd": "depthai",
    "orbbec": "pyorbbecsdk",
    "zivid": "zivid",
}
"""The module that the adapter of a kind imports."""


def modules_of(kind: str, shown: Shown, **changes: Any) -> dict[str, Any]:
    """The modules of a vendor's package by name, for `sys.modules`, of a computer that sees `shown`."""
    module = FAKES[kind](shown, **changes)
    modules = {MODULES[kind]: module}
    if kind == "ensenso":
        modules["nxlib.context"] = module.context
    if kind == "mecheye":
        modules |= {"mecheye": module, "mecheye.shared": module.shared}
    return modules
