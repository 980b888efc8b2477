"""The options of the camera's socket, from the settings."""

from imagecodecs import deflate_crc32

from cmfm_cameras.settings.camera import CameraSection
from cmfm_client import CameraKeys, CameraOptions


def options_of(section: CameraSection) -> CameraOptions:
    """Return the options of the camera's socket. Raises KeyFileError."""
    return CameraOptions(
        section.endpoint,
        line=section.line,
        station=section.station,
        send_hwm=section.send_hwm,
        send_limit_ms=section.send_limit_ms,
        crc32=deflate_crc32,
        keys=CameraKeys.read(section.key, section.workers) if section.key else None,
    )
