"""All settings of a line in one frozen object, and the rules that hold between sections. `load` reads it."""

from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from cmfm_settings.endpoints import is_local
from cmfm_settings.log_section import LogSection
from cmfm_worker.settings.sections.compute import (
    BatchSection,
    DeviceSection,
    RecipesSection,
    RingSection,
    WeightsSection,
)
from cmfm_worker.settings.sections.health import MetricsSection
from cmfm_worker.settings.sections.network import (
    BOUND_SOCKETS,
    CamerasSection,
    CurveSection,
    IntakeSection,
    LineSection,
    SocketsSection,
)
from cmfm_worker.settings.sections.records import (
    CollectedSection,
    KeptSection,
    LedgerSection,
    MapsSection,
    ResultsSection,
)


class Settings(BaseModel):
    """All settings of `cmfm-worker`, a field each section of `line.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    line: LineSection = LineSection()
    sockets: SocketsSection = SocketsSection()
    cameras: CamerasSection = CamerasSection()
    curve: CurveSection = CurveSection()
    recipes: RecipesSection = RecipesSection()
    weights: WeightsSection = WeightsSection()
    device: DeviceSection = DeviceSection()
    ring: RingSection = RingSection()
    batch: BatchSection = BatchSection()
    intake: IntakeSection = IntakeSection()
    results: ResultsSection = ResultsSection()
    maps: MapsSection = MapsSection()
    ledger: LedgerSection = LedgerSection()
    kept: KeptSection = KeptSection()
    collected: CollectedSection = CollectedSection()
    log: LogSection = LogSection()
    metrics: MetricsSection = MetricsSection()

    @property
    def camera_names(self) -> dict[str, str]:
        """Endpoint of each camera → its name."""
        if named := self.cameras.endpoints:
            return {endpoint: name for name, endpoint in named.items()}
        return {endpoint: f"camera{number}" for number, endpoint in enumerate(self.sockets.frames, 1)}

    @model_validator(mode="after")
    def _cameras_in_one_place(self) -> Self:
        frames = self.sockets.frames
        if self.cameras.endpoints and frames != SocketsSection().frames:
            raise ValueError(
                "the cameras are under [cameras] and under sockets.frames; remove sockets.frames"
            )
        return self

    @model_validator(mode="after")
    def _hang_before_stall(self) -> Self:
        """The worker must find a hung device itself, and give its parts their FAULTs, before a probe does."""
        if self.metrics.stalled_after_s <= self.device.hang_limit_s:
            raise ValueError(
                f"metrics.stalled_after_s = {self.metrics.stalled_after_s:g} must be more than "
                f"device.hang_limit_s = {self.device.hang_limit_s:g}"
            )
        return self

    @model_validator(mode="after")
    def _off_host_only_with_curve(self) -> Self:
        for key in BOUND_SOCKETS:
            endpoint: str = getattr(self.sockets, key)
            if not is_local(endpoint) and self.curve.secret_key is None and not self.sockets.insecure:
                raise ValueError(
                    f"sockets.{key} = {endpoint!r} can be reached from other hosts and carries no encryption; "
                    "set [curve] secret_key (`cmfm-worker keys new` makes one), bind it to 127.0.0.1 or ipc://, "
                    "or write insecure = true under [sockets]"
                )
        return self

    @model_validator(mode="after")
    def _keys_belong_to_cameras(self) -> Self:
        if unknown := set(self.curve.cameras) - set(self.camera_names):
            raise ValueError(
                f"curve.cameras: {min(unknown)} is not an endpoint under [cameras] or sockets.frames"
            )
        return self
