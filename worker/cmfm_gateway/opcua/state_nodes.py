"""Shows the state machines: current states, last transitions, the system's state, and the events of each transition."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from asyncua import ua

from cmfm_gateway.line_view import LineView
from cmfm_gateway.opcua.instance import SYSTEM
from cmfm_gateway.opcua.machine import Inner, Outer, Position, Step
from cmfm_gateway.opcua.model.tables import INNER_STATES, STATES
from cmfm_gateway.opcua.nodes import Nodes, localized, structure
from cmfm_gateway.opcua.structures import JobIdDataType, SystemStateDescriptionDataType

OUTER: Final = f"{SYSTEM}.VisionStateMachine"
INNER: Final = f"{OUTER}.AutomaticModeStateMachine"
SYSTEM_STATE: Final = f"{SYSTEM}.SystemState"

NOT_ACTIVE: Final = int(ua.StatusCodes.BadStateNotActive)
"""Status of the inner machine's state outside Operational (OPC 10000-5, B.4)."""

TRANSITION_EVENTS: Final = frozenset({"StateChangedEventType", "ErrorEventType", "ErrorResolvedEventType"})

ERROR_SEVERITY: Final = 800
NORMAL_SEVERITY: Final = 200

PRODUCTION, STANDBY, SCHEDULED_DOWN, UNSCHEDULED_DOWN = 1, 2, 4, 5
"""Values of SystemStateDataType (SEMI E10)."""


class StateNodes:
    """Writes the nodes of both machines after each step."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    async def start(self, position: Position, view: LineView) -> None:
        """Write every state variable once: without it their values are null."""
        await self._show_current(position)
        for machine in (OUTER, INNER):
            await self._show_transition(machine, None)
        await self.show_system_state(position, view)

    async def take(
        self,
        steps: Sequence[Step],
        position: Position,
        view: LineView,
        prepared: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the state and send the events of the steps that led to it.

        `prepared` has the fields of RecipePreparedEventType where a step is due to a recipe.
        """
        if not steps:
            return
        await self._show_current(position)
        for step in steps:
            machine = INNER if step.transition.source in INNER_STATES else OUTER
            await self._show_transition(machine, step)
        await self.show_system_state(position, view)
        for step in steps:
            await self._send(step, view, prepared or {})

    async def show_system_state(self, position: Position, view: LineView) -> None:
        """Write SystemState, the state in terms of production."""
        text = str(view.cause) if not view.valid else str(position.inner or position.outer)
        value = SystemStateDescriptionDataType(State=ua.Int32(_system_state(position)), StateDescription=text)
        await self._nodes.write(SYSTEM_STATE, value)

    async def _show_current(self, position: Position) -> None:
        await self._show_state(OUTER, position.outer)
        await self._show_state(INNER, position.inner)

    async def _show_state(self, machine: str, name: Outer | Inner | None) -> None:
        path = f"{machine}.CurrentState"
        state = STATES[name] if name is not None else None
        status = 0 if state is not None else NOT_ACTIVE
        node_id = self._nodes.instances.writer.own(state.id) if state else ua.NodeId()
        await self._nodes.write(path, ua.LocalizedText(state.name if state else ""), status)
        await self._nodes.write(f"{path}.Id", node_id, status)
        await self._nodes.write(f"{path}.Number", state.number if state else 0, status)

    async def _show_transition(self, machine: str, step: Step | None) -> None:
        path = f"{machine}.LastTransition"
        status = 0 if step is not None else int(ua.StatusCodes.UncertainInitialValue)
        node_id = self._nodes.instances.writer.own(step.transition.id) if step else ua.NodeId()
        await self._nodes.write(path, ua.LocalizedText(step.transition.name if step else ""), status)
        await self._nodes.write(f"{path}.Id", node_id, status)
        await self._nodes.write(f"{path}.Number", step.transition.number if step else 0, status)
        await self._nodes.write(f"{path}.TransitionTime", datetime.now(UTC), status)

    async def _send(self, step: Step, view: LineView, prepared: Mapping[str, Any]) -> None:
        transition = step.transition
        effects = list(transition.effects)
        if transition.target == Outer.ERROR and "ErrorEventType" not in effects:
            effects.append("ErrorEventType")
        for effect in effects:
            message, severity = f"{transition.source} to {transition.target}", NORMAL_SEVERITY
            fields: Mapping[str, Any] = {"JobId": structure("JobIdDataType", JobIdDataType(step.job_id))}
            if effect in TRANSITION_EVENTS:
                fields = self._transition_fields(step)
            elif effect == "RecipePreparedEventType":
                fields = prepared
            if effect == "ErrorEventType":
                message, severity = f"the line is not valid: {view.cause}", ERROR_SEVERITY
            machine = INNER if transition.source in INNER_STATES else OUTER
            await self._nodes.send(effect, message, fields, source=machine, severity=severity)

    def _transition_fields(self, step: Step) -> Mapping[str, Any]:
        """Return the fields of TransitionEventType (OPC 10000-5, B.4.16)."""
        own, kinds = self._nodes.instances.writer.own, ua.VariantType
        fields: dict[str, Any] = {}
        for name, entry in (
            ("Transition", step.transition),
            ("FromState", STATES[step.transition.source]),
            ("ToState", STATES[step.transition.target]),
        ):
            fields[name] = localized(entry.name)
            fields[f"{name}/Id"] = ua.Variant(own(entry.id), kinds.NodeId)
            fields[f"{name}/Number"] = ua.Variant(entry.number, kinds.UInt32)
        return fields


def _system_state(position: Position) -> int:
    if position.outer is Outer.ERROR:
        return UNSCHEDULED_DOWN
    if position.outer is Outer.HALTED:
        return SCHEDULED_DOWN
    return PRODUCTION if position.inner in {Inner.SINGLE, Inner.CONTINUOUS} else STANDBY
