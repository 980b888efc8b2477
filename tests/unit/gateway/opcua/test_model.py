"""The model that the gateway builds from its tables is the published one, node by node."""

import asyncio
from typing import Any, Final

import pytest
from asyncua import Server, ua
from tests.unit.gateway.opcua.official_nodeset import FILE, PublishedNode, published_nodes

from cmfm_gateway.opcua.model.build import build_types
from cmfm_gateway.opcua.model.kinds import NAMESPACE, Structure
from cmfm_gateway.opcua.model.tables import DATA_TYPES, NODE_TYPES, STRUCTURES_BY_NAME, fields_of

needs_the_file = pytest.mark.skipif(not FILE.is_file(), reason=f"no {FILE.name} beside the checkout")

ATTRIBUTES: Final = ua.AttributeIds

HIERARCHY: Final = frozenset({"i=46", "i=47", "i=45"})
"""HasProperty, HasComponent, HasSubtype."""


async def _built() -> tuple[Server, int]:
    server = Server()
    await server.init()
    companion = await server.register_namespace(NAMESPACE)
    await build_types(server, companion)
    return server, companion


@pytest.fixture(scope="module")
def model() -> dict[str, Any]:
    """Nodes of the companion namespace by id as the file writes it, from a server's address space."""
    server, companion = asyncio.run(_built())
    space = server.iserver.aspace
    return {
        written(node_id, companion): (space[node_id], companion)
        for node_id in space.keys()  # noqa: SIM118  it has no iterator
        if node_id.NamespaceIndex == companion
    }


def written(node_id: ua.NodeId, companion: int) -> str:
    prefix = "ns=1;" if node_id.NamespaceIndex == companion else ""
    return f"{prefix}i={node_id.Identifier}"


def attribute(entry: Any, name: str) -> Any:
    found = entry[0].attributes.get(getattr(ATTRIBUTES, name))
    return None if found is None else found.value.Value.Value


def references(entry: Any) -> set[tuple[str, bool, str]]:
    node, companion = entry
    return {
        (written(ref.ReferenceTypeId, companion), ref.IsForward, written(ref.NodeId, companion))
        for ref in node.references
    }


@needs_the_file
def test_every_node_has_the_published_class_name_and_type(model: dict[str, Any]) -> None:
    """Ids, node classes, browse names with their namespace, data types, value ranks, abstractness."""
    published = published_nodes()
    assert len(model) > 400
    for node_id, entry in model.items():
        theirs = published[node_id]
        name = attribute(entry, "BrowseName")
        ours = f"{1 if name.NamespaceIndex else 0}:{name.Name}".removeprefix("0:")
        assert ours == theirs.browse_name, node_id
        assert ua.NodeClass(attribute(entry, "NodeClass")).name == theirs.node_class, node_id
        assert bool(attribute(entry, "IsAbstract")) == theirs.abstract, node_id
        if theirs.data_type is not None:
            assert written(attribute(entry, "DataType"), entry[1]) == theirs.data_type, node_id
            assert attribute(entry, "ValueRank") == theirs.rank, node_id


@needs_the_file
def test_every_reference_is_published(model: dict[str, Any]) -> None:
    """Parents, type definitions, modelling rules, states, causes and effects: no reference of ours is made up.

    Of each node every type definition, modelling rule, supertype and state reference of the file is there as well.
    """
    published = published_nodes()
    both = {(node_id, *ref) for node_id, node in published.items() for ref in {*node.references}}
    both |= {(target, kind, not forward, node_id) for node_id, kind, forward, target in set(both)}
    complete = {"i=37", "i=40", "i=45", "i=51", "i=52", "i=53", "i=54", "i=117", "ns=1;i=4002", "ns=1;i=4003"}
    for node_id, entry in model.items():
        ours = references(entry)
        assert {(node_id, *ref) for ref in ours if ref[2] in published or ref[0] != "i=41"} <= both, node_id
        theirs = {
            ref
            for ref in published[node_id].references
            if ref[0] in complete and (ref[2] in model or not ref[2].startswith("ns=1"))
        }
        assert theirs <= ours, (node_id, theirs - ours)


@needs_the_file
def test_arguments_are_the_published_ones(model: dict[str, Any]) -> None:
    """Names, types and ranks of method arguments, in order."""
    published = published_nodes()
    lists = 0
    for node_id, entry in model.items():
        if attribute(entry, "BrowseName").Name not in {"InputArguments", "OutputArguments"}:
            continue
        ours = tuple(
            (argument.Name, written(argument.DataType, entry[1]), argument.ValueRank)
            for argument in attribute(entry, "Value")
        )
        assert ours == published[node_id].arguments, node_id
        lists += 1
    assert lists > 80


@needs_the_file
def test_numbers_of_states_and_transitions(model: dict[str, Any]) -> None:
    """StateNumber and TransitionNumber have the published values."""
    published = published_nodes()
    numbers = {
        node_id: attribute(entry, "Value")
        for node_id, entry in model.items()
        if attribute(entry, "BrowseName").Name in {"StateNumber", "TransitionNumber"}
    }
    ours = {node_id: value for node_id, value in numbers.items() if published[node_id].value is not None}
    assert len(ours) > 35
    assert ours == {node_id: published[node_id].value for node_id in ours}


@needs_the_file
def test_fields_of_structures_and_values_of_enumerations(model: dict[str, Any]) -> None:
    """Definitions list the published fields after those of the base type, with types and optionality."""
    published = published_nodes()
    for data_type in DATA_TYPES:
        node_id = f"ns=1;i={data_type.id}"
        entry = model[node_id]
        definition = attribute(entry, "DataTypeDefinition")
        if isinstance(data_type, Structure):
            ours = tuple(
                (field.Name, written(field.DataType, entry[1]), field.IsOptional, field.ValueRank)
                for field in definition.Fields
            )
            assert ours == (*inherited(published, node_id), *published[node_id].fields), node_id
        elif definition is not None:
            values = tuple((field.Name, field.Value) for field in definition.Fields)
            assert values == published[node_id].enum_values, node_id


def inherited(published: dict[str, PublishedNode], node_id: str) -> tuple[Any, ...]:
    base = next(
        target for kind, forward, target in published[node_id].references if kind == "i=45" and not forward
    )
    if base not in published:
        return ()
    return (*inherited(published, base), *published[base].fields)


def test_a_type_without_fields_of_its_own_has_a_definition(model: dict[str, Any]) -> None:
    """Clients decode a recipe's id by it: the library alone would leave it out."""
    for name in ("ConfigurationIdDataType", "RecipeIdExternalDataType", "RecipeIdInternalDataType"):
        structure = STRUCTURES_BY_NAME[name]
        definition = attribute(model[f"ns=1;i={structure.id}"], "DataTypeDefinition")
        assert [field.Name for field in definition.Fields] == [field.name for field in fields_of(structure)]
        assert definition.DefaultEncodingId.Identifier == structure.binary_id


def test_no_id_is_given_twice(model: dict[str, Any]) -> None:
    """A repeated id would overwrite a node without a word."""
    assert len({node.id for node in (*NODE_TYPES, *DATA_TYPES)}) == len((*NODE_TYPES, *DATA_TYPES))
    assert len(model) > 400
