"""The fakes of vendors' packages have the vendors' methods, with their parameters.

vendor_signatures.json was read from the packages themselves (zivid and ensenso-nxlib: source; mecheyeapi,
pyorbbecsdk2, depthai: source or type stubs of the wheels): class → bases, and method → the names of its parameters for
each overload, or "property".
"""

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.made.fake_vendors import depthai, mecheye, nxlib, pyorbbecsdk, zivid
from tests.unit.made.fake_vendors.shown import Shown

SIGNATURES: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("vendor_signatures.json").read_text()
)
FAKES: dict[str, Callable[[Shown], Any]] = {
    "zivid-python 2.18.0": zivid.fake,
    "ensenso-nxlib 4.3.1057": nxlib.fake,
    "mecheyeapi 2.6.0": mecheye.fake,
    "pyorbbecsdk2 2.1.2": pyorbbecsdk.fake,
    "depthai 3.12.0": depthai.fake,
}


def classes_of(package: str) -> list[type]:
    module = FAKES[package](Shown())
    found = {one for one in vars(module).values() if inspect.isclass(one) and hasattr(one, "real")}
    return sorted(found, key=lambda one: one.__name__)


def members_of(package: str, name: str) -> dict[str, Any]:
    """A class's own members and those of its bases."""
    described = SIGNATURES[package][name]
    members: dict[str, Any] = {}
    for base in described["bases"]:
        if base in SIGNATURES[package]:
            members |= members_of(package, base)
    members.update(described["members"])
    return members


def methods_of(fake: type) -> Iterator[tuple[str, list[str]]]:
    """Name and parameters of each method that a fake has."""
    for name, value in vars(fake).items():
        plain = getattr(value, "__func__", value)
        if inspect.isfunction(plain) and (not name.startswith("_") or name == "__getitem__"):
            yield name, [one for one in inspect.signature(plain).parameters if one not in ("self", "cls")]


def takes(overload: list[str], given: list[str]) -> bool:
    """Tell whether an overload takes these parameters; binary packages without names call theirs arg0, arg1."""
    return overload[: len(given)] == given or set(given) <= set(overload) or "*" in overload


@pytest.mark.parametrize("package", FAKES)
def test_fakes_have_the_vendors_methods(package: str) -> None:
    """A method that the vendor does not have, or has with other parameters, would prove a call that fails."""
    classes = classes_of(package)
    assert len(classes) >= 4
    for fake in classes:
        members = members_of(package, vars(fake)["real"])
        for name, given in methods_of(fake):
            assert name in members, f"{package}: {fake.__name__} has no {name}"
            overloads = members[name]
            assert overloads != "property", f"{package}: {fake.__name__}.{name} is a property"
            assert any(takes(overload, given) for overload in overloads), (
                f"{package}: {fake.__name__}.{name}{tuple(given)} is none of {overloads}"
            )
