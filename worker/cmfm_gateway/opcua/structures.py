"""Structured values of the companion model, as the library encodes and decodes them.

Field names are those of the standard. Optional fields that are None are left out on the wire; `Encoding` is the mark
of which are there.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from asyncua import ua

from cmfm_gateway.opcua.model.tables import STRUCTURES_BY_NAME, TYPE_IDS

NO_TIME: Final = datetime(1601, 1, 1, tzinfo=UTC)
"""The null of OPC UA's DateTime."""


@dataclass(slots=True)
class BinaryIdBaseDataType:
    """An id with a version and a hash of what it names."""

    Encoding: ua.UInt32 = field(default=0, repr=False, compare=False)
    Id: ua.String = ""
    Version: ua.String | None = None
    Hash: ua.ByteString | None = None
    HashAlgorithm: ua.String | None = None
    Description: ua.LocalizedText | None = None


@dataclass(slots=True)
class ConfigurationIdDataType(BinaryIdBaseDataType):
    """A configuration."""


@dataclass(slots=True)
class RecipeIdExternalDataType(BinaryIdBaseDataType):
    """A recipe, by the name that the environment gives it."""


@dataclass(slots=True)
class RecipeIdInternalDataType(BinaryIdBaseDataType):
    """A recipe, by the name that the vision system gives it."""


@dataclass(slots=True)
class ConfigurationDataType:
    """A configuration and when it was changed."""

    Encoding: ua.UInt32 = field(default=0, repr=False, compare=False)
    HasTransferableDataOnFile: ua.Boolean | None = None
    ExternalId: ConfigurationIdDataType | None = None
    InternalId: ConfigurationIdDataType = field(default_factory=ConfigurationIdDataType)
    LastModified: ua.DateTime = field(default_factory=lambda: NO_TIME)


@dataclass(slots=True)
class JobIdDataType:
    """A job."""

    Id: ua.String = ""


@dataclass(slots=True)
class MeasIdDataType:
    """A measurement, as the client calls it."""

    Encoding: ua.UInt32 = field(default=0, repr=False, compare=False)
    Id: ua.String = ""
    Description: ua.LocalizedText | None = None


@dataclass(slots=True)
class PartIdDataType:
    """A part, as the line calls it."""

    Encoding: ua.UInt32 = field(default=0, repr=False, compare=False)
    Id: ua.String = ""
    Description: ua.LocalizedText | None = None


@dataclass(slots=True)
class ProductIdDataType:
    """A product."""

    Encoding: ua.UInt32 = field(default=0, repr=False, compare=False)
    Id: ua.String = ""
    Description: ua.LocalizedText | None = None


@dataclass(slots=True)
class ProcessingTimesDataType:
    """When the result was made; durations in milliseconds."""

    Encoding: ua.UInt32 = field(default=0, repr=False, compare=False)
    StartTime: ua.DateTime = field(default_factory=lambda: NO_TIME)
    EndTime: ua.DateTime = field(default_factory=lambda: NO_TIME)
    AcquisitionDuration: ua.Double | None = None
    ProcessingDuration: ua.Double | None = None


@dataclass(slots=True)
class ResultIdDataType:
    """A result."""

    Id: ua.String = ""


@dataclass(slots=True)
class ResultDataType:
    """A result with its content."""

    Encoding: ua.UInt32 = field(default=0, repr=False, compare=False)
    ResultId: ResultIdDataType = field(default_factory=ResultIdDataType)
    HasTransferableDataOnFile: ua.Boolean | None = None
    IsPartial: ua.Boolean = False
    IsSimulated: ua.Boolean | None = None
    ResultState: ua.Int32 = 0
    MeasId: MeasIdDataType | None = None
    PartId: PartIdDataType | None = None
    ExternalRecipeId: RecipeIdExternalDataType | None = None
    InternalRecipeId: RecipeIdInternalDataType = field(default_factory=RecipeIdInternalDataType)
    ProductId: ProductIdDataType | None = None
    ExternalConfigurationId: ConfigurationIdDataType | None = None
    InternalConfigurationId: ConfigurationIdDataType = field(default_factory=ConfigurationIdDataType)
    JobId: JobIdDataType = field(default_factory=JobIdDataType)
    CreationTime: ua.DateTime = field(default_factory=lambda: NO_TIME)
    ProcessingTimes: ProcessingTimesDataType | None = None
    ResultContent: list[ua.Variant] | None = None


@dataclass(slots=True)
class SystemStateDescriptionDataType:
    """Activity of the system in terms of production."""

    Encoding: ua.UInt32 = field(default=0, repr=False, compare=False)
    State: ua.Int32 = 0
    StateDescription: ua.String | None = None


CLASSES: Final[tuple[type, ...]] = (
    BinaryIdBaseDataType,
    ConfigurationIdDataType,
    RecipeIdExternalDataType,
    RecipeIdInternalDataType,
    ConfigurationDataType,
    JobIdDataType,
    MeasIdDataType,
    PartIdDataType,
    ProductIdDataType,
    ProcessingTimesDataType,
    ResultIdDataType,
    ResultDataType,
    SystemStateDescriptionDataType,
)

CLASSES_BY_NAME: Final[dict[str, type]] = {cls.__name__: cls for cls in CLASSES}


def register_structures(companion: int) -> None:
    """Tell the library how to encode and decode these classes; once a process and namespace index."""
    for cls in CLASSES:
        structure = STRUCTURES_BY_NAME[cls.__name__]
        encoding = ua.NodeId(structure.binary_id, companion)
        ua.register_extension_object(
            cls.__name__, encoding, cls, ua.NodeId(TYPE_IDS[cls.__name__], companion)
        )
