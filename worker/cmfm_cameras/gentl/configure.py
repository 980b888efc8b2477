"""Sets a device up by the settings, in their order: user set, GenDC off, components, features, trigger."""

from collections.abc import Sequence

from cmfm_cameras.errors import InputError
from cmfm_cameras.gentl.nodes import Nodes
from cmfm_cameras.settings.genicam import GenicamSection


def configure(nodes: Nodes, section: GenicamSection) -> None:
    """Set the device up by the settings, in their order. Raises InputError naming a feature that it lacks."""
    if section.user_set:
        nodes.set("UserSetSelector", section.user_set)
        nodes.execute("UserSetLoad")
    _switch_off_gendc(nodes)
    _enable_components(nodes, section.components)
    nodes.apply(section.features)
    _set_trigger(nodes, section)
    if "Range" in nodes.choices("ComponentSelector"):
        nodes.set("ComponentSelector", "Range")  # the Scan3d features are those of the selected component


def _switch_off_gendc(nodes: Nodes) -> None:
    if nodes.get("GenDCStreamingMode") in (None, "Off"):
        return
    nodes.set("GenDCStreamingMode", "Off")
    if nodes.get("GenDCStreamingMode") != "Off":
        raise InputError(
            "the device streams GenDC and does not let it be switched off; that is not supported"
        )


def _enable_components(nodes: Nodes, wanted: Sequence[str]) -> None:
    known = nodes.choices("ComponentSelector")
    if not wanted or not known:
        return
    if missing := [name for name in wanted if name not in known]:
        raise InputError(
            f"genicam.components: the device has no component {', '.join(missing)}; it has {', '.join(known)}"
        )
    for name in known:
        nodes.set("ComponentSelector", name)
        if nodes.get("ComponentEnable") is not (name in wanted):
            nodes.set("ComponentEnable", name in wanted)


def _set_trigger(nodes: Nodes, section: GenicamSection) -> None:
    if section.trigger == "as_is":
        return
    if "FrameStart" in nodes.choices("TriggerSelector"):
        nodes.set("TriggerSelector", "FrameStart")
    nodes.set("TriggerMode", "Off" if section.trigger == "free_run" else "On")
    if section.trigger == "software":
        nodes.set("TriggerSource", "Software")
    if section.trigger == "hardware":
        nodes.set("TriggerSource", section.trigger_source)
        nodes.set("TriggerActivation", section.trigger_activation)
