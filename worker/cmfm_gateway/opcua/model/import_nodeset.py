"""Imports the companion model from a NodeSet file that the settings name, in place of the tables.

The importer leaves types without fields of their own without a definition, lets clients write what the file calls
writable, and fails at the file's example values of structures. All three are put right here.
"""

from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

from asyncua import ua

from cmfm_gateway.errors import InputError
from cmfm_gateway.opcua.model.data_types import STRUCTURES
from cmfm_gateway.opcua.model.definitions import structure_definition
from cmfm_gateway.opcua.model.kinds import NAMESPACE
from cmfm_gateway.opcua.model.tables import TYPE_IDS
from cmfm_gateway.opcua.model.writer import NodeWriter

_UA: Final = "{http://opcfoundation.org/UA/2011/03/UANodeSet.xsd}"

KEPT_VALUES: Final = frozenset({"Argument", "EnumValueType", "UInt32"})
"""Data types of the variables whose values belong to the model; other variables have values of the server."""


def _without_examples(text: str) -> str:
    """Return the file without the values of variables that a server fills in itself."""
    root = ET.fromstring(text)  # noqa: S314  (a file that the operator names)
    for variable in (*root.findall(f"{_UA}UAVariable"), *root.findall(f"{_UA}UAVariableType")):
        value = variable.find(f"{_UA}Value")
        if value is not None and variable.get("DataType") not in KEPT_VALUES:
            variable.remove(value)
    return ET.tostring(root, encoding="unicode")


async def import_nodeset(server: Any, path: Path, companion: int) -> None:
    """Add the nodes of the file. Raises InputError if it is not a NodeSet of the companion model."""
    if not path.is_file():
        raise InputError(f"opcua.nodeset: {path}: no such file")
    try:
        text = _without_examples(path.read_text(encoding="utf-8"))
        await server.import_xml(xmlstring=text, strict_mode=True, auto_load_definitions=False)
    except Exception as error:
        raise InputError(f"opcua.nodeset: {path} cannot be imported: {error}") from error
    space = server.iserver.aspace
    missing = [name for name, number in TYPE_IDS.items() if ua.NodeId(number, companion) not in space]
    if missing:
        raise InputError(f"opcua.nodeset: {path}: not a NodeSet of {NAMESPACE}: no {missing[0]}")
    writer = NodeWriter(server, companion)
    for structure in STRUCTURES:
        await writer.set_attribute(
            writer.own(structure.id),
            ua.AttributeIds.DataTypeDefinition,
            ua.Variant(structure_definition(structure, companion), ua.VariantType.ExtensionObject),
        )
    readable = ua.Variant(ua.AccessLevel.CurrentRead.mask, ua.VariantType.Byte)
    for node_id in [node_id for node_id in space.keys() if node_id.NamespaceIndex == companion]:  # noqa: SIM118
        for attribute in (ua.AttributeIds.AccessLevel, ua.AttributeIds.UserAccessLevel):
            if attribute in space[node_id].attributes:
                await writer.set_attribute(node_id, attribute, readable)
