"""Error messages for files: they say where the mistake is, what it is, and what was probably meant."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cmfm_settings.error_messages import describe_validation_error


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Batch(Section):
    max_batch: int = 4
    max_wait_ms: float = 2.0

    @model_validator(mode="after")
    def _patient(self) -> Batch:
        if self.max_wait_ms > 1000:
            raise ValueError("max_wait_ms is longer than any deadline")
        return self


class Camera(Section):
    endpoint: Annotated[str, Field(pattern="^tcp://")]


class Line(Section):
    name: str
    batch: Batch = Batch()
    optional: Batch | None = None
    cameras: tuple[Camera, ...] = ()
    default: Annotated[str, Field(pattern="^[a-z]+$")] | Literal[""] = ""


CASES: list[tuple[dict[str, Any], list[str]]] = [
    ({"name": "a", "batc": 1}, ["f.toml: batc: unknown key; did you mean 'batch'?"]),
    (
        {"name": "a", "batch": {"max_bach": 1}},
        ["f.toml: batch.max_bach: unknown key; did you mean 'max_batch'?"],
    ),
    (
        {"name": "a", "optional": {"max_wait": 1}},
        ["f.toml: optional.max_wait: unknown key; did you mean 'max_wait_ms'?"],
    ),
    ({"name": "a", "max_batch": 1}, ["f.toml: max_batch: unknown key; did you mean 'batch.max_batch'?"]),
    (
        {"name": "a", "batch": {"zzz": 1}},
        ["f.toml: batch.zzz: unknown key; known keys: max_batch, max_wait_ms"],
    ),
    ({}, ["f.toml: name: missing"]),
    (
        {"name": "a", "batch": {"max_wait_ms": 2000}},
        ["f.toml: batch: max_wait_ms is longer than any deadline"],
    ),
]


def lines_for(table: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Line.model_validate(table)
    return describe_validation_error(caught.value, Line, "f.toml")


@pytest.mark.parametrize(("table", "expected"), CASES)
def test_each_mistake_is_named_with_its_place(table: dict[str, Any], expected: list[str]) -> None:
    """A line names the file, the dotted key and the mistake; for an unknown key also the nearest known one."""
    assert lines_for(table) == expected


def test_wrong_value_is_shown() -> None:
    """A value of the wrong type is repeated in the message."""
    (line,) = lines_for({"name": "a", "batch": {"max_batch": "four"}})
    assert line.startswith("f.toml: batch.max_batch: ")
    assert "'four'" in line


def test_long_values_are_cut() -> None:
    """A value of a megabyte does not become a message of a megabyte."""
    (line,) = lines_for({"name": "a", "batch": {"max_batch": "x" * 10**6}})
    assert len(line) < 300


def test_position_in_a_list_is_named() -> None:
    """The message says which of several cameras is wrong."""
    (line,) = lines_for({"name": "a", "cameras": [{"endpoint": "tcp://a"}, {"endpoint": "http://b"}]})
    assert line.startswith("f.toml: cameras[1].endpoint: ")


def test_unknown_key_in_a_list_gets_the_nearest_key_of_its_section() -> None:
    """Suggestions inside a list come from the section the list holds."""
    lines = lines_for({"name": "a", "cameras": [{"endpoint": "tcp://a", "endpiont": 1}]})
    assert lines == ["f.toml: cameras[0].endpiont: unknown key; did you mean 'endpoint'?"]


def test_one_key_one_line() -> None:
    """A value that fits none of several allowed types gets one line, not one a type."""
    (line,) = lines_for({"name": "a", "default": 7})
    assert line.startswith("f.toml: default: ")


def test_all_mistakes_at_once() -> None:
    """Every mistake is listed, so that one edit repairs the file."""
    assert len(lines_for({"batch": {"max_batch": "x"}, "extra": 1})) == 3
