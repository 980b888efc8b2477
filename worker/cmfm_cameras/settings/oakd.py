"""The section `[oakd]`: a Luxonis OAK-D by depthai 3."""

from pydantic import Field

from cmfm_cameras.settings.streamed import StreamedSection


class OakdSection(StreamedSection):
    """A Luxonis OAK-D: the organised, coloured cloud of depthai's node RGBD."""

    width: int = Field(640, ge=16, le=8192, description="Columns of the frame.")
    height: int = Field(400, ge=16, le=8192, description="Rows of the frame.")
