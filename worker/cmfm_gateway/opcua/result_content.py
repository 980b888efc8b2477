"""Makes the standard's result of a stored one: ids, state, times, and the content as named values.

`Evaluation` is what a client acts on: OK, NotOK, NotDecidable or Undefined (OPC 40001-101). It is Undefined whenever
the result is stale or the line is not valid, whatever the recorded verdict says.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final

from asyncua import ua

from cmfm_gateway.opcua.machine import Job
from cmfm_gateway.opcua.structures import (
    ConfigurationIdDataType,
    JobIdDataType,
    MeasIdDataType,
    PartIdDataType,
    ProcessingTimesDataType,
    ProductIdDataType,
    RecipeIdExternalDataType,
    RecipeIdInternalDataType,
    ResultDataType,
    ResultIdDataType,
)
from cmfm_gateway.reasons import REASON_NUMBERS, VERDICT_NUMBERS
from cmfm_gateway.settings.model import GatewaySettings
from cmfm_gateway.store import StoredResult
from cmfm_protocol.wire.result import Region, Result
from cmfm_protocol.wire.verdict import Verdict

HASH_ALGORITHM: Final = "SHA-256"
NS_PER_MS: Final = 1e6


class Evaluation(IntEnum):
    """ResultEvaluationEnum of OPC 40001-101."""

    UNDEFINED = 0
    OK = 1
    NOT_OK = 2
    NOT_DECIDABLE = 3


EVALUATION_NAMES: Final = {
    Evaluation.UNDEFINED: "Undefined",
    Evaluation.OK: "OK",
    Evaluation.NOT_OK: "NotOK",
    Evaluation.NOT_DECIDABLE: "NotDecidable",
}

EVALUATIONS: Final = {
    Verdict.PASS: Evaluation.OK,
    Verdict.FAIL: Evaluation.NOT_OK,
    Verdict.UNDECIDED: Evaluation.NOT_DECIDABLE,
    Verdict.FAULT: Evaluation.UNDEFINED,
}


class ResultState(IntEnum):
    """Values of ResultStateDataType (OPC 40100-1, 12.8)."""

    UNDEFINED = 0
    COMPLETED = 1
    PROCESSING = 2
    ABORTED = 3
    FAILED = 4


@dataclass(frozen=True, slots=True)
class Announced:
    """A stored result as the server shows it. `valid`: it may be acted on. `job`: the job that it came in."""

    stored: StoredResult
    valid: bool
    job: Job | None

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation to act on."""
        return EVALUATIONS[self.stored.result.verdict] if self.valid else Evaluation.UNDEFINED


def may_act_on(stored: StoredResult, *, line_valid: bool) -> bool:
    """Tell whether a verdict may be acted on at a moment when the line is valid or not."""
    return line_valid and not stored.stale


def result_state(result: Result) -> ResultState:
    """Return Failed for a FAULT, else Completed."""
    return ResultState.FAILED if result.verdict is Verdict.FAULT else ResultState.COMPLETED


def configuration_id(settings: GatewaySettings) -> ConfigurationIdDataType:
    """Return the id of the gateway's settings: the hash tells whether two are the same."""
    content = json.dumps(settings.model_dump(mode="json"), sort_keys=True)
    digest = hashlib.sha256(content.encode()).digest()
    return ConfigurationIdDataType(Id="gateway", Hash=digest, HashAlgorithm=HASH_ALGORITHM)


def internal_recipe_id(name: str, model_sha: str = "") -> RecipeIdInternalDataType:
    """Return the id of a recipe at the worker: its name, and the hash of its networks if known."""
    try:
        digest = bytes.fromhex(model_sha) or None
    except ValueError:
        digest = None
    algorithm = None if digest is None else HASH_ALGORITHM
    return RecipeIdInternalDataType(Id=name, Hash=digest, HashAlgorithm=algorithm)


def result_structure(announced: Announced, configuration: ConfigurationIdDataType) -> ResultDataType:
    """Return the ResultDataType of a result."""
    result, job = announced.stored.result, announced.job
    return ResultDataType(
        ResultId=ResultIdDataType(str(announced.stored.number)),
        HasTransferableDataOnFile=False,
        IsPartial=False,
        IsSimulated=result.simulated,
        ResultState=int(result_state(result)),
        MeasId=MeasIdDataType(Id=job.meas_id) if job and job.meas_id else None,
        PartId=PartIdDataType(Id=result.part_id),
        ExternalRecipeId=RecipeIdExternalDataType(Id=result.recipe),
        InternalRecipeId=internal_recipe_id(result.recipe, result.model_sha),
        ProductId=ProductIdDataType(Id=job.product_id) if job and job.product_id else None,
        InternalConfigurationId=configuration,
        JobId=JobIdDataType(job.id if job else ""),
        CreationTime=utc(result.done_ns),
        ProcessingTimes=_times(result),
        ResultContent=[pair_variant(name, value) for name, value in content(announced)],
    )


def content(announced: Announced) -> Iterator[tuple[str, Any]]:
    """Yield names and variants of the content, in a fixed order. docs/plc.md has the table."""
    result = announced.stored.result
    kinds = ua.VariantType
    yield "Evaluation", ua.Variant(int(announced.evaluation), kinds.Int32)
    yield "EvaluationText", ua.Variant(EVALUATION_NAMES[announced.evaluation], kinds.String)
    yield "Valid", ua.Variant(announced.valid, kinds.Boolean)
    yield "Verdict", ua.Variant(str(result.verdict), kinds.String)
    yield "VerdictCode", ua.Variant(VERDICT_NUMBERS[result.verdict], kinds.UInt16)
    yield "Reason", ua.Variant(str(result.reason), kinds.String)
    yield "ReasonCode", ua.Variant(REASON_NUMBERS[result.reason], kinds.UInt16)
    yield "Detail", ua.Variant(result.detail, kinds.String)
    yield "Score", ua.Variant(_number(result.score), kinds.Double)
    yield "Threshold", ua.Variant(_number(result.threshold), kinds.Double)
    yield "Coverage", ua.Variant(_number(result.coverage), kinds.Double)
    yield "PeakPixel", ua.Variant(list(result.peak_px or ()), kinds.Int32, is_array=True)
    yield "PeakPosition", ua.Variant(list(result.peak_xyz_m or ()), kinds.Double, is_array=True)
    yield "LatencyMs", ua.Variant(result.latency_us / 1000, kinds.Double)
    yield "DeadlineMet", ua.Variant(result.deadline_met, kinds.Boolean)
    yield "Camera", ua.Variant(result.camera, kinds.String)
    yield "StreamId", ua.Variant(result.stream_uuid, kinds.String)
    yield "Sequence", ua.Variant(result.seq, kinds.UInt64)
    yield "BootId", ua.Variant(result.boot_id, kinds.String)
    yield "BootResultId", ua.Variant(result.result_id, kinds.UInt64)
    yield "TriggerTime", ua.Variant(utc(result.trigger_ns), kinds.DateTime)
    yield from _regions(result.regions)


def _regions(regions: Sequence[Region]) -> Iterator[tuple[str, Any]]:
    """Yield the regions as columns, an entry a region."""
    kinds = ua.VariantType

    def column(values: Iterator[Any], kind: Any) -> Any:
        return ua.Variant(list(values), kind, is_array=True)

    yield "RegionBoxes", column((px for region in regions for px in region.bbox), kinds.Int32)
    yield "RegionAreasPx", column((region.area_px for region in regions), kinds.Int32)
    yield "RegionAreasMm2", column((_number(region.area_mm2) for region in regions), kinds.Double)
    yield "RegionPeaks", column((region.peak for region in regions), kinds.Double)
    yield "RegionPeakPixels", column((px for region in regions for px in region.peak_px), kinds.Int32)
    yield "RegionModalities", column((region.modality for region in regions), kinds.String)


def pair_variant(name: str, value: Any) -> Any:
    """Return a named value as the KeyValuePair of the base namespace, inside a variant."""
    pair = ua.KeyValuePair()
    pair.Key = ua.QualifiedName(name, 0)
    pair.Value = value
    return ua.Variant(pair, ua.VariantType.ExtensionObject)


def utc(time_ns: int) -> datetime:
    """Return a time in nanoseconds as UTC; the last second that a datetime has for later ones."""
    try:
        return datetime.fromtimestamp(time_ns / 1e9, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.max.replace(tzinfo=UTC)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _times(result: Result) -> ProcessingTimesDataType:
    if result.received_ns is None:
        return ProcessingTimesDataType(StartTime=utc(result.trigger_ns), EndTime=utc(result.done_ns))
    return ProcessingTimesDataType(
        StartTime=utc(result.received_ns),
        EndTime=utc(result.done_ns),
        AcquisitionDuration=max(result.received_ns - result.trigger_ns, 0) / NS_PER_MS,
        ProcessingDuration=max(result.done_ns - result.received_ns, 0) / NS_PER_MS,
    )
