"""The section `[genicam]`: a camera behind a GenTL producer."""

from typing import Literal, Self

from pydantic import Field, model_validator

from cmfm_settings.section import ConfigPath, Seconds, Section

VIKY = "viky"
"""Stands for MVTec's simulated producer, which the package genicam holds."""


class GenicamSection(Section):
    """A GenICam camera: any GenTL producer (.cti), one buffer with picture and points for each part."""

    producers: tuple[Literal["viky"] | ConfigPath, ...] = Field(
        (),
        description="Producers (.cti files) to load. []: all in the folders of GENICAM_GENTL64_PATH. "
        '"viky": the simulated one in the package genicam.',
    )
    device: str = Field(
        "",
        max_length=256,
        description="The device by its id, serial number or user-defined name, as `cmfm-camera list` shows them. "
        "Empty: the only one.",
    )
    user_set: str = Field(
        "", max_length=64, description="User set that is loaded first, for example UserSet1. Empty: none."
    )
    components: tuple[str, ...] = Field(
        ("Intensity", "Range"),
        max_length=16,
        description="Components that are enabled; all others are disabled. []: as the user set has them.",
    )
    features: tuple[str, ...] = Field(
        (),
        max_length=256,
        description='Features that are set in this order, selectors among them: ["ExposureAuto=Off", '
        '"ExposureTime=4000"]. A name alone executes a command.',
    )
    trigger: Literal["as_is", "free_run", "software", "hardware"] = Field(
        "as_is",
        description="as_is: as the user set and features have it. free_run: by the device's frame rate. software: "
        "every software_s. hardware: by trigger_source.",
    )
    trigger_source: str = Field("Line1", max_length=64, description="TriggerSource for trigger = hardware.")
    trigger_activation: str = Field(
        "RisingEdge", max_length=64, description="TriggerActivation for trigger = hardware."
    )
    software_s: Seconds = Field(1.0, description="Seconds between two triggers, for trigger = software.")
    buffers: int = Field(8, ge=2, le=1000, description="Buffers that the producer fills while frames wait.")
    unit: Literal["auto", "m", "cm", "mm", "um"] = Field(
        "auto", description="Unit of the device's coordinates. auto: its Scan3dDistanceUnit."
    )
    output_mode: Literal["auto", "CalibratedABC_Grid", "CalibratedC", "RectifiedC", "DisparityC"] = Field(
        "auto", description="How its numbers become points. auto: its Scan3dOutputMode."
    )
    pose: Literal["sensor", "device"] = Field(
        "sensor",
        description="sensor: move points by the device's Scan3dCoordinateReferenceValue into the sensor's frame, z "
        "away from the sensor, as the wire wants them. device: leave them in the device's own system.",
    )
    rotation_order: Literal["xyz", "zyx"] = Field(
        "xyz", description="Order of that rotation. xyz: about X first, then about Y, then about Z."
    )
    zero_is_missing: bool = Field(True, description="true: a point with C = 0 was not measured.")
    fx: float | None = Field(
        None, gt=0, le=1e6, description='Focal length in pixels along the columns. "": Scan3dFocalLength.'
    )
    fy: float | None = Field(
        None, gt=0, le=1e6, description='Focal length in pixels along the rows. "": as fx.'
    )
    cx: float | None = Field(
        None, ge=-1e5, le=1e5, description='Column of the principal point. "": Scan3dPrincipalPointU.'
    )
    cy: float | None = Field(
        None, ge=-1e5, le=1e5, description='Row of the principal point. "": Scan3dPrincipalPointV.'
    )
    content: Literal["both", "picture", "points"] = Field(
        "both",
        description="Contents of a frame. picture, points: a 2D camera, or a sensor without picture, as a device of "
        "[two_devices].",
    )
    trigger_id: str = Field(
        "",
        max_length=64,
        description="Feature that says the number of a frame's trigger, for pair_by = trigger_id: ChunkCounterValue, "
        "for example. Empty: none.",
    )
    frame_id_bits: Literal[0, 16, 32, 64] = Field(
        0, description="Width of its frame ids. 0: 16 for GigE Vision without extended ids, else 64."
    )
    ptp_ahead_s: float = Field(
        37.0,
        ge=-100,
        le=100,
        description="Seconds that the device's PTP time is ahead of UTC. PTP counts TAI: 37. A master that hands out "
        "UTC: 0. Without PTP the time of arrival counts.",
    )
    silent_s: Seconds = Field(
        5.0, description="Seconds without a frame after which the device is asked whether it is still there."
    )

    @model_validator(mode="after")
    def _features_have_names(self) -> Self:
        for feature in self.features:
            if not feature.partition("=")[0].strip():
                raise ValueError(f"{feature!r} names no feature; write Name=Value, or a command's name")
        return self
