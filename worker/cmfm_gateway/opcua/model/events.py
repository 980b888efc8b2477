"""Event and condition types of a vision system (OPC 40100-1, events and conditions)."""

from typing import Final

from cmfm_gateway.opcua.model.kinds import ARRAY, MANDATORY, OPTIONAL, Base, NodeType, Variable

# A node a line.
# fmt: off
EVENT_TYPES: Final = (
    NodeType(1015, "VisionEventType", base=Base.BASE_EVENT_TYPE, abstract=True, members=(
        Variable(6193, "CausePath", Base.STRING, OPTIONAL),
        Variable(6550, "ExternalConfigurationId", "ConfigurationIdDataType", OPTIONAL),
        Variable(6195, "ExternalRecipeId", "RecipeIdExternalDataType", OPTIONAL),
        Variable(6200, "InternalConfigurationId", "ConfigurationIdDataType", OPTIONAL),
        Variable(6198, "InternalRecipeId", "RecipeIdInternalDataType", OPTIONAL),
        Variable(6203, "JobId", "JobIdDataType", OPTIONAL),
        Variable(6194, "MeasId", "MeasIdDataType", OPTIONAL),
        Variable(6201, "PartId", "PartIdDataType", OPTIONAL),
        Variable(6199, "ProductId", "ProductIdDataType", OPTIONAL),
        Variable(6204, "ResultId", "ResultIdDataType", OPTIONAL),
    )),
    NodeType(1037, "VisionDiagnosticInfoEventType", base="VisionEventType"),
    NodeType(1038, "VisionInformationEventType", base="VisionEventType"),
    NodeType(1033, "VisionConditionType", base=Base.ACKNOWLEDGEABLE_CONDITION_TYPE, abstract=True, members=(
        Variable(6206, "BlockReaction", Base.BOOLEAN, MANDATORY),
        Variable(6207, "CausePath", Base.STRING, OPTIONAL),
        Variable(6208, "ErrorCode", Base.UINT64, OPTIONAL),
        Variable(6283, "ErrorString", Base.STRING, OPTIONAL),
        Variable(6347, "ExternalConfigurationId", "ConfigurationIdDataType", OPTIONAL),
        Variable(6346, "ExternalRecipeId", "RecipeIdExternalDataType", OPTIONAL),
        Variable(6192, "InternalConfigurationId", "ConfigurationIdDataType", OPTIONAL),
        Variable(6321, "InternalRecipeId", "RecipeIdInternalDataType", OPTIONAL),
        Variable(6343, "JobId", "JobIdDataType", OPTIONAL),
        Variable(6344, "MeasId", "MeasIdDataType", OPTIONAL),
        Variable(6307, "PartId", "PartIdDataType", OPTIONAL),
        Variable(6323, "ProductId", "ProductIdDataType", OPTIONAL),
        Variable(6345, "ResultId", "ResultIdDataType", OPTIONAL),
        Variable(6293, "StopReaction", Base.BOOLEAN, MANDATORY),
    )),
    NodeType(1034, "VisionWarningConditionType", base="VisionConditionType"),
    NodeType(1035, "VisionErrorConditionType", base="VisionConditionType"),
    NodeType(1036, "VisionPersistentErrorConditionType", base="VisionConditionType"),
    NodeType(1018, "StateChangedEventType", base=Base.TRANSITION_EVENT_TYPE),
    NodeType(1019, "ErrorEventType", base=Base.TRANSITION_EVENT_TYPE),
    NodeType(1020, "ErrorResolvedEventType", base=Base.TRANSITION_EVENT_TYPE),
    NodeType(1013, "JobStartedEventType", base=Base.BASE_EVENT_TYPE, members=(
        Variable(6141, "JobId", "JobIdDataType", MANDATORY),
    )),
    NodeType(1023, "ReadyEventType", base=Base.BASE_EVENT_TYPE, members=(
        Variable(6294, "JobId", "JobIdDataType", MANDATORY),
    )),
    NodeType(1022, "RecipePreparedEventType", base=Base.BASE_EVENT_TYPE, members=(
        Variable(6291, "ExternalId", "RecipeIdExternalDataType", OPTIONAL),
        Variable(6140, "InternalId", "RecipeIdInternalDataType", MANDATORY),
        Variable(6292, "ProductId", "ProductIdDataType", OPTIONAL),
    )),
    NodeType(1024, "ResultReadyEventType", base=Base.BASE_EVENT_TYPE, members=(
        Variable(6303, "CreationTime", Base.UTC_TIME, MANDATORY),
        Variable(6045, "ExternalConfigurationId", "ConfigurationIdDataType", OPTIONAL),
        Variable(6301, "ExternalRecipeId", "RecipeIdExternalDataType", OPTIONAL),
        Variable(6142, "InternalConfigurationId", "ConfigurationIdDataType", MANDATORY),
        Variable(6302, "InternalRecipeId", "RecipeIdInternalDataType", MANDATORY),
        Variable(6296, "IsPartial", Base.BOOLEAN, MANDATORY),
        Variable(6297, "IsSimulated", Base.BOOLEAN, OPTIONAL),
        Variable(6300, "JobId", "JobIdDataType", MANDATORY),
        Variable(6299, "MeasId", "MeasIdDataType", OPTIONAL),
        Variable(6304, "PartId", "PartIdDataType", OPTIONAL),
        Variable(6305, "ProcessingTimes", "ProcessingTimesDataType", OPTIONAL),
        Variable(6143, "ProductId", "ProductIdDataType", OPTIONAL),
        Variable(6306, "ResultContent", Base.BASE_DATA_TYPE, OPTIONAL, ARRAY),
        Variable(6295, "ResultId", "ResultIdDataType", MANDATORY),
        Variable(6298, "ResultState", "ResultStateDataType", MANDATORY),
    )),
    NodeType(1025, "AcquisitionDoneEventType", base=Base.BASE_EVENT_TYPE, members=(
        Variable(6308, "JobId", "JobIdDataType", MANDATORY),
    )),
)
"""Each after the type that it is derived from."""
# fmt: on
