"""Turns a validation error into lines for the person who wrote the file: where, what is wrong, what was meant.

Recipes and the settings of every program use it.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_SIMILAR = 0.6  # difflib ratio from which a known key is taken for the meant one
_SHOWN_CHARACTERS = 60


def describe_validation_error(
    error: ValidationError, model: type[BaseModel], source: str, *, elsewhere: Mapping[str, str] | None = None
) -> list[str]:
    """Return a line for each wrong key: `source: section.key: message`, unknown keys with the nearest known one.

    `model` is the model that refused the data, `source` the file's name. `elsewhere` names the source of each
    `section.key` that is not from the file. Several errors of one key (a field of several allowed types) become one
    line.
    """
    messages: dict[str, list[str]] = {}
    for details in error.errors(include_url=False, include_context=False):
        key, message = _describe(details, model)
        known = messages.setdefault(key, [])
        if message not in known:
            known.append(message)
    sources = {key: (elsewhere or {}).get(_section_key(key), source) for key in messages}
    return [
        ": ".join(filter(None, (sources[key], key, " or ".join(texts)))) for key, texts in messages.items()
    ]


def nearest_key(key: str, section: type[BaseModel], model: type[BaseModel]) -> str:
    """Return the end of a message about an unknown `key` in `section` of `model`: what to write instead.

    It proposes the same key of another section, else a similar one here, else a similar one elsewhere, else it lists
    the keys known here.
    """
    here = list(section.model_fields)
    paths = reversed(list(_paths(model)))  # if keys share a name, the first path counts
    elsewhere = {path.rpartition(".")[2]: path for path in paths}
    if key in elsewhere:
        return f"did you mean '{elsewhere[key]}'?"
    if close := get_close_matches(key.lower(), here, n=1, cutoff=_SIMILAR):
        return f"did you mean '{close[0]}'?"
    if close := get_close_matches(key.lower(), list(elsewhere), n=1, cutoff=_SIMILAR):
        return f"did you mean '{elsewhere[close[0]]}'?"
    return f"known keys: {', '.join(sorted(here))}"


def _section_key(key: str) -> str:
    """The first two steps of a dotted key, without positions."""
    return ".".join(key.partition("[")[0].split(".")[:2])


def _describe(details: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    key, section = _locate(details["loc"], model)
    match details["type"]:
        case "extra_forbidden":
            return key, f"unknown key; {nearest_key(str(details['loc'][-1]), section, model)}"
        case "missing":
            return key, "missing"
        case "value_error":
            return key, details["msg"].removeprefix("Value error, ")
    return key, f"{_lower_first(details['msg'])}, found {_shown(details['input'])}"


def _locate(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[str, type[BaseModel]]:
    """Return the key as the file has it, and the section that holds it.

    Below a field that is not a section pydantic adds names of its own (a union's branch). Only positions are kept
    there.
    """
    section: type[BaseModel] = model
    inside_field = False
    key = ""
    for step in loc:
        if isinstance(step, int):
            key += f"[{step}]"
        elif not inside_field:
            key = f"{key}.{step}" if key else step
            deeper = _section_of(section, step)
            inside_field = deeper is None
            section = deeper or section
    return key, section


def _section_of(model: type[BaseModel], field: str) -> type[BaseModel] | None:
    """Return the model behind a field, optional or not; None for a plain value or an unknown field."""
    info = model.model_fields.get(field)
    return None if info is None else next(_models_in(info.annotation), None)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for argument in get_args(annotation):
            yield from _models_in(argument)


def _paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield every key of a model and of its sections, dotted."""
    for name in model.model_fields:
        yield prefix + name
        section = _section_of(model, name)
        if section is not None:
            yield from _paths(section, f"{prefix}{name}.")


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
