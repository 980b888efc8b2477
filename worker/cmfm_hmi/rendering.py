"""Pages from templates: with the visitor's language, his CSRF token, and what every page says."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context, select_autoescape
from jinja2.runtime import Context
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse

from cmfm_hmi.security.lock import LineLock
from cmfm_hmi.security.roles import Role
from cmfm_hmi.security.sessions import visitor_of
from cmfm_hmi.texts import LANGUAGES, Language, preferred, text, texts, texts_below
from cmfm_protocol.digits import digits_apart

LANGUAGE_COOKIE: Final = "cmfm_language"
NS_PER_S: Final = 1_000_000_000
MOST_WRITTEN_OUT: Final = 1e7
"""Larger numbers are written as powers of ten."""

DECIMAL_SIGNS: Final[Mapping[Language, str]] = {"en": ".", "de": ","}


@dataclass(frozen=True, slots=True)
class NavEntry:
    """A page in the menu: `name` is the key of its word (`base.nav.<name>`), `role` who sees it."""

    name: str
    path: str
    role: Role = Role.VIEW


def language_of(request: HTTPConnection, default: Language) -> Language:
    """Return the language of a request: that of the switch, else that of the browser."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    for language in LANGUAGES:
        if chosen == language:
            return language
    return preferred(request.headers.get("accept-language", ""), default)


class Templates:
    """Renders `templates/<name>`. Every template may use what `_common` returns, and the filters `when` and `number`.

    `t(key, **values)` is the sentence of a key, `word(prefix, value)` the word for a value, or the value itself.
    `script_texts(prefix)` are the sentences of a script as JSON, `static(name)` is the address of a file of `static/`.
    Everything is escaped.
    """

    def __init__(self, lock: LineLock, *, title: str, language: Language) -> None:
        self._lock = lock
        self._title = title
        self._language = language
        self.nav: Sequence[NavEntry] = ()
        self._environment = Environment(
            loader=PackageLoader("cmfm_hmi"),
            autoescape=select_autoescape(("html.j2",), default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters["when"] = when
        self._environment.filters["number"] = _number
        self._environment.globals["digits_apart"] = digits_apart

    def render(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return the page; `values` are the template's own."""
        language = language_of(request, self._language)
        content = self._environment.get_template(template).render(**self._common(request, language), **values)
        return HTMLResponse(content, status, headers={"Content-Language": language})

    def language(self, request: HTTPConnection) -> Language:
        """Return the language of a request."""
        return language_of(request, self._language)

    def translator(self, request: HTTPConnection) -> Callable[..., str]:
        """Return `t` of a request's language, for sentences that are not in a template."""
        return partial(text, self.language(request))

    def _common(self, request: Request, language: Language) -> dict[str, Any]:
        visitor = visitor_of(request)
        return {
            "t": partial(text, language),
            "word": lambda prefix, value: texts(language).get(f"{prefix}.{value}", value),
            "script_texts": lambda prefix: json.dumps(texts_below(language, prefix), ensure_ascii=False),
            "static": static_path,
            "language": language,
            "languages": LANGUAGES,
            "title": self._title,
            "visitor": visitor,
            "Role": Role,
            "csrf": visitor.csrf,
            "nav": [entry for entry in self.nav if visitor.role >= entry.role],
            "path": request.url.path,
            "here": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            "now": when(time.time_ns()),
            "read_only": self._lock.is_read_only,
            "lock": self._lock.state,
            "taken_over": self._lock.taken_over() if self._lock.plc_owns_line else None,
            "can_take_over": self._lock.can_be_taken_over,
        }


@cache
def static_path(name: str) -> str:
    """Return the address of a static file, with a mark of its content, so that browsers may keep it for ever."""
    content = files("cmfm_hmi").joinpath("static", *name.split("/")).read_bytes()
    return f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"


def when(time_ns: int, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Return a time of this machine's clock and zone as text; "" for 0."""
    return time.strftime(form, time.localtime(time_ns / NS_PER_S)) if time_ns > 0 else ""


def number(value: float | None, digits: int = 3, language: Language = "en") -> str:
    """Return a number with so many significant digits, and the decimal sign of a language; "–" for none."""
    if value is None or not math.isfinite(value):
        return "–"
    shown = f"{value:.{digits}g}"
    if "e" in shown and 1 <= abs(value) < MOST_WRITTEN_OUT:
        shown = f"{value:.0f}"
    return shown.replace(".", DECIMAL_SIGNS[language])


@pass_context
def _number(context: Context, value: float | None, digits: int = 3) -> str:
    return number(value, digits, context["language"])
