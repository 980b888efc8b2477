"""Writes a settings file with every key, its description and its default."""

import textwrap
from typing import Final

from pydantic import BaseModel

from cmfm_settings.explain import as_toml

WIDTH: Final = 118


def example_file(model: type[BaseModel], heading: str) -> str:
    """Return the text of a file whose keys all have their defaults. `heading` are its first lines, without `#`."""
    lines = [f"# {line}".rstrip() for line in heading.splitlines()]
    values = model().model_dump(mode="json")
    for name, section in ((name, type(getattr(model(), name))) for name in model.model_fields):
        lines += ["", f"[{name}]  # {(section.__doc__ or '').partition(chr(10))[0]}"]
        for position, (key, field) in enumerate(section.model_fields.items()):
            lines += [""] if position else []
            lines += [
                f"# {line}" for line in textwrap.wrap(field.description or "", WIDTH, break_on_hyphens=False)
            ]
            lines.append(f"{key} = {as_toml(values[name][key])}")
    return "\n".join(lines) + "\n"
