"""The section `[recording]`: frames that `cmfm-camera record` saved, as a camera."""

from pydantic import Field

from cmfm_settings.section import ConfigPath, Section


class RecordingSection(Section):
    """A folder of `cmfm-camera record`, published again with its times."""

    path: ConfigPath | None = Field(None, description='Folder of the recording, for kind = "recording".')
    speed: float = Field(
        1.0, gt=0, le=1000, description="Speed: 2 halves every pause between frames, 1000 nearly removes it."
    )
    repeat: bool = Field(False, description="true: begin again at the end, with new frame ids.")
