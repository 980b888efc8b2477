"""ResultManagement: the methods that give results by id and as filtered lists, and the newest result as a variable."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from asyncua import ua

from cmfm_gateway.opcua.bridge import LineBridge
from cmfm_gateway.opcua.errors import ErrorCode
from cmfm_gateway.opcua.handles import NO_HANDLE, Handles
from cmfm_gateway.opcua.instance import SYSTEM
from cmfm_gateway.opcua.jobs import JobLog
from cmfm_gateway.opcua.model.tables import STRUCTURES_BY_NAME, fields_of
from cmfm_gateway.opcua.nodes import BAD_STATUS, Nodes
from cmfm_gateway.opcua.result_content import (
    Announced,
    configuration_id,
    may_act_on,
    result_state,
    result_structure,
)
from cmfm_gateway.opcua.serving.methods import variant
from cmfm_gateway.opcua.structures import ResultDataType
from cmfm_gateway.store import StoredResult

MANAGEMENT: Final = f"{SYSTEM}.ResultManagement"
NEWEST: Final = f"{MANAGEMENT}.Results.Newest"

MAX_RESULTS: Final = 100
"""Results in one reply: some 300 kB."""

SEARCH_S: Final = 5.0
"""Time that a filtered search may take; then the list is not complete."""

SEARCH_STEP: Final = 100
"""Stored results that are looked at between two turns of the loop."""

FIELDS: Final = fields_of(STRUCTURES_BY_NAME["ResultDataType"])

COMPONENTS: Final = (
    "HasTransferableDataOnFile",
    "IsPartial",
    "IsSimulated",
    "ResultState",
    "MeasId",
    "PartId",
    "ExternalRecipeId",
    "InternalRecipeId",
    "ProductId",
    "ExternalConfigurationId",
    "InternalConfigurationId",
    "JobId",
    "CreationTime",
    "ProcessingTimes",
    "ResultContent",
)
"""Outputs of GetResultComponentsById but the handle and the error, in order."""


@dataclass(frozen=True, slots=True)
class Filter:
    """The filter of GetResultListFiltered; an empty text and state 0 take everything."""

    state: int
    meas_id: str
    part_id: str
    recipes: tuple[str, ...]
    configurations: tuple[str, ...]
    product_id: str
    job_id: str

    def takes(self, announced: Announced, configuration: str) -> bool:
        """Tell whether a result is asked for."""
        result, job = announced.stored.result, announced.job
        return (
            self.state in {0, result_state(result)}
            and self.part_id in {"", result.part_id}
            and all(recipe == result.recipe for recipe in self.recipes)
            and all(asked == configuration for asked in self.configurations)
            and self.meas_id in {"", job.meas_id if job else ""}
            and self.product_id in {"", job.product_id if job else ""}
            and self.job_id in {"", job.id if job else ""}
        )


class Results:
    """Stored results in the form of the standard."""

    def __init__(self, line: LineBridge, jobs: JobLog) -> None:
        self._line = line
        self._jobs = jobs
        self._handles = Handles()
        self._configuration = configuration_id(line.settings)

    def announced(self, stored: StoredResult) -> Announced:
        """Return a result with its job, and whether it may be acted on now."""
        valid = may_act_on(stored, line_valid=self._line.view.valid)
        return Announced(stored, valid, self._jobs.job_of(stored.number))

    def structure_of(self, announced: Announced) -> ResultDataType:
        """Return the standard's structure of a result."""
        return result_structure(announced, self._configuration)

    async def by_id(self, result_id: Any, _timeout: int) -> Sequence[Any]:
        """GetResultById."""
        found = self._find(result_id)
        if found is None:
            return NO_HANDLE, ResultDataType(), int(ErrorCode.UNKNOWN)
        return self._handles.new(), self.structure_of(found), int(ErrorCode.OK)

    async def components_by_id(self, result_id: Any, _timeout: int) -> Sequence[Any]:
        """GetResultComponentsById."""
        found = self._find(result_id)
        shown = ResultDataType() if found is None else self.structure_of(found)
        first, *rest = (getattr(shown, name) for name in COMPONENTS)
        handle = NO_HANDLE if found is None else self._handles.new()
        error = ErrorCode.UNKNOWN if found is None else ErrorCode.OK
        return first, handle, *rest, int(error)

    async def list_filtered(
        self,
        state: int | None,
        meas_id: Any,
        part_id: Any,
        external_recipe: Any,
        internal_recipe: Any,
        external_configuration: Any,
        internal_configuration: Any,
        product_id: Any,
        job_id: Any,
        max_results: int | None,
        start_index: int | None,
        _timeout: int,
    ) -> Sequence[Any]:
        """GetResultListFiltered: results with a number above `start_index`, oldest first.

        Ask again from the last number, until the list is complete. `max_results` 0 means as many as fit a reply.
        """
        wanted = Filter(
            state=state or 0,
            meas_id=text_of(meas_id),
            part_id=text_of(part_id),
            recipes=_given(external_recipe, internal_recipe),
            configurations=_given(external_configuration, internal_configuration),
            product_id=text_of(product_id),
            job_id=text_of(job_id),
        )
        most = min(max_results or MAX_RESULTS, MAX_RESULTS)
        found, complete = await self._search(wanted, start_index or 0, most)
        listed = [self.structure_of(announced) for announced in found]
        return complete, len(listed), self._handles.new(), listed, int(ErrorCode.OK)

    async def release(self, handle: int | None) -> Sequence[Any]:
        """ReleaseResultHandle."""
        return (int(self._handles.release(handle)),)

    async def _search(self, wanted: Filter, after: int, most: int) -> tuple[list[Announced], bool]:
        found: list[Announced] = []
        ends_s = time.monotonic() + SEARCH_S
        while page := self._line.store.after(after, SEARCH_STEP):
            for stored in page:
                announced = self.announced(stored)
                if wanted.takes(announced, self._configuration.Id):
                    if len(found) == most:
                        return found, False
                    found.append(announced)
            after = page[-1].number
            if time.monotonic() > ends_s:
                return found, False
            await asyncio.sleep(0)
        return found, True

    def _find(self, result_id: Any) -> Announced | None:
        try:
            stored = self._line.store.by_number(int(text_of(result_id)))
        except (ValueError, OverflowError):
            return None
        return None if stored is None else self.announced(stored)


class NewestResult:
    """The variable of the newest result, with its components. Its status says when the line is not valid."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._shown = ResultDataType()

    async def show(self, structure: ResultDataType) -> None:
        """Show another result."""
        self._shown = structure

    async def write(self, cause: Any, *, stale: bool) -> None:
        """Write variable and components with the status of the line."""
        status = BAD_STATUS[cause]
        if not status and (stale or not self._shown.ResultId.Id):
            status = int(ua.StatusCodes.UncertainLastUsableValue)
        await self._nodes.write(NEWEST, self._shown, status, self._shown.CreationTime)
        for field in FIELDS:
            value = getattr(self._shown, field.name)
            await self._nodes.write(f"{NEWEST}.{field.name}", value, status, self._shown.CreationTime)


def event_fields(structure: ResultDataType) -> dict[str, Any]:
    """Return the fields of ResultReadyEventType."""
    return {
        field.name: ua.Variant() if value is None else variant(value, field)
        for field, value in _valued(structure)
    }


def _valued(structure: ResultDataType) -> Iterator[tuple[Any, Any]]:
    known = {each.name for each in fields(structure)}
    for field in FIELDS:
        if field.name in known:
            yield field, getattr(structure, field.name)


def text_of(identifier: Any) -> str:
    """Return the Id of a structured id, empty for none."""
    return str(getattr(identifier, "Id", None) or "").strip()


def _given(*identifiers: Any) -> tuple[str, ...]:
    return tuple(text for text in map(text_of, identifiers) if text)
