"""Imports the companion model from a NodeSet file that the settings name, in place of the tables.

The importer leaves types without fields of their own without a definition, and lets clients write what the file calls
writable. Both are put right here.
"""

from pathlib import Path
from typing import Any

from asyncua import ua

from cmfm_gateway.errors import InputError
from cmfm_gateway.opcua.model.data_types import STRUCTURES
from cmfm_gateway.opcua.model.definitions import structure_definition
from cmfm_gateway.opcua.model.kinds import NAMESPACE
from cmfm_gateway.opcua.model.tables import TYPE_IDS
from cmfm_gateway.opcua.model.writer import NodeWriter


async def import_nodeset(server: Any, path: Path, companion: int) -> None:
    """Add the nodes of the file. Raises InputError if it is not a NodeSet of the companion model."""
    if not path.is_file():
        raise InputError(f"opcua.nodeset: {path}: no such file")
    try:
        await server.import_xml(str(path), strict_mode=True, auto_load_definitions=False)
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
