"""The section `[zivid]`: a Zivid camera by zivid-python."""

from pydantic import Field

from cmfm_cameras.settings.requested import RequestedSection
from cmfm_settings.section import ConfigPath


class ZividSection(RequestedSection):
    """A Zivid camera: 2D and 3D of one capture."""

    settings: ConfigPath | None = Field(
        None,
        description="Capture settings (.yml) as Zivid Studio exports them, for a 2D and 3D capture. They hold filters, "
        "resampling and region of interest.",
    )
    file_camera: ConfigPath | None = Field(
        None, description="File camera (.zfc) that is opened instead of a device, for trials."
    )
