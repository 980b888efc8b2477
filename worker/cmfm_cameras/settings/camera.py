"""The section `[camera]`: which device, and how its frames appear on the wire."""

from typing import Literal, Self

from pydantic import Field, model_validator

from cmfm_protocol.wire.limits import MAX_TEXT_BYTES
from cmfm_settings.endpoints import BoundEndpoint, is_local
from cmfm_settings.names import Name
from cmfm_settings.section import ConfigPath, PositiveMs, Seconds, Section


class CameraSection(Section):
    """The camera on the wire: its endpoint, its names, and the kind of device behind it."""

    kind: Literal[
        "ensenso",
        "folder",
        "genicam",
        "mecheye",
        "oakd",
        "orbbec",
        "photoneo",
        "profiler",
        "realsense",
        "recording",
        "two_devices",
        "zivid",
    ] = Field(
        "folder",
        description="Kind of device; the section of the same name describes it. `cmfm-camera list` shows devices.",
    )
    line: Name = Field("line1", description="Name of the line, as [line] name in the worker's line.toml.")
    station: Name = Field("station1", description="Name of the station, as [line] station there.")
    endpoint: BoundEndpoint = Field(
        "tcp://127.0.0.1:5555",
        description="Endpoint that is bound, and that the worker's [cameras] names.",
    )
    insecure: bool = Field(
        False, description="true: bind where other hosts reach it without key. Frames are then not encrypted."
    )
    key: ConfigPath | None = Field(
        None, description='This camera\'s NAME.key_secret: with it only CURVE is spoken. "": no encryption.'
    )
    workers: ConfigPath | None = Field(
        None,
        description="Folder with the public keys of the workers that may connect, with key. "
        '"": every worker that knows the camera\'s public key.',
    )
    recipe: Name | Literal[""] = Field("", description="Recipe to inspect by. Empty: the worker's default.")
    deadline_ms: PositiveMs = Field(
        1000.0, description="Milliseconds from the trigger to the verdict on the wire."
    )
    clock: Literal["realtime", "monotonic", "none"] = Field(
        "realtime",
        description="Clock of trigger times. realtime: this host's clock is synchronised with the worker's. "
        "monotonic: the worker runs on this host. none: neither.",
    )
    part_ids: Literal["source", "numbered", "empty"] = Field(
        "source",
        description="Ids of parts. source: those that the source knows (folder, recording), else as numbered. "
        "numbered: station, start of the stream's id, number. empty: none.",
    )
    calib_id: str = Field(
        "",
        max_length=MAX_TEXT_BYTES // 4,
        description="Name of the calibration that the points are computed with. Empty: that of the calibration file of "
        "two devices, else not said.",
    )
    simulated: bool = Field(
        False, description="true: mark every part as one that does not exist (trials, recordings)."
    )
    wait_for_worker: bool = Field(
        True,
        description="true: open the device once the worker has subscribed, so that no frame is lost before.",
    )
    send_hwm: int = Field(
        4,
        ge=1,
        le=1000,
        description="Frames that wait for a slow worker. A further one is dropped and counted.",
    )
    send_limit_ms: int = Field(
        20, ge=0, le=10_000, description="Milliseconds that a frame waits for a place in that queue."
    )
    reopen_max_s: Seconds = Field(
        5.0,
        description="Longest pause between two attempts to open the device. The first is 0.25 s, each doubles.",
    )
    hang_limit_s: Seconds = Field(
        60.0,
        description="Seconds for one call into the driver. Beyond that the process ends with exit code 4, so that its "
        "supervisor starts it again.",
    )

    @model_validator(mode="after")
    def _local_unless_secure(self) -> Self:
        if self.key is None and not self.insecure and not is_local(self.endpoint):
            raise ValueError(
                f"endpoint = {self.endpoint!r} can be reached from other hosts without encryption; set key, bind to "
                "127.0.0.1, or write insecure = true under [camera]"
            )
        return self

    @model_validator(mode="after")
    def _workers_need_a_key(self) -> Self:
        if self.workers is not None and self.key is None:
            raise ValueError("workers needs key")
        return self
