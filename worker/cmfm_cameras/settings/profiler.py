"""The section `[profiler]`: a line-scan sensor over a belt with an encoder."""

from typing import Literal, Self

from pydantic import Field, model_validator

from cmfm_protocol.wire.limits import MAX_SIDE_PX
from cmfm_settings.section import ConfigPath, Section


class ProfilerSection(Section):
    """A line-scan profiler whose rows are assembled by an encoder into frames."""

    source: Literal["genicam", "files"] = Field(
        "genicam",
        description="Where profiles come from. genicam: the device of `settings`. files: blocks in `path`.",
    )
    settings: ConfigPath | None = Field(
        None,
        description="Settings of the GenICam device: a file like this one, whose [genicam] counts. "
        "CMFM_CAMERA_DEPTH_GENICAM__<KEY> overrides its keys.",
    )
    path: ConfigPath | None = Field(
        None, description="Folder of blocks of profiles (.npz, docs/cameras.md), for source = files."
    )
    um_per_count: float = Field(
        10.0, gt=0, le=1e6, description="Micrometres that the belt moves a count of the encoder."
    )
    encoder_bits: Literal[16, 24, 32, 64] = Field(
        32, description="Width of the encoder's counter, which rolls over."
    )
    direction: Literal["up", "down"] = Field(
        "up", description="Whether the encoder counts up or down when the belt runs forward."
    )
    row_counts: int = Field(
        10, ge=1, le=1_000_000, description="Counts between two profiles, as the sensor's divider is set."
    )
    pitch_mm: float = Field(
        0.1,
        gt=0,
        le=100,
        description="Side of a pixel of the frame, in millimetres, along and across the belt.",
    )
    length_mm: float = Field(100.0, gt=0, le=100_000, description="Length of a frame along the belt.")
    left_mm: float = Field(
        -50.0, ge=-10_000, le=10_000, description="Where a frame begins across the belt, in the sensor's x."
    )
    width_mm: float = Field(100.0, gt=0, le=10_000, description="Width of a frame across the belt.")
    start: Literal["signal", "continuous"] = Field(
        "signal",
        description="Beginning of a frame. signal: the start input, which comes with each profile. continuous: one "
        "frame after the other.",
    )
    before_mm: float = Field(
        0.0,
        ge=-100_000,
        le=100_000,
        description="How much of the frame lies before the start signal. Negative: after.",
    )
    overlap_mm: float = Field(
        0.0,
        ge=0,
        le=100_000,
        description="By how much continuous frames overlap, so that each part is whole in one.",
    )
    steepest_deg: float = Field(
        80.0,
        ge=30,
        le=89,
        description="Steepest tilt of a surface, in degrees. Steeper neighbours are the edges of two surfaces, with "
        "nothing known between them.",
    )
    z: Literal["distance", "height"] = Field(
        "distance",
        description="Whether the sensor's z grows away from it (distance), or towards it (height).",
    )
    standoff_mm: float = Field(
        0.0,
        ge=0,
        le=20_000,
        description="Distance of the sensor from its z = 0. For heights it must be given: the wire carries distances.",
    )
    encoder_from: Literal["chunk", "rows"] = Field(
        "chunk",
        description="For genicam. chunk: ChunkEncoderValue of each row. rows: the encoder fires every row, so their "
        "count is the encoder.",
    )
    start_feature: str = Field(
        "ChunkLineStatusAll",
        max_length=64,
        description="For genicam: chunk feature that has the start signal.",
    )
    start_bit: int = Field(0, ge=0, le=63, description="For genicam: its bit in that feature.")

    @property
    def rows(self) -> int:
        """Rows of a frame."""
        return round(self.length_mm / self.pitch_mm)

    @property
    def columns(self) -> int:
        """Columns of a frame."""
        return round(self.width_mm / self.pitch_mm)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not (2 <= self.rows <= MAX_SIDE_PX and 2 <= self.columns <= MAX_SIDE_PX):
            raise ValueError(
                f"a frame of {self.length_mm:g} × {self.width_mm:g} mm at pitch_mm = {self.pitch_mm:g} has {self.rows} "
                f"× {self.columns} pixels; 2 to {MAX_SIDE_PX} are possible"
            )
        if self.overlap_mm >= self.length_mm:
            raise ValueError("overlap_mm must be below length_mm")
        if self.before_mm > self.length_mm:
            raise ValueError("before_mm must not be above length_mm")
        if self.z == "height" and not self.standoff_mm:
            raise ValueError('z = "height" needs standoff_mm, the distance of the sensor from height 0')
        if self.row_counts * self.um_per_count > 10_000 * self.pitch_mm:
            raise ValueError(
                f"row_counts · um_per_count = {self.row_counts * self.um_per_count / 1000:g} mm between two profiles "
                f"is more than ten pixels of {self.pitch_mm:g} mm"
            )
        return self
