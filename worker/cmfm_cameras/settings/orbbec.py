"""The section `[orbbec]`: an Orbbec camera by pyorbbecsdk."""

from pydantic import Field

from cmfm_cameras.settings.streamed import StreamedSection
from cmfm_settings.section import PositiveMs


class OrbbecSection(StreamedSection):
    """An Orbbec camera: depth aligned to the colour picture."""

    color_width: int = Field(0, ge=0, le=8192, description="Columns of the colour. 0: any.")
    color_height: int = Field(0, ge=0, le=8192, description="Rows of the colour. 0: any.")
    depth_width: int = Field(0, ge=0, le=8192, description="Columns of the depth. 0: any.")
    depth_height: int = Field(0, ge=0, le=8192, description="Rows of the depth. 0: any.")
    preset: str = Field(
        "", max_length=64, description="Preset of the device that is loaded first. Empty: as it is."
    )
    window_ms: PositiveMs = Field(
        5.0, description="Largest difference of the times of depth and colour of one frame, in milliseconds."
    )
