"""Writes a recipe as TOML with the meaning of each key as a comment above it, for those who edit it by hand."""

import re
import textwrap
from collections.abc import Iterator
from typing import Final

import tomli_w
from pydantic import BaseModel

WIDTH: Final = 100
"""Columns of a comment."""

_TABLE: Final = re.compile(r"\[(?P<name>[^\[\].]+)\]")
_KEY: Final = re.compile(r"(?P<key>[A-Za-z_0-9]+) = ")


def commented_toml(model: BaseModel) -> str:
    """Return a model of tables as TOML. Keys without a description, and tables inside tables, have no comment."""
    table = model.model_dump(mode="json", exclude_none=True)
    lines = tomli_w.dumps(table, multiline_strings=False).splitlines()
    return "\n".join(_commented(lines, model)) + "\n"


def _commented(lines: list[str], model: BaseModel) -> Iterator[str]:
    section: object = model
    for line in lines:
        if line.startswith("["):
            table = _TABLE.fullmatch(line)
            section = getattr(model, table["name"], None) if table else None
        key = _KEY.match(line)
        if key is not None and isinstance(section, BaseModel):
            field = type(section).model_fields.get(key["key"])
            if field is not None and field.description:
                yield from textwrap.wrap(
                    field.description, WIDTH, initial_indent="# ", subsequent_indent="# "
                )
        yield line
