"""Topics of the MQTT adapter: `cmfm/<site>/<line>/<kind>`, and those of requests below them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one line. `site` and `line` are names as in WIRE.md, so neither holds a slash or a wildcard."""

    site: str
    line: str

    @property
    def state(self) -> str:
        """The line's validity, with the worker's state; retained."""
        return self._below("state")

    @property
    def result(self) -> str:
        """Every result, in order, at least once."""
        return self._below("result")

    @property
    def reject(self) -> str:
        """The results that are not PASS, once more."""
        return self._below("reject")

    @property
    def recipe(self) -> str:
        """The recipes that are loaded, and the one in use; retained."""
        return self._below("recipe")

    @property
    def health(self) -> str:
        """Counters of this adapter; retained."""
        return self._below("health")

    @property
    def recipe_request(self) -> str:
        """Requests to load a recipe, if the settings allow them."""
        return self._below("recipe/set")

    @property
    def picture_request(self) -> str:
        """Requests for the picture of a part."""
        return self._below("picture/get")

    def _below(self, kind: str) -> str:
        return f"cmfm/{self.site}/{self.line}/{kind}"
