"""The section `[photoneo]`: a PhoXi scanner or MotionCam behind a GenTL producer."""

from typing import Literal

from pydantic import Field

from cmfm_settings.section import ConfigPath, Seconds, Section


class PhotoneoSection(Section):
    """A Photoneo device by GigE Vision, on the code of [genicam]."""

    producers: tuple[ConfigPath, ...] = Field(
        (),
        description="GenTL producers (.cti) for GigE Vision to load. []: all in the folders of GENICAM_GENTL64_PATH.",
    )
    device: str = Field(
        "",
        max_length=256,
        description="The device by its id, serial number or user-defined name, as `cmfm-camera list` shows them. "
        "Empty: the only one.",
    )
    family: Literal["phoxi", "motioncam"] = Field(
        "phoxi",
        description="Family of the device: the feature for the picture is TextureSource (phoxi) or CameraTextureSource "
        "(motioncam).",
    )
    user_set: str = Field(
        "", max_length=64, description="User set that is loaded first, for example UserSet1. Empty: none."
    )
    texture: Literal["as_is", "Laser", "LED", "Color"] = Field(
        "as_is",
        description="Picture that is registered to the points. as_is: as the user set has it. Color: devices with a "
        "colour camera alone.",
    )
    camera_space: Literal["as_is", "PrimaryCamera", "ColorCamera"] = Field(
        "as_is", description="Camera whose pixels and frame the points are of. as_is: as the user set has it."
    )
    features: tuple[str, ...] = Field(
        (), max_length=256, description="Further features that are set, in this order, as under [genicam]."
    )
    trigger: Literal["as_is", "free_run", "software", "hardware"] = Field(
        "software",
        description="as_is: as the user set has it. free_run: continuously. software: every software_s. hardware: by "
        "Line1.",
    )
    software_s: Seconds = Field(1.0, description="Seconds between two triggers, for trigger = software.")
    buffers: int = Field(8, ge=2, le=1000, description="Buffers that the producer fills while frames wait.")
    ptp_ahead_s: float = Field(
        37.0,
        ge=-100,
        le=100,
        description="Seconds that the device's PTP time is ahead of UTC. PTP counts TAI: 37.",
    )
    silent_s: Seconds = Field(
        5.0, description="Seconds without a frame after which the device is asked whether it is still there."
    )
