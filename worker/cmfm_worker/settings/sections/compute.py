"""Sections about computation: recipes and weights, the device, the frame buffers and the batches."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from cmfm_protocol.wire.limits import MAX_MESSAGE_BYTES
from cmfm_settings.names import Name
from cmfm_settings.section import MAX_MS, ConfigPath, Seconds, Section

BYTES_PER_PIXEL: Final = 15
"""uint8 RGB and float32 XYZ."""

SidePx = Annotated[int, Field(ge=32, le=4096)]


class RecipesSection(Section):
    """Recipes of the products that this line inspects."""

    folder: ConfigPath = Field(
        Path("recipes"), description="Folder of the recipes, each a folder as `cmfm-worker fit` writes it."
    )
    names: tuple[Name, ...] = Field((), description="Recipes to load at the start. []: all in the folder.")
    default: Name | Literal[""] = Field(
        "",
        description='Recipe of frames whose header names none. "": such frames are FAULTs (unknown_recipe).',
    )
    may_be_empty: bool = Field(
        False,
        description="true: the line also starts without a recipe, to teach the first one from parts that run by. Until "
        "it is in use every part is a FAULT (unknown_recipe).",
    )


class WeightsSection(Section):
    """Weights of the extractors, brought by the user."""

    folder: ConfigPath = Field(
        Path("weights"),
        description="Folder of the weights files of the 2D extractor (DINO) and Point-MAE. Only recipes of the "
        "preset `paper` need it.",
    )


class DeviceSection(Section):
    """Where and how precisely the computation runs."""

    name: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$")] = Field(
        "auto", description="auto (CUDA if there is a device), cpu, cuda or cuda:1."
    )
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        "auto",
        description="Number format of the products of the preset `paper`: fp32, bf16, fp16 or int8. auto: fp32 on a "
        "CPU, bf16 on CUDA (fp16 before compute capability 8). For `lite` fp32 or bf16, for `classic` fp32. In other "
        "formats than fp32 scores differ by up to 4 %: teach in the same format.",
    )
    cuda_graphs: bool = Field(
        True,
        description="On CUDA: record fixed-shape work once and replay it. false: plain launches with the same "
        "results.",
    )
    threads: int = Field(
        0,
        ge=0,
        le=4096,
        description="CPU threads of one computation. 0: all cores but one. With a thread on every core any other "
        "program holds the computation up.",
    )
    warmup_px: SidePx | tuple[tuple[SidePx, SidePx], ...] = Field(
        400,
        description='Sizes of the frames inspected before the worker says "ready", in pixels: the side of a square, '
        "or [[height, width], [height, width]]. Use the sizes of your cameras.",
    )
    hang_limit_s: Seconds = Field(
        30.0,
        description="Seconds after which a batch counts as a hung device. All open parts are then FAULTs "
        "(worker_error) and the process ends with 5, to be started again. Set it well above your slowest batch.",
    )

    @property
    def warmup_shapes(self) -> tuple[tuple[int, int], ...]:
        """`warmup_px` as (height, width) of each frame."""
        px = self.warmup_px
        return px if isinstance(px, tuple) else ((px, px),)

    @property
    def expected_pixels(self) -> int:
        """Pixels of the largest warm-up frame. Memory for frames of this size is taken at the start."""
        return max((height * width for height, width in self.warmup_shapes), default=0)


class RingSection(Section):
    """The frame buffers."""

    slots: int = Field(
        16,
        ge=2,
        le=1024,
        description="Frames in the worker at once. When all slots are in use, a waiting frame that is too late to be "
        "inspected gives way (FAULT deadline); if there is none, the new frame is refused (FAULT ring_full).",
    )
    max_pixels: int = Field(
        1 << 20,
        ge=1 << 10,
        description="Largest frame, height x width in pixels. 15 bytes a pixel and slot are reserved.",
    )

    @field_validator("max_pixels")
    @classmethod
    def _within_the_wire(cls, value: int) -> int:
        if value * BYTES_PER_PIXEL > MAX_MESSAGE_BYTES:
            raise ValueError(f"{value} pixels do not fit into a message of {MAX_MESSAGE_BYTES} bytes")
        return value


class BatchSection(Section):
    """How frames are grouped for the device."""

    max_batch: int = Field(4, ge=1, le=256, description="Frames computed together, at most.")
    max_wait_ms: float = Field(
        2.0,
        ge=0,
        le=MAX_MS,
        allow_inf_nan=False,
        description="Milliseconds that a frame may wait for others to fill its batch.",
    )
    overlapped: bool = Field(
        True,
        description="true: decide and publish batch n-1 while batch n computes. false: the serial twin, for "
        "debugging.",
    )
