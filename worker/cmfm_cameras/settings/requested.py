"""Keys of cameras that take a frame when this program asks for it."""

from pydantic import Field

from cmfm_settings.section import Seconds, Section


class RequestedSection(Section):
    """A camera that this program asks for frames."""

    device: str = Field(
        "",
        max_length=256,
        description="The device by its serial number, as `cmfm-camera list` shows it. Empty: the only one.",
    )
    period_s: Seconds = Field(
        1.0, description="Seconds between two frames, which this program asks for. Each is a part."
    )
