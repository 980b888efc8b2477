"""The section `[records]`: what the line leaves on disk, for the page's questions."""

from pathlib import Path

from pydantic import Field

from cmfm_settings.section import ConfigPath, Seconds, Section


class RecordsSection(Section):
    """Files of the line that the page reads."""

    ledger: ConfigPath | None = Field(
        Path("ledger.sqlite"), description='The worker\'s ledger, as [ledger] path in line.toml. "": none.'
    )
    kept: ConfigPath = Field(
        Path("kept"), description="Folder of archived rejected parts, as [kept] folder in line.toml."
    )
    collected: ConfigPath = Field(
        Path("collected"), description="Folder of collected parts, as [collected] folder in line.toml."
    )
    recipes: ConfigPath = Field(
        Path("recipes"), description="Folder of recipes, as [recipes] folder in line.toml."
    )
    query_s: Seconds = Field(
        5.0,
        description="Seconds that a question to the ledger may take. A longer one is given up with a message.",
    )
