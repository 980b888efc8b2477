"""The section `[ensenso]`: an Ensenso camera by NxLib."""

from pydantic import Field

from cmfm_cameras.settings.requested import RequestedSection
from cmfm_settings.section import ConfigPath


class EnsensoSection(RequestedSection):
    """An Ensenso stereo or structured light camera."""

    parameters: ConfigPath | None = Field(
        None,
        description='Parameters as NxView saves them (.json): the node "Parameters". "": as the camera has them.',
    )
