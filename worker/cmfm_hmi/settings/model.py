"""All settings of the operator's page in one frozen object. `load` reads it."""

from pydantic import BaseModel, ConfigDict

from cmfm_hmi.settings.access import AccessSection
from cmfm_hmi.settings.page import PageSection
from cmfm_hmi.settings.records import RecordsSection
from cmfm_hmi.settings.worker import WorkerSection
from cmfm_settings.http_section import HttpSection
from cmfm_settings.log_section import LogSection


class HmiSettings(BaseModel):
    """All settings of `cmfm-hmi`, a field each section of `hmi.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    page: PageSection = PageSection()
    worker: WorkerSection = WorkerSection()
    records: RecordsSection = RecordsSection()
    access: AccessSection = AccessSection()
    log: LogSection = LogSection()
    metrics: HttpSection = HttpSection()
