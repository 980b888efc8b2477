"""DataTypeDefinition attributes of the model's data types.

A type without fields of its own has the definition of its base under its own encoding. Without it a client cannot
decode what it reads.
"""

from typing import Final

from asyncua import ua

from cmfm_gateway.opcua.model.kinds import Enumeration, Field, Structure
from cmfm_gateway.opcua.model.tables import TYPE_IDS, fields_of

NO_LENGTH_LIMIT: Final = 0


def structure_definition(structure: Structure, companion: int) -> ua.StructureDefinition:
    """Return the definition of a structure: the fields of its bases, then its own.

    Its BaseDataType is always Structure. node-opcua loads types in parallel: where the definition names a base that it
    has not loaded yet, it decodes the fields of the base twice. All fields are listed here, so nobody needs the base.
    """
    fields = fields_of(structure)
    optional = any(field.optional for field in fields)
    definition = ua.StructureDefinition()
    definition.DefaultEncodingId = ua.NodeId(structure.binary_id, companion)
    definition.BaseDataType = ua.NodeId(ua.ObjectIds.Structure)
    definition.StructureType = (
        ua.StructureType.StructureWithOptionalFields if optional else ua.StructureType.Structure
    )
    definition.Fields = [_field(field, companion) for field in fields]
    return definition


def enumeration_definition(enumeration: Enumeration) -> ua.EnumDefinition:
    """Return the definition of an enumeration."""
    fields = []
    for name, value in enumeration.values:
        field = ua.EnumField()
        field.Name, field.Value = name, ua.Int64(value)
        field.DisplayName = ua.LocalizedText(name)
        fields.append(field)
    return ua.EnumDefinition(Fields=fields)


def _field(field: Field, companion: int) -> ua.StructureField:
    written = ua.StructureField()
    written.Name = field.name
    written.DataType = _type_id(field.data_type, companion)
    written.ValueRank = ua.Int32(field.rank)
    written.ArrayDimensions = [ua.UInt32(NO_LENGTH_LIMIT)] if field.rank > 0 else []
    written.IsOptional = field.optional
    return written


def _type_id(name: int | str, companion: int) -> ua.NodeId:
    return ua.NodeId(TYPE_IDS[name], companion) if isinstance(name, str) else ua.NodeId(int(name))
