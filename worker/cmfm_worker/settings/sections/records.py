"""Sections about records: results kept for subscribers, maps, ledger, archive of rejected parts, collected parts."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from cmfm_settings.section import ConfigPath, PositiveMs, QueueLength, Section

PublishedMaps = Literal["all", "rejected", "none"]
"""Which parts' anomaly maps are published."""

LimitDays = Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)]
LimitMb = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class ResultsSection(Section):
    """Results kept for subscribers that are slow or were away."""

    hwm: QueueLength = Field(100_000, description="Verdicts queued for a slow subscriber.")
    history: QueueLength = Field(
        100_000,
        description="Verdicts that can be asked for again. 640 bytes each are taken at the start (64 MB).",
    )
    state_ms: PositiveMs = Field(500.0, description="Period of the state heartbeat, in milliseconds.")


class MapsSection(Section):
    """Anomaly maps on the map socket."""

    publish: PublishedMaps = Field(
        "all", description="Parts whose maps are published: all, rejected (all but PASS) or none."
    )
    hwm: QueueLength = Field(8, description="Maps queued for a slow subscriber. Further ones are dropped.")


class LedgerSection(Section):
    """One row a trigger."""

    path: ConfigPath | None = Field(Path("ledger.sqlite"), description="SQLite file of the ledger.")
    flush_ms: PositiveMs = Field(
        200.0,
        description="Milliseconds of verdicts that a power failure can cost, at most. A killed process loses none of "
        "those in <path>.journal: the next start adds them.",
    )
    journal_rows: int = Field(
        4096,
        ge=256,
        le=4_000_000,
        description="Newest verdicts in <path>.journal, 2048 bytes each: while the disk takes rows, far more than a "
        "kill can cost. While it refuses them (it is full), a kill loses the rows beyond; the next start says how "
        "many, and answers none of them again.",
    )
    keep_days: LimitDays = Field(
        400.0, description="Older rows are deleted, in days. 0: rows of any age stay."
    )
    max_mb: LimitMb = Field(
        8192.0,
        description="Beyond this size in MB (about 14 million rows) the oldest rows are deleted. 0: any size.",
    )


class KeptSection(Section):
    """The archive: parts whose frame and maps stay on disk."""

    which: Literal["rejected", "inspected", "all", "none"] = Field(
        "rejected",
        description="Parts to keep: rejected (all but PASS), inspected (FAIL and UNDECIDED), all or none. A part "
        "without a readable frame cannot be kept.",
    )
    folder: ConfigPath = Field(
        Path("kept"),
        description="Folder of the kept parts, each a folder. `cmfm-worker replay-part` reads them there.",
    )
    max_mb: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)] = Field(
        1024.0,
        description="Beyond this size in MB (about 330 parts of 400 x 400 pixels) the oldest parts are deleted.",
    )


class CollectedSection(Section):
    """Parts collected on request, to teach recipes from."""

    folder: ConfigPath = Field(
        Path("collected"),
        description="Folder of the products, each with its parts. `cmfm-worker collect` asks for parts, `cmfm-worker "
        "teach` reads them.",
    )
    max_mb: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)] = Field(
        4096.0,
        description="Beyond this size in MB (about 1300 parts of 400 x 400 pixels) no further part is collected. None "
        "is deleted.",
    )
