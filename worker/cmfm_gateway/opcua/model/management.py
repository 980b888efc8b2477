"""Objects with which a vision system manages results, recipes and configurations (OPC 40100-1)."""

from typing import Final

from cmfm_gateway.opcua.model.kinds import (
    ARRAY,
    MANDATORY,
    OPTIONAL,
    OPTIONAL_PLACEHOLDER,
    Argument,
    Arguments,
    Base,
    Method,
    NodeType,
    Object,
    Variable,
)
from cmfm_gateway.opcua.model.state_machines import ERROR

# A node a line.
# fmt: off
MANAGEMENT_TYPES: Final = (
    NodeType(1007, "ResultManagementType", base=Base.BASE_OBJECT_TYPE, members=(
        Method(7026, "GetResultById", MANDATORY,
               inputs=Arguments(6209, (
                   Argument("ResultId", "ResultIdDataType"), Argument("Timeout", Base.INT32),
               )),
               outputs=Arguments(6210, (
                   Argument("ResultHandle", "Handle"), Argument("Result", "ResultDataType"),
                   Argument("Error", Base.INT32),
               ))),
        Method(7007, "GetResultComponentsById", MANDATORY,
               inputs=Arguments(6024, (
                   Argument("ResultId", "ResultIdDataType"), Argument("Timeout", Base.INT32),
               )),
               outputs=Arguments(6025, (
                   Argument("HasTransferableDataOnFile", Base.BOOLEAN), Argument("ResultHandle", "Handle"),
                   Argument("IsPartial", Base.BOOLEAN), Argument("IsSimulated", Base.BOOLEAN),
                   Argument("ResultState", "ResultStateDataType"), Argument("MeasId", "MeasIdDataType"),
                   Argument("PartId", "PartIdDataType"),
                   Argument("ExternalRecipeId", "RecipeIdExternalDataType"),
                   Argument("InternalRecipeId", "RecipeIdInternalDataType"),
                   Argument("ProductId", "ProductIdDataType"),
                   Argument("ExternalConfigurationId", "ConfigurationIdDataType"),
                   Argument("InternalConfigurationId", "ConfigurationIdDataType"),
                   Argument("JobId", "JobIdDataType"), Argument("CreationTime", Base.UTC_TIME),
                   Argument("ProcessingTimes", "ProcessingTimesDataType"),
                   Argument("ResultContent", Base.BASE_DATA_TYPE, ARRAY), Argument("Error", Base.INT32),
               ))),
        Method(7089, "GetResultListFiltered", MANDATORY,
               inputs=Arguments(6213, (
                   Argument("ResultState", "ResultStateDataType"), Argument("MeasId", "MeasIdDataType"),
                   Argument("PartId", "PartIdDataType"),
                   Argument("ExternalRecipeId", "RecipeIdExternalDataType"),
                   Argument("InternalRecipeId", "RecipeIdInternalDataType"),
                   Argument("ExternalConfigurationId", "ConfigurationIdDataType"),
                   Argument("InternalConfigurationId", "ConfigurationIdDataType"),
                   Argument("ProductId", "ProductIdDataType"), Argument("JobId", "JobIdDataType"),
                   Argument("MaxResults", Base.UINT32), Argument("StartIndex", Base.UINT32),
                   Argument("Timeout", Base.INT32),
               )),
               outputs=Arguments(6214, (
                   Argument("IsComplete", Base.BOOLEAN), Argument("ResultCount", Base.UINT32),
                   Argument("ResultHandle", "Handle"), Argument("ResultList", "ResultDataType", ARRAY),
                   Argument("Error", Base.INT32),
               ))),
        Method(7090, "ReleaseResultHandle", OPTIONAL,
               inputs=Arguments(6217, (Argument("ResultHandle", "Handle"),)),
               outputs=Arguments(6218, ERROR)),
        Object(5245, "Results", OPTIONAL, kind="ResultFolderType"),
    )),
    NodeType(1004, "RecipeManagementType", base=Base.BASE_OBJECT_TYPE, members=(
        Method(7014, "GetRecipeListFiltered", MANDATORY,
               inputs=Arguments(6156, (
                   Argument("ExternalId", "RecipeIdExternalDataType"),
                   Argument("ProductId", "ProductIdDataType"),
                   Argument("IsPrepared", "TriStateBooleanDataType"), Argument("MaxResults", Base.UINT32),
                   Argument("StartIndex", Base.UINT32), Argument("Timeout", Base.INT32),
               )),
               outputs=Arguments(6157, (
                   Argument("IsComplete", Base.BOOLEAN), Argument("ResultCount", Base.UINT32),
                   Argument("RecipeHandle", "Handle"),
                   Argument("RecipeList", "RecipeIdInternalDataType", ARRAY), Argument("Error", Base.INT32),
               ))),
        Method(7015, "PrepareRecipe", MANDATORY,
               inputs=Arguments(6148, (
                   Argument("ExternalId", "RecipeIdExternalDataType"),
                   Argument("InternalIdIn", "RecipeIdInternalDataType"),
               )),
               outputs=Arguments(6149, (
                   Argument("InternalIdOut", "RecipeIdInternalDataType"),
                   Argument("IsCompleted", Base.BOOLEAN), Argument("Error", Base.INT32),
               ))),
        Object(5005, "Recipes", OPTIONAL, kind="RecipeFolderType"),
        Method(7056, "ReleaseRecipeHandle", OPTIONAL,
               inputs=Arguments(6160, (Argument("RecipeHandle", "Handle"),)),
               outputs=Arguments(6161, ERROR)),
        Method(7055, "UnprepareRecipe", MANDATORY,
               inputs=Arguments(6152, (
                   Argument("ExternalId", "RecipeIdExternalDataType"),
                   Argument("InternalIdIn", "RecipeIdInternalDataType"),
               )),
               outputs=Arguments(6153, (
                   Argument("InternalIdOut", "RecipeIdInternalDataType"), Argument("Error", Base.INT32),
               ))),
    )),
    NodeType(1002, "RecipeType", base=Base.BASE_OBJECT_TYPE, members=(
        Variable(6023, "ExternalId", "RecipeIdExternalDataType", OPTIONAL),
        Variable(6019, "InternalId", "RecipeIdInternalDataType", MANDATORY),
        Variable(6605, "IsPrepared", Base.BOOLEAN, MANDATORY),
        Variable(6017, "LastModified", Base.UTC_TIME, MANDATORY),
        Method(7064, "Prepare", MANDATORY,
               outputs=Arguments(6202, (
                   Argument("IsCompleted", Base.BOOLEAN), Argument("Error", Base.INT32),
               ))),
        Method(7065, "Unprepare", MANDATORY, outputs=Arguments(6205, ERROR)),
    )),
    NodeType(1006, "ConfigurationManagementType", base=Base.BASE_OBJECT_TYPE, members=(
        Method(7048, "ActivateConfiguration", MANDATORY,
               inputs=Arguments(6116, (Argument("InternalId", "ConfigurationIdDataType"),)),
               outputs=Arguments(6117, ERROR)),
        Variable(6132, "ActiveConfiguration", "ConfigurationDataType", MANDATORY, kind=Base.DATA_VARIABLE),
        Object(5010, "Configurations", OPTIONAL, kind="ConfigurationFolderType"),
        Method(7041, "GetConfigurationById", MANDATORY,
               inputs=Arguments(6100, (
                   Argument("InternalId", "ConfigurationIdDataType"), Argument("Timeout", Base.INT32),
               )),
               outputs=Arguments(6101, (
                   Argument("ConfigurationHandle", "Handle"),
                   Argument("Configuration", "ConfigurationDataType"), Argument("Error", Base.INT32),
               ))),
        Method(7045, "GetConfigurationList", MANDATORY,
               inputs=Arguments(6104, (
                   Argument("MaxResults", Base.UINT32), Argument("StartIndex", Base.UINT32),
                   Argument("Timeout", Base.INT32),
               )),
               outputs=Arguments(6105, (
                   Argument("IsComplete", Base.BOOLEAN), Argument("ResultCount", Base.UINT32),
                   Argument("ConfigurationHandle", "Handle"),
                   Argument("ConfigurationList", "ConfigurationDataType", ARRAY),
                   Argument("Error", Base.INT32),
               ))),
        Method(7046, "ReleaseConfigurationHandle", OPTIONAL,
               inputs=Arguments(6108, (Argument("ConfigurationHandle", "Handle"),)),
               outputs=Arguments(6109, ERROR)),
    )),
    NodeType(1008, "RecipeFolderType", base=Base.FOLDER_TYPE, members=(
        Object(5270, "<Recipe>", OPTIONAL_PLACEHOLDER, kind="RecipeType", members=(
            Variable(6608, "ExternalId", "RecipeIdExternalDataType", OPTIONAL),
            Variable(6609, "InternalId", "RecipeIdInternalDataType", MANDATORY),
            Variable(6610, "IsPrepared", Base.BOOLEAN, MANDATORY),
            Variable(6611, "LastModified", Base.UTC_TIME, MANDATORY),
            Method(7114, "Prepare", MANDATORY, outputs=Arguments(6615), declared_at=7064),
            Method(7121, "Unprepare", MANDATORY, outputs=Arguments(6620), declared_at=7065),
        )),
    )),
    NodeType(1011, "ConfigurationFolderType", base=Base.FOLDER_TYPE, members=(
        Variable(6120, "<Configuration>", "ConfigurationDataType", OPTIONAL_PLACEHOLDER, kind=Base.DATA_VARIABLE),
    )),
    NodeType(1016, "ResultFolderType", base=Base.FOLDER_TYPE, members=(
        Variable(6168, "<ResultVariable>", "ResultDataType", OPTIONAL_PLACEHOLDER, kind="ResultType", members=(
            Variable(6334, "CreationTime", Base.UTC_TIME, MANDATORY, kind=Base.DATA_VARIABLE),
            Variable(6335, "InternalConfigurationId", "ConfigurationIdDataType", MANDATORY, kind=Base.DATA_VARIABLE),
            Variable(6336, "InternalRecipeId", "RecipeIdInternalDataType", MANDATORY, kind=Base.DATA_VARIABLE),
            Variable(6356, "IsPartial", Base.BOOLEAN, MANDATORY, kind=Base.DATA_VARIABLE),
            Variable(6357, "JobId", "JobIdDataType", MANDATORY, kind=Base.DATA_VARIABLE),
            Variable(6379, "ResultId", "ResultIdDataType", MANDATORY, kind=Base.DATA_VARIABLE),
            Variable(6548, "ResultState", "ResultStateDataType", MANDATORY, kind=Base.DATA_VARIABLE),
        )),
    )),
)
"""Object types with methods, and the folders below them."""
# fmt: on
