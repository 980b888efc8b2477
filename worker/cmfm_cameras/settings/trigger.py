"""All settings of `cmfm-camera trigger` in one frozen object, and how they are read."""

from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cmfm_cameras.settings.trigger_input import GpioSection, InputSection, ModbusSection
from cmfm_settings.endpoints import BoundEndpoint, ServerEndpoint, is_local
from cmfm_settings.http_section import HttpSection
from cmfm_settings.load import TRIGGER_PREFIX, LoadedSettings, SettingsFile
from cmfm_settings.log_section import LogSection
from cmfm_settings.names import Name
from cmfm_settings.section import ConfigPath, PositiveMs, Section


class AnnounceSection(Section):
    """The camera that the photo-eye fires, and how its parts are announced."""

    line: Name = Field("line1", description="Name of the line, as [camera] line in camera.toml.")
    station: Name = Field("station1", description="Name of the station, as [camera] station there.")
    camera: ServerEndpoint = Field(
        "tcp://127.0.0.1:5555", description="The camera's endpoint. Its heartbeats say stream and number."
    )
    through: Literal["socket", "control"] = Field(
        "socket",
        description="socket: trigger messages on `endpoint`, which is one more endpoint under the worker's [cameras], "
        "and fires cameras (fired_by in camera.toml). control: `announce` requests to the worker, which replies.",
    )
    endpoint: BoundEndpoint = Field("tcp://127.0.0.1:5565", description="Endpoint that is bound, for socket.")
    control: ServerEndpoint = Field(
        "tcp://127.0.0.1:5559", description="The worker's control endpoint, for control."
    )
    insecure: bool = Field(False, description="true: bind where other hosts reach it without key.")
    key: ConfigPath | None = Field(
        None, description='The NAME.key_secret of this process, for CURVE on all sockets. "": no encryption.'
    )
    camera_key: ConfigPath | None = Field(
        None, description='The camera\'s public key (NAME.key), with key. "": the camera is not encrypted.'
    )
    worker_key: ConfigPath | None = Field(
        None, description="The worker's public key (worker.key), with key, for control."
    )
    workers: ConfigPath | None = Field(
        None, description="Folder with the public keys of the workers that may connect, with key, for socket."
    )
    recipe: Name | Literal[""] = Field("", description="Recipe, as [camera] recipe in camera.toml.")
    deadline_ms: PositiveMs = Field(
        1000.0, description="Milliseconds from the trigger to the verdict, as [camera] deadline_ms."
    )
    clock: Literal["realtime", "none"] = Field(
        "realtime",
        description="As [camera] clock. monotonic needs a photo-eye on the worker's host: use realtime.",
    )
    delay_ms: float = Field(
        0.0, ge=0, le=900, description="Milliseconds from the photo-eye to the camera's exposure."
    )
    latency_ms: PositiveMs = Field(
        2000.0,
        description="Longest time from the photo-eye until the camera has counted the trigger. Beyond that one of them "
        "missed it.",
    )
    part_prefix: str = Field(
        "",
        max_length=64,
        description="Ids of parts: this and a number. The camera then has [camera] part_ids = empty. Empty: no ids.",
    )
    part_digits: int = Field(8, ge=1, le=18, description="Digits of that number, with leading zeros.")
    state: ConfigPath | None = Field(
        None,
        description="File that holds the newest part's number and counter over restarts, so that no id comes twice. "
        '"": numbers begin at 1.',
    )

    @model_validator(mode="after")
    def _local_unless_secure(self) -> Self:
        if (
            self.through == "socket"
            and self.key is None
            and not self.insecure
            and not is_local(self.endpoint)
        ):
            raise ValueError(
                f"endpoint = {self.endpoint!r} can be reached from other hosts without encryption; set key, bind to "
                "127.0.0.1, or write insecure = true under [announce]"
            )
        if self.key is None and (self.camera_key or self.worker_key or self.workers):
            raise ValueError("camera_key, worker_key and workers need key")
        if self.key is not None and self.through == "control" and self.worker_key is None:
            raise ValueError('through = "control" with key needs worker_key')
        if self.part_prefix and self.state is None:
            raise ValueError("part_prefix needs state: else ids would come again after a restart")
        return self


class TriggerSettings(BaseModel):
    """All settings of `cmfm-camera trigger`, a field each section of `trigger.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: InputSection = InputSection()
    modbus: ModbusSection = ModbusSection()
    gpio: GpioSection = GpioSection()
    announce: AnnounceSection = AnnounceSection()
    log: LogSection = LogSection()
    metrics: HttpSection = HttpSection()


TRIGGER_FILE: Final = SettingsFile(
    TriggerSettings,
    prefix=TRIGGER_PREFIX,
    example="deploy/trigger.toml (`cmfm-camera trigger example` prints it)",
    list_example="",
)

EXAMPLE_HEADING: Final = """A photo-eye: `cmfm-camera trigger --config trigger.toml`. `trigger example` prints this.
`cmfm-camera trigger check --config trigger.toml` explains every key with its value and its source.
Every key may be left out: the values here are the defaults. Relative paths start from the folder of this file.
CMFM_TRIGGER_<SECTION>__<KEY> in the environment overrides a key, for example CMFM_TRIGGER_MODBUS__HOST=plc7."""


def load_with_sources(path: Path) -> LoadedSettings[TriggerSettings]:
    """Read and validate `path` with the environment over it. Raises InputError naming file or variable and key."""
    return TRIGGER_FILE.load(path)
