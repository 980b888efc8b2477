"""Data types of the companion model (OPC 40100-1, data types)."""

from typing import Final

from cmfm_gateway.opcua.model.kinds import ARRAY, Base, Enumeration, Field, SimpleType, Structure

SIMPLE_TYPES: Final = (
    SimpleType(3009, "ResultStateDataType", Base.INT32),
    SimpleType(3017, "TrimmedString", Base.STRING),
    SimpleType(3018, "Handle", Base.UINT32),
)

ENUMERATIONS: Final = (
    Enumeration(
        3023,
        "SystemStateDataType",
        6032,
        (("PRD_1", 1), ("SBY_2", 2), ("ENG_3", 3), ("SDT_4", 4), ("UDT_5", 5), ("NST_6", 6)),
    ),
    Enumeration(3014, "TriStateBooleanDataType", 6367, (("FALSE_0", 0), ("TRUE_1", 1), ("DONTCARE_2", 2))),
)

_DESCRIBED: Final = (Field("Id", "TrimmedString"), Field("Description", Base.LOCALIZED_TEXT, optional=True))

STRUCTURES: Final = (
    Structure(
        3019,
        "BinaryIdBaseDataType",
        (
            Field("Id", "TrimmedString"),
            Field("Version", "TrimmedString", optional=True),
            Field("Hash", Base.BYTE_STRING, optional=True),
            Field("HashAlgorithm", Base.STRING, optional=True),
            Field("Description", Base.LOCALIZED_TEXT, optional=True),
        ),
        5027,
        5271,
        abstract=True,
    ),
    Structure(3008, "ConfigurationIdDataType", (), 5090, 5091, base="BinaryIdBaseDataType"),
    Structure(3002, "RecipeIdExternalDataType", (), 5002, 5003, base="BinaryIdBaseDataType"),
    Structure(3013, "RecipeIdInternalDataType", (), 5268, 5269, base="BinaryIdBaseDataType"),
    Structure(
        3007,
        "ConfigurationDataType",
        (
            Field("HasTransferableDataOnFile", Base.BOOLEAN, optional=True),
            Field("ExternalId", "ConfigurationIdDataType", optional=True),
            Field("InternalId", "ConfigurationIdDataType"),
            Field("LastModified", Base.UTC_TIME),
        ),
        5088,
        5089,
    ),
    Structure(3016, "JobIdDataType", (Field("Id", "TrimmedString"),), 5008, 5026),
    Structure(3015, "MeasIdDataType", _DESCRIBED, 5006, 5007),
    Structure(3004, "PartIdDataType", _DESCRIBED, 5013, 5014),
    Structure(3003, "ProductIdDataType", _DESCRIBED, 5224, 5225),
    Structure(
        3005,
        "ProcessingTimesDataType",
        (
            Field("StartTime", Base.UTC_TIME),
            Field("EndTime", Base.UTC_TIME),
            Field("AcquisitionDuration", Base.DURATION, optional=True),
            Field("ProcessingDuration", Base.DURATION, optional=True),
        ),
        5016,
        5017,
    ),
    Structure(3021, "ResultIdDataType", (Field("Id", "TrimmedString"),), 5274, 5275),
    Structure(
        3006,
        "ResultDataType",
        (
            Field("ResultId", "ResultIdDataType"),
            Field("HasTransferableDataOnFile", Base.BOOLEAN, optional=True),
            Field("IsPartial", Base.BOOLEAN),
            Field("IsSimulated", Base.BOOLEAN, optional=True),
            Field("ResultState", "ResultStateDataType"),
            Field("MeasId", "MeasIdDataType", optional=True),
            Field("PartId", "PartIdDataType", optional=True),
            Field("ExternalRecipeId", "RecipeIdExternalDataType", optional=True),
            Field("InternalRecipeId", "RecipeIdInternalDataType"),
            Field("ProductId", "ProductIdDataType", optional=True),
            Field("ExternalConfigurationId", "ConfigurationIdDataType", optional=True),
            Field("InternalConfigurationId", "ConfigurationIdDataType"),
            Field("JobId", "JobIdDataType"),
            Field("CreationTime", Base.UTC_TIME),
            Field("ProcessingTimes", "ProcessingTimesDataType", optional=True),
            Field("ResultContent", Base.BASE_DATA_TYPE, optional=True, rank=ARRAY),
        ),
        5018,
        5019,
    ),
    Structure(
        3024,
        "SystemStateDescriptionDataType",
        (Field("State", "SystemStateDataType"), Field("StateDescription", "TrimmedString", optional=True)),
        5278,
        5279,
    ),
)
"""Each after the types that its fields and its base need."""
