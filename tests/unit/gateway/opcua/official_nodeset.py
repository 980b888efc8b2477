"""Reads the published NodeSet file of OPC 40100-1 where it lies beside the checkout; it is not part of the project."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).parents[5] / "shared" / "opcua" / "Opc.Ua.MachineVision.NodeSet2.xml"

_UA: Final = "{http://opcfoundation.org/UA/2011/03/UANodeSet.xsd}"
_TYPES: Final = "{http://opcfoundation.org/UA/2008/02/Types.xsd}"

Reference = tuple[str, bool, str]


@dataclass(frozen=True)
class PublishedNode:
    """One node of the file. Ids and names are written as in the file: `ns=1;i=1003`, `1:VisionSystemType`."""

    node_class: str
    browse_name: str
    data_type: str | None
    rank: int
    abstract: bool
    references: frozenset[Reference]
    arguments: tuple[tuple[str, str, int], ...]
    fields: tuple[tuple[str, str, bool, int], ...]
    enum_values: tuple[tuple[str, int], ...]
    value: int | None


def published_nodes() -> dict[str, PublishedNode]:
    """Return the nodes of the file by id."""
    root = ET.parse(FILE).getroot()  # noqa: S314  a file that we chose
    aliases = {alias.get("Alias", ""): alias.text or "" for alias in root.find(f"{_UA}Aliases") or ()}
    return {node.get("NodeId", ""): _node(node, aliases) for node in root if node.tag.startswith(f"{_UA}UA")}


def _node(node: ET.Element, aliases: dict[str, str]) -> PublishedNode:
    def resolve(name: str | None) -> str:
        return aliases.get(name or "i=24", name or "i=24")

    fields = node.findall(f"{_UA}Definition/{_UA}Field")
    number = node.find(f"{_UA}Value/{_TYPES}UInt32")
    return PublishedNode(
        node_class=node.tag.removeprefix(f"{_UA}UA"),
        browse_name=node.get("BrowseName", ""),
        data_type=resolve(node.get("DataType")) if "Variable" in node.tag else None,
        rank=int(node.get("ValueRank", "-1")),
        abstract=node.get("IsAbstract") == "true",
        references=frozenset(
            (resolve(ref.get("ReferenceType")), ref.get("IsForward") != "false", ref.text or "")
            for ref in node.findall(f"{_UA}References/{_UA}Reference")
        ),
        arguments=tuple(_argument(argument) for argument in node.iter(f"{_TYPES}Argument")),
        fields=tuple(
            (
                field.get("Name", ""),
                resolve(field.get("DataType")),
                field.get("IsOptional") == "true",
                int(field.get("ValueRank", "-1")),
            )
            for field in fields
            if field.get("Value") is None
        ),
        enum_values=tuple(
            (field.get("Name", ""), int(field.get("Value", "0"))) for field in fields if field.get("Value")
        ),
        value=int(number.text or "") if number is not None else None,
    )


def _argument(argument: ET.Element) -> tuple[str, str, int]:
    def text(path: str) -> str:
        return argument.findtext(path) or ""

    return (
        text(f"{_TYPES}Name"),
        text(f"{_TYPES}DataType/{_TYPES}Identifier"),
        int(text(f"{_TYPES}ValueRank")),
    )
