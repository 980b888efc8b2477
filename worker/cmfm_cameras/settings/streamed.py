"""Keys of RGB-D cameras that stream."""

from pydantic import Field

from cmfm_settings.section import Seconds, Section


class StreamedSection(Section):
    """A camera that streams depth and colour."""

    device: str = Field(
        "",
        max_length=256,
        description="The device by its serial number, as `cmfm-camera list` shows it. Empty: the only one.",
    )
    fps: int = Field(5, ge=1, le=120, description="Frames a second. Each frame is a part.")
    silent_s: Seconds = Field(
        5.0, description="Seconds without a frame after which the device is opened again."
    )
