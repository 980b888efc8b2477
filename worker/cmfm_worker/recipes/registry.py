"""Holds the loaded recipes. Recipes that were taught on the same extractor share it.

Loading a recipe replaces its two small networks in one assignment. Frames that were received before keep the model
they were received with, so each verdict has exactly one model id.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog
import torch

from cmfm_worker.cfm.fast.precision import Precision
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.drift import DriftMonitor, DriftState
from cmfm_worker.recipes.loaded_model import LoadedModel
from cmfm_worker.recipes.recipe import LoadedRecipe, Recipe, load_recipe
from cmfm_worker.recipes.recipe_path import recipe_names, recipe_path
from cmfm_worker.recipes.sections import ExtractorSection
from cmfm_worker.settings.sections.compute import RecipesSection


class ChecksRecipes(Protocol):
    """The part of an inspector that the registry uses."""

    def require_match(self, recipe: Recipe) -> None:
        """Raise InputError if a recipe was taught on another extractor."""
        ...


InspectorT = TypeVar("InspectorT", bound=ChecksRecipes)


@dataclass(frozen=True, eq=False)  # no slots: CPython 3.11 fails to make a generic one that is also frozen
class ActiveRecipe(Generic[InspectorT]):
    """A loaded recipe with the inspector it runs on."""

    model: LoadedModel
    inspector: InspectorT
    recipe_sha: str = ""  # sha256 of its recipe.toml, for the ledger
    drift: DriftMonitor | None = None  # of the parts that were received with it

    @property
    def sha(self) -> str:
        """The model id that every verdict carries."""
        return self.model.sha


class RecipeRegistry(Generic[InspectorT]):
    """Maps names to loaded recipes and extractor identities to inspectors. Only loading takes a lock."""

    def __init__(
        self,
        settings: RecipesSection,
        *,
        make_inspector: Callable[[Recipe], InspectorT],
        device: torch.device,
        precision: Precision = "fp32",
        warm_up: Callable[[ActiveRecipe[InspectorT]], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._warm_up = warm_up
        self._make_inspector = make_inspector
        self._device = device
        self._precision = precision
        self._models: dict[str, ActiveRecipe[InspectorT]] = {}  # replaced as a whole, never modified
        self._inspectors: dict[str, InspectorT] = {}
        self._loading = threading.Lock()
        self._log = structlog.get_logger("recipes")

    @property
    def names(self) -> list[str]:
        """Names of the loaded recipes, sorted."""
        return sorted(self._models)

    @property
    def models(self) -> list[ActiveRecipe[InspectorT]]:
        """All loaded recipes."""
        return list(self._models.values())

    def drifts(self) -> dict[str, DriftState]:
        """Return the drift of each loaded recipe, by name."""
        return {name: model.drift.state for name, model in self._models.items() if model.drift is not None}

    def find(self, recipe: str) -> ActiveRecipe[InspectorT] | None:
        """Return the recipe that a header names ("" means the default), or None."""
        return self._models.get(recipe or self._settings.default)

    def load_all(self) -> None:
        """Load the recipes of the settings. Raises InputError naming the recipe, file and key."""
        for name in self._wanted():
            self.load(name)
        if not self._models:
            self._log.warning("no_recipe", detail="every part is a FAULT until a recipe has been taught")
        elif self._settings.default and self._settings.default not in self._models:
            raise InputError(
                f"recipes.default = {self._settings.default!r} is not among {', '.join(self.names)}"
            )

    def load(self, name: str) -> ActiveRecipe[InspectorT]:
        """Load or reload one recipe and warm it up; frames received afterwards use it. Raises InputError."""
        folder = recipe_path(self._settings.folder, name)
        with self._loading:
            loaded = load_recipe(folder)
            if loaded.recipe.threshold is None:
                raise InputError(
                    f"recipe {name!r} has no threshold, so it cannot decide anything; set one from good parts with "
                    "`cmfm-worker calibrate`"
                )
            inspector = self._inspector_for(loaded)
            loaded_model = LoadedModel.of(loaded, self._device, self._precision)
            model = ActiveRecipe(
                loaded_model, inspector, loaded.recipe_sha, DriftMonitor(name, loaded.recipe)
            )
            self._warm_up(model)
            if self._device.type == "cuda":  # loaded on this thread's stream; the line computes on another
                torch.cuda.current_stream(self._device).synchronize()
            self._models = {**self._models, name: model}
        self._log.info("recipe_loaded", recipe=name, model_sha=model.sha[:12])
        self._compare_precision(loaded)
        self._say_what_is_not_compared(loaded.recipe)
        return model

    def _say_what_is_not_compared(self, recipe: Recipe) -> None:
        """Warn if a recipe has no limits, so that a part passes by its score alone; `[limits] off` is only told."""
        if recipe.limits.empty:
            self._log.warning(
                "recipe_without_limits",
                recipe=recipe.name,
                detail="parts out of view, with pieces missing or beside them can pass; set limits from good parts "
                "with `cmfm-worker calibrate`",
            )
        elif recipe.limits.off:
            self._log.info("limits_off", recipe=recipe.name, reasons=list(recipe.limits.off))

    def _compare_precision(self, loaded: LoadedRecipe) -> None:
        """Warn if the threshold was set at another precision, whose scores differ a little."""
        taught = loaded.recipe.threshold_precision
        if loaded.recipe.extractor.preset != "classic" and taught != self._precision:
            self._log.warning(
                "precision_differs",
                recipe=loaded.recipe.name,
                taught_at=taught,
                line_computes_at=self._precision,
            )

    def load_in_background(self, name: str, done: Callable[[str | None], None]) -> None:
        """Load a recipe in a thread of its own; call `done` with the error, or None."""

        def work() -> None:
            try:
                self.load(name)
            except InputError as error:
                done(str(error))
            except Exception as error:  # noqa: BLE001 (reported to the client; the line keeps what it has)
                self._log.exception("recipe_load_failed", recipe=name)
                done(f"{type(error).__name__}: {error}")
            else:
                done(None)

        threading.Thread(target=work, name="recipe-load", daemon=True).start()

    def reload_in_background(self, done: Callable[[], None]) -> None:
        """Load all recipes again and new ones in the folder; one that cannot be loaded is logged and kept as it was."""

        def work() -> None:
            try:
                for name in self._wanted():
                    self._reload(name)
            except InputError as error:
                self._log.error("recipes_not_reloaded", detail=str(error))
            done()

        threading.Thread(target=work, name="recipe-reload", daemon=True).start()

    def _reload(self, name: str) -> None:
        try:
            self.load(name)
        except InputError as error:
            self._log.error("recipe_not_reloaded", recipe=name, detail=str(error))
        except Exception:  # noqa: BLE001 (the line keeps what it has)
            self._log.exception("recipe_load_failed", recipe=name)

    def _wanted(self) -> list[str]:
        settings = self._settings
        if settings.may_be_empty and not settings.names and not settings.folder.exists():
            return []
        names = list(settings.names) or recipe_names(settings.folder)
        if not names and not settings.may_be_empty:
            raise InputError(
                f"{settings.folder}: no recipes; teach one with `cmfm-worker fit`, set [recipes] folder, or start "
                "without one ([recipes] may_be_empty)"
            )
        return names

    def _inspector_for(self, loaded: LoadedRecipe) -> InspectorT:
        key = extractor_key(loaded.recipe.extractor)
        inspector = self._inspectors.get(key)
        if inspector is None:
            inspector = self._inspectors[key] = self._make_inspector(loaded.recipe)
        inspector.require_match(loaded.recipe)
        return inspector


def extractor_key(section: ExtractorSection) -> str:
    """Return the key under which recipes share an extractor."""
    return section.model_dump_json()
