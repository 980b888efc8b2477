"""RecipeManagement: recipes that the worker has loaded, and which of them clients may use for jobs.

Preparing loads the recipe at the worker. Unpreparing takes it back here: the worker keeps it loaded, and parts whose
frames name it are inspected by it; jobs cannot name it any more.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, Final

from asyncua import ua

from cmfm_gateway.line_view import LineView
from cmfm_gateway.opcua.bridge import LineBridge
from cmfm_gateway.opcua.errors import ErrorCode, MethodError
from cmfm_gateway.opcua.handles import Handles
from cmfm_gateway.opcua.instance import SYSTEM
from cmfm_gateway.opcua.machine import NotNowError
from cmfm_gateway.opcua.nodes import Nodes
from cmfm_gateway.opcua.result_content import internal_recipe_id
from cmfm_gateway.opcua.results import text_of
from cmfm_gateway.opcua.serving.methods import MethodEntry, MethodTable
from cmfm_gateway.opcua.structures import RecipeIdExternalDataType, RecipeIdInternalDataType

MANAGEMENT: Final = f"{SYSTEM}.RecipeManagement"
FOLDER: Final = f"{MANAGEMENT}.Recipes"

MAX_LISTED: Final = 1024
DONT_CARE: Final = 2
"""TriStateBooleanDataType."""

Prepared = Callable[[str], Awaitable[None]]
"""Called after a recipe was prepared, with its name."""


class Recipes:
    """The recipes and their nodes. `on_prepared` and `on_gone` move the state machine; the latter may refuse. `settled`
    is entered for each change by a client (`Control`)."""

    def __init__(
        self,
        line: LineBridge,
        nodes: Nodes,
        methods: MethodTable,
        settled: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        self._line = line
        self._settled = settled
        self._nodes = nodes
        self._methods = methods
        self._handles = Handles()
        self._loaded: dict[str, datetime] = {}
        self._taken_back: set[str] = set()
        self._hashes: dict[str, str] = {}
        self.on_prepared: Prepared | None = None
        self.on_gone: Callable[[], Awaitable[None]] | None = None

    @property
    def prepared(self) -> list[str]:
        """Names of the recipes that jobs may use."""
        return sorted(set(self._loaded) - self._taken_back)

    async def follow(self, view: LineView) -> None:
        """Make and remove nodes so that they are those of the worker's recipes."""
        if view.state is None or set(view.state.recipes) == set(self._loaded):
            return
        now = set(view.state.recipes)
        for name in sorted(set(self._loaded) - now):
            del self._loaded[name]
            self._taken_back.discard(name)
            await self._remove_nodes(name)
        for name in sorted(now - set(self._loaded)):
            self._loaded[name] = datetime.now(UTC)
            await self._add_nodes(name)

    def saw_model(self, name: str, model_sha: str) -> None:
        """Note the hash of a recipe's networks from a result."""
        if model_sha:
            self._hashes[name] = model_sha

    def internal_id(self, name: str) -> RecipeIdInternalDataType:
        """Return the id with the hash of the networks, once a result has told it."""
        return internal_recipe_id(name, self._hashes.get(name, ""))

    async def list_filtered(
        self,
        external: Any,
        product: Any,
        is_prepared: int | None,
        max_results: int | None,
        start_index: int | None,
        _timeout: int,
    ) -> Sequence[Any]:
        """GetRecipeListFiltered. There are no products here: a product id takes nothing."""
        wanted = text_of(external)
        names = [name for name in sorted(self._loaded) if wanted in {"", name} and not text_of(product)]
        if is_prepared not in {None, DONT_CARE}:
            names = [name for name in names if (name not in self._taken_back) is bool(is_prepared)]
        start = start_index or 0
        page = names[start : start + min(max_results or MAX_LISTED, MAX_LISTED)]
        complete = start + len(page) >= len(names)
        return complete, len(page), self._handles.new(), list(map(self.internal_id, page)), int(ErrorCode.OK)

    async def prepare(self, external: Any, internal: Any) -> Sequence[Any]:
        """PrepareRecipe: returns when the worker uses it."""
        name = text_of(external) or text_of(internal)
        error = await self._prepare(name)
        shown = RecipeIdInternalDataType() if error else self.internal_id(name)
        return shown, not error, int(error)

    async def unprepare(self, external: Any, internal: Any) -> Sequence[Any]:
        """UnprepareRecipe."""
        name = text_of(external) or text_of(internal)
        error = await self._unprepare(name)
        return RecipeIdInternalDataType() if error else self.internal_id(name), int(error)

    async def release(self, handle: int | None) -> Sequence[Any]:
        """ReleaseRecipeHandle."""
        return (int(self._handles.release(handle)),)

    async def _prepare(self, name: str) -> ErrorCode:
        if not name:
            return ErrorCode.BAD_ARGUMENT
        try:
            await self._line.load_recipe(name)
        except MethodError as error:
            return error.code
        async with self._settled():
            await self._show_prepared(name)
        return ErrorCode.OK

    async def _show_prepared(self, name: str) -> None:
        self._taken_back.discard(name)
        self._loaded[name] = datetime.now(UTC)
        if f"{FOLDER}.{name}.IsPrepared" not in self._nodes.instances.variables:
            await self._add_nodes(name)
        await self._write_nodes(name)
        if self.on_prepared is not None:
            await self.on_prepared(name)

    async def _unprepare(self, name: str) -> ErrorCode:
        async with self._settled():
            return await self._take_back(name)

    async def _take_back(self, name: str) -> ErrorCode:
        if name not in self._loaded or name in self._taken_back:
            return ErrorCode.UNKNOWN
        if self.prepared == [name] and self.on_gone is not None:
            try:
                await self.on_gone()
            except NotNowError:
                return ErrorCode.NOT_NOW
        self._taken_back.add(name)
        await self._write_nodes(name)
        return ErrorCode.OK

    async def _add_nodes(self, name: str) -> None:
        instances, path = self._nodes.instances, f"{FOLDER}.{name}"
        node_id = await instances.add_object(
            path, "RecipeType", instances.id_of(FOLDER), ua.ObjectIds.HasComponent, label=name
        )

        async def prepare() -> Sequence[Any]:
            error = await self._prepare(name)
            return not error, int(error)

        async def unprepare() -> Sequence[Any]:
            return (int(await self._unprepare(name)),)

        for method, function in (("Prepare", prepare), ("Unprepare", unprepare)):
            bound = instances.methods[f"{path}.{method}"]
            entry = MethodEntry(method, function, bound.inputs, bound.outputs, control=True)
            self._methods.add(node_id, bound.ids, entry)
        await self._write_nodes(name)

    async def _write_nodes(self, name: str) -> None:
        path = f"{FOLDER}.{name}"
        await self._nodes.write(f"{path}.ExternalId", RecipeIdExternalDataType(Id=name))
        await self._nodes.write(f"{path}.InternalId", self.internal_id(name))
        await self._nodes.write(f"{path}.IsPrepared", name not in self._taken_back)
        await self._nodes.write(f"{path}.LastModified", self._loaded[name])

    async def _remove_nodes(self, name: str) -> None:
        path = f"{FOLDER}.{name}"
        self._methods.remove_object(self._nodes.instances.id_of(path))
        await self._nodes.remove(path)
