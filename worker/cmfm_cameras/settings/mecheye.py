"""The section `[mecheye]`: a Mech-Eye area scan camera by the Mech-Eye API."""

from pydantic import Field

from cmfm_cameras.settings.requested import RequestedSection
from cmfm_settings.section import PositiveMs


class MecheyeSection(RequestedSection):
    """A Mech-Eye Industrial 3D Camera: 2D and 3D of one capture."""

    user_set: str = Field(
        "",
        max_length=64,
        description="Parameter group on the device that is selected first. Empty: as it is.",
    )
    timeout_ms: PositiveMs = Field(
        10_000.0, description="Milliseconds for one capture. A later one is no frame, and counted."
    )
