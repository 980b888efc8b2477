"""The vision system: its nodes, its machines, and what follows a change of the line. Runs in the server's loop."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

import structlog
from asyncua import ua

from cmfm_gateway.line_view import Cause, LineView
from cmfm_gateway.opcua import configuration, recipes, results
from cmfm_gateway.opcua.bridge import NAME, LineBridge
from cmfm_gateway.opcua.configuration import Configuration
from cmfm_gateway.opcua.control import Control, job_ids
from cmfm_gateway.opcua.instance import SYSTEM, Instances
from cmfm_gateway.opcua.jobs import JobLog
from cmfm_gateway.opcua.line_variables import LineVariables
from cmfm_gateway.opcua.machine import Machine, Outer, Step
from cmfm_gateway.opcua.nodes import Nodes, structure
from cmfm_gateway.opcua.recipes import Recipes
from cmfm_gateway.opcua.result_content import Announced, configuration_id
from cmfm_gateway.opcua.results import NewestResult, Results, event_fields
from cmfm_gateway.opcua.serving.methods import MethodEntry
from cmfm_gateway.opcua.serving.server import GuardedInternalServer
from cmfm_gateway.opcua.state_nodes import INNER, OUTER, StateNodes
from cmfm_gateway.opcua.structures import RecipeIdExternalDataType, ResultIdDataType
from cmfm_gateway.store import StoredResult

BATCH: Final = 100
"""Stored results that are announced between two looks at the line."""

LOST_SEVERITY: Final = 600
RESULT_SEVERITY: Final = 200

NOTIFIERS: Final = (SYSTEM, results.MANAGEMENT, recipes.MANAGEMENT, OUTER, INNER)
"""Objects that events can be subscribed at; all are also seen at the first one and at the Server object."""

READ_ONLY: Final = frozenset(
    {
        "GetResultById",
        "GetResultComponentsById",
        "GetResultListFiltered",
        "ReleaseResultHandle",
        "GetRecipeListFiltered",
        "ReleaseRecipeHandle",
        "GetConfigurationById",
        "GetConfigurationList",
        "ReleaseConfigurationHandle",
    }
)
"""Methods that users with the role `view` may call."""


class VisionSystem:
    """Everything that clients see, on a server whose types are built. `start` comes first."""

    def __init__(self, server: Any, instances: Instances, nodes: Nodes, line: LineBridge) -> None:
        section = line.settings.opcua
        self._instances, self._nodes, self._line = instances, nodes, line
        self._sessions: GuardedInternalServer = server.iserver
        self._methods = server.iserver.methods
        self._log = structlog.get_logger("opcua")
        self._machine = Machine(job_ids(), automatic=section.automatic)
        self._jobs = JobLog(section.jobs)
        self._results = Results(line, self._jobs)
        self._configuration = Configuration(configuration_id(line.settings))
        self._lock = asyncio.Lock()
        self._recipes = Recipes(line, nodes, self._methods, self._settled)
        self._states = StateNodes(nodes)
        self._newest = NewestResult(nodes)
        self._variables = LineVariables(nodes)
        self._control = Control(line, self._machine, self._recipes, self._take, self._settled)
        self._cursor = line.store.cursor(NAME)
        self._last: StoredResult | None = None
        self._lost = line.view.lost
        self._boot_id = ""
        self._started_s = time.monotonic()
        self._shown: LineView | None = None

    async def start(self) -> None:
        """Write every variable once and serve the methods."""
        self._recipes.on_prepared = self._recipe_prepared
        self._recipes.on_gone = self._recipes_gone
        self._bind(results.MANAGEMENT, self._result_methods())
        self._bind(recipes.MANAGEMENT, self._recipe_methods())
        self._bind(configuration.MANAGEMENT, self._configuration_methods())
        self._bind(OUTER, self._control.outer_methods())
        self._bind(INNER, self._control.inner_methods())
        await self._nodes.write(configuration.ACTIVE, self._configuration.active)
        await self._states.start(self._machine.position, self._line.view)
        newest = self._line.store.by_number(self._line.store.newest())
        if newest is not None:
            self._last = newest
            await self._newest.show(self._results.structure_of(self._results.announced(newest)))
        await self.refresh()

    @property
    def is_owned(self) -> bool:
        """True while a client that may control the line is logged in and the system is not Halted."""
        return self._sessions.is_controlled and self._machine.position.outer is not Outer.HALTED

    async def refresh(self) -> None:
        """Follow the line: machines, recipes, messages, then the results that are new, oldest first."""
        async with self._settled():
            pass

    @contextlib.asynccontextmanager
    async def _settled(self) -> AsyncIterator[None]:
        """Follow the line first, then keep everything as it is for the block."""
        async with self._lock:
            await self._follow()
            yield

    async def _follow(self) -> None:
        view = self._line.view
        await self._recipes.follow(view)
        await self._follow_machine(view)
        await self._tell_messages(view)
        is_new = False
        while stored := self._line.store.after(self._cursor, BATCH):
            is_new = True
            for each in stored:
                await self._take_result(each)
            self._cursor = stored[-1].number
            self._line.store.advance(NAME, self._cursor)
        if is_new or view != self._shown:
            await self._show(self._line.view)

    async def _take(self, steps: Sequence[Step], prepared: dict[str, Any] | None = None) -> None:
        """Show the steps of the machine, and note the job that results belong to from now on."""
        if not steps:
            return
        self._jobs.change(self._cursor + 1, self._machine.position.job)
        await self._states.take(steps, self._machine.position, self._line.view, prepared)

    async def _follow_machine(self, view: LineView) -> None:
        just_started = time.monotonic() - self._started_s < self._line.settings.worker.silence_s
        cause = Cause.STARTING if just_started and view.cause is Cause.SILENCE else view.cause
        has_recipes = bool(self._recipes.prepared)
        steps = self._machine.line(cause, has_recipes=has_recipes)
        await self._take(steps)

    async def _take_result(self, stored: StoredResult) -> None:
        self._recipes.saw_model(stored.result.recipe, stored.result.model_sha)
        announced = self._results.announced(stored)
        structure_value = self._results.structure_of(announced)
        self._last = stored
        await self._newest.show(structure_value)
        if announced.job is not None:
            await self._nodes.send(
                "ResultReadyEventType",
                f"result {stored.number}",
                event_fields(structure_value),
                source=results.MANAGEMENT,
                severity=RESULT_SEVERITY,
            )
        self._cursor = stored.number
        await self._take(self._machine.result_came(stored.result.part_id))

    async def _tell_messages(self, view: LineView) -> None:
        """Send an information event for results that are lost, and for a worker that was restarted."""
        if view.lost > self._lost:
            text = f"{view.lost - self._lost} results were lost; the worker's ledger has them"
            await self._nodes.send("VisionInformationEventType", text, {}, severity=LOST_SEVERITY)
        self._lost = view.lost
        boot_id = view.state.boot_id if view.state else ""
        if self._boot_id and boot_id and boot_id != self._boot_id:
            newest = ResultIdDataType(str(self._line.store.newest()))
            fields = {"ResultId": structure("ResultIdDataType", newest)}
            await self._nodes.send("VisionInformationEventType", "the worker was restarted", fields)
        self._boot_id = boot_id or self._boot_id

    async def _show(self, view: LineView) -> None:
        newest: Announced | None = self._results.announced(self._last) if self._last else None
        stale = newest is not None and newest.stored.stale
        await self._newest.write(view.cause, stale=stale)
        await self._variables.write(view, newest)
        await self._states.show_system_state(self._machine.position, view)
        self._shown = view

    async def _recipe_prepared(self, name: str) -> None:
        fields = {
            "ExternalId": structure("RecipeIdExternalDataType", RecipeIdExternalDataType(Id=name)),
            "InternalId": structure("RecipeIdInternalDataType", self._recipes.internal_id(name)),
        }
        steps = self._machine.recipe_prepared()
        await self._take(steps, fields)
        if not any("RecipePreparedEventType" in step.transition.effects for step in steps):
            await self._nodes.send("RecipePreparedEventType", name, fields, source=recipes.MANAGEMENT)

    async def _recipes_gone(self) -> None:
        await self._take(self._machine.recipes_gone())

    def _bind(self, path: str, functions: dict[str, Callable[..., Awaitable[Sequence[Any]]]]) -> None:
        for name, function in functions.items():
            bound = self._instances.methods[f"{path}.{name}"]
            control = name not in READ_ONLY
            entry = MethodEntry(name, function, bound.inputs, bound.outputs, control=control)
            self._methods.add(bound.object_id, bound.ids, entry)

    def _result_methods(self) -> dict[str, Callable[..., Awaitable[Sequence[Any]]]]:
        return {
            "GetResultById": self._results.by_id,
            "GetResultComponentsById": self._results.components_by_id,
            "GetResultListFiltered": self._results.list_filtered,
            "ReleaseResultHandle": self._results.release,
        }

    def _recipe_methods(self) -> dict[str, Callable[..., Awaitable[Sequence[Any]]]]:
        return {
            "GetRecipeListFiltered": self._recipes.list_filtered,
            "PrepareRecipe": self._recipes.prepare,
            "UnprepareRecipe": self._recipes.unprepare,
            "ReleaseRecipeHandle": self._recipes.release,
        }

    def _configuration_methods(self) -> dict[str, Callable[..., Awaitable[Sequence[Any]]]]:
        return {
            "GetConfigurationById": self._configuration.by_id,
            "GetConfigurationList": self._configuration.list,
            "ActivateConfiguration": self._configuration.activate,
            "ReleaseConfigurationHandle": self._configuration.release,
        }


async def make_nodes(instances: Instances) -> None:
    """Make the objects and variables of this server, and say which nodes give events."""
    objects = ua.NodeId(ua.ObjectIds.ObjectsFolder)
    system = await instances.add_object(SYSTEM, "VisionSystemType", objects, ua.ObjectIds.Organizes)
    await instances.add_newest(results.NEWEST)
    await LineVariables.make(instances)
    await instances.writer.refer(ua.NodeId(ua.ObjectIds.Server), ua.ObjectIds.HasNotifier, system)
