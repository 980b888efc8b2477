"""Plain variables of the newest verdict, for clients that read no structures: object `Line` in the gateway's namespace.

`Valid` and `Cause` always have the status Good. The others have a bad one while the line is not valid.
"""

from typing import Any, Final

from asyncua import ua

from cmfm_gateway.line_view import LineView
from cmfm_gateway.opcua.instance import LINE, Instances
from cmfm_gateway.opcua.model.kinds import Base
from cmfm_gateway.opcua.nodes import BAD_STATUS, Nodes
from cmfm_gateway.opcua.result_content import EVALUATION_NAMES, Announced, Evaluation
from cmfm_gateway.reasons import NOT_VALID, REASON_NUMBERS, VERDICT_NUMBERS

ALWAYS: Final = {"Valid": Base.BOOLEAN, "Cause": Base.STRING, "Lost": Base.UINT64}
"""State of the line."""

VERDICT: Final = {
    "ResultNumber": Base.UINT64,
    "PartId": Base.STRING,
    "Evaluation": Base.INT32,
    "EvaluationText": Base.STRING,
    "VerdictCode": Base.UINT16,
    "ReasonCode": Base.UINT16,
    "Reason": Base.STRING,
    "Score": Base.DOUBLE,
    "Threshold": Base.DOUBLE,
    "Recipe": Base.STRING,
    "Camera": Base.STRING,
    "LatencyMs": Base.DOUBLE,
}
"""Of the newest result."""


class LineVariables:
    """Writes the variables of `Line`."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    @staticmethod
    async def make(instances: Instances) -> None:
        """Make object and variables."""
        parent = await instances.add_object(
            LINE, Base.BASE_OBJECT_TYPE, ua.NodeId(ua.ObjectIds.ObjectsFolder), ua.ObjectIds.Organizes
        )
        for name, data_type in {**ALWAYS, **VERDICT}.items():
            await instances.add_plain(f"{LINE}.{name}", parent, data_type)

    async def write(self, view: LineView, newest: Announced | None) -> None:
        """Write all variables for a view and the newest result."""
        always = {"Valid": view.valid, "Cause": str(view.cause), "Lost": view.lost}
        for name, value in always.items():
            await self._nodes.write(f"{LINE}.{name}", value)
        status = BAD_STATUS[view.cause]
        if not status and (newest is None or not newest.valid):
            status = int(ua.StatusCodes.UncertainLastUsableValue)
        for name, value in _values(newest).items():
            await self._nodes.write(f"{LINE}.{name}", value, status)


def _values(newest: Announced | None) -> dict[str, Any]:
    """Return the values; those of no result say *not valid*."""
    if newest is None:
        defaults = {Base.STRING: "", Base.DOUBLE: float("nan")}
        values: dict[str, Any] = {name: defaults.get(kind, 0) for name, kind in VERDICT.items()}
        return values | {"EvaluationText": EVALUATION_NAMES[Evaluation.UNDEFINED]}
    result = newest.stored.result
    return {
        "ResultNumber": newest.stored.number,
        "PartId": result.part_id,
        "Evaluation": int(newest.evaluation),
        "EvaluationText": EVALUATION_NAMES[newest.evaluation],
        "VerdictCode": VERDICT_NUMBERS[result.verdict] if newest.valid else NOT_VALID,
        "ReasonCode": REASON_NUMBERS[result.reason],
        "Reason": str(result.reason),
        "Score": float("nan") if result.score is None else result.score,
        "Threshold": float("nan") if result.threshold is None else result.threshold,
        "Recipe": result.recipe,
        "Camera": result.camera,
        "LatencyMs": result.latency_us / 1000,
    }
