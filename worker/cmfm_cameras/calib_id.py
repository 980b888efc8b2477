"""The name of the calibration that a camera's points are computed with, as frames say it."""

from cmfm_cameras.errors import InputError
from cmfm_cameras.geometry.calibration_file import read_calibration
from cmfm_cameras.settings.model import CameraSettings


def with_calib_id(settings: CameraSettings) -> CameraSettings:
    """Return the settings with the name of two devices' calibration file where `[camera] calib_id` is empty.

    Raises InputError if both have a name and they differ, and as `read_calibration` does.
    """
    file = settings.two_devices.calibration
    if settings.camera.kind != "two_devices" or file is None:
        return settings
    said, found = settings.camera.calib_id, read_calibration(file).calib_id
    if said and found and said != found:
        raise InputError(
            f"camera.calib_id is {said!r}, and {file} is {found!r}: leave one of them empty, or name the file that "
            "belongs to the devices"
        )
    return settings.model_copy(
        update={"camera": settings.camera.model_copy(update={"calib_id": said or found})}
    )
