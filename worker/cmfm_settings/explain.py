"""Explains every key of a settings file: its value in force, where that comes from, and what the key means."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from cmfm_settings.load import LoadedSettings

WIDTH: Final = 100
"""Columns of the text. Only a single value that is longer than a line exceeds them."""

INDENT: Final = "    "


class ExplainedKey(NamedTuple):
    """One key: `value` is JSON-compatible, `source` is "default", "file" or "environment variable NAME"."""

    section: str
    key: str
    value: Any
    source: str
    description: str


def explained_keys(loaded: LoadedSettings[Any]) -> Iterator[ExplainedKey]:
    """Yield every key of every section, in the order of the model."""
    for section, values in loaded.settings.model_dump(mode="json").items():
        fields = type(getattr(loaded.settings, section)).model_fields
        for key, value in values.items():
            source = loaded.source_of(section, key)
            words = (fields[key].description or "") if key in fields else ""
            yield ExplainedKey(section, key, value, source, words)


def as_json(loaded: LoadedSettings[Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return section → key → {value, source, description}, for programs."""
    report: dict[str, dict[str, dict[str, Any]]] = {}
    for section, key, value, source, description in explained_keys(loaded):
        report.setdefault(section, {})[key] = {"value": value, "source": source, "description": description}
    return report


def print_settings(console: Console, loaded: LoadedSettings[Any], config: Path) -> None:
    """Print a paragraph for each key. Long lines are left whole, so that a pipe gets one line a fact."""
    console.print(f"{config}: values in force", style="bold", soft_wrap=True, markup=False, highlight=False)
    section = ""
    for explained in explained_keys(loaded):
        if explained.section != section:
            section = explained.section
            heading = (type(getattr(loaded.settings, section)).__doc__ or "").partition("\n")[0]
            console.print(Text(f"\n[{section}]  {heading}", style="bold"), soft_wrap=True)
        console.print(Text("\n".join(paragraph(explained))), soft_wrap=True)


def report_check(
    loaded: LoadedSettings[Any], config: Path, problems: Sequence[str], *, json_format: bool, can_run: str
) -> None:
    """Print what `check` says, for people or as JSON: the settings, the problems, or the sentence `can_run`."""
    console = Console()
    if json_format:
        console.print_json(json.dumps({"settings": as_json(loaded), "problems": list(problems)}))
        return
    print_settings(console, loaded, config)
    console.print()
    for problem in problems:
        console.print(f"[red]problem:[/] {escape(problem)}", highlight=False, soft_wrap=True)
    if not problems:
        console.print(f"[green]{can_run}[/]")


def paragraph(explained: ExplainedKey) -> list[str]:
    """Return the lines for one key: `section.key = value  (source)`, then the description."""
    lines = assignment(f"{explained.section}.{explained.key}", explained.value)
    source = f"  ({explained.source})"
    if len(lines[-1]) + len(source) <= WIDTH:
        lines[-1] += source
    else:
        lines.append(INDENT + source.strip())
    return lines + textwrap.wrap(
        explained.description,
        WIDTH,
        initial_indent=INDENT,
        subsequent_indent=INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def assignment(key: str, value: Any) -> list[str]:
    """Return `key = value` as TOML has it. A list or table that does not fit gets a line for each entry."""
    line = f"{key} = {as_toml(value)}"
    if len(line) <= WIDTH or not isinstance(value, list | dict):
        return [line]
    opening, closing = "[]" if isinstance(value, list) else "{}"
    entries = map(as_toml, value) if isinstance(value, list) else map(_entry, value.items())
    return [f"{key} = {opening}", *(f"{INDENT}{entry}," for entry in entries), closing]


def as_toml(value: Any) -> str:
    """Return a value as TOML writes it. None, which TOML cannot say, is written as the empty string."""
    if value is None:
        return '""'
    if isinstance(value, list):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(map(_entry, value.items()))} }}" if value else "{}"
    return json.dumps(value, ensure_ascii=False)


def _entry(item: tuple[str, Any]) -> str:
    return f"{json.dumps(item[0], ensure_ascii=False)} = {as_toml(item[1])}"
