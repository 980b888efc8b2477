"""Keys of cameras that take a frame when this program asks for it."""

from typing import Literal

from pydantic import Field

from cmfm_settings.endpoints import ServerEndpoint
from cmfm_settings.section import ConfigPath, Seconds, Section


class RequestedSection(Section):
    """A camera that this program asks for frames."""

    device: str = Field(
        "",
        max_length=256,
        description="The device by its serial number, as `cmfm-camera list` shows it. Empty: the only one.",
    )
    fired_by: ServerEndpoint | Literal[""] = Field(
        "",
        description="[announce] endpoint of `cmfm-camera trigger`, with through = socket there: each part that the "
        "photo-eye sees is asked for, under its number. Empty: a frame every period_s.",
    )
    fired_by_key: ConfigPath | None = Field(
        None,
        description='The photo-eye\'s public key (NAME.key), with [camera] key. "": it is not encrypted.',
    )
    late_s: Seconds = Field(
        0.2,
        description="A part that the photo-eye asked for longer ago is refused, because it has moved on: the camera "
        "was busy with the part before, or away.",
    )
    period_s: Seconds = Field(1.0, description="Seconds between two frames without fired_by. Each is a part.")
