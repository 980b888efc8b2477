"""`cmfm-camera play DIR`: a recording as the camera of some settings."""

from pathlib import Path

from cmfm_cameras.run import run_camera
from cmfm_cameras.settings.model import CameraSettings
from cmfm_cameras.settings.recording import RecordingSection


def play(config: Path, folder: Path, speed: float, repeat: bool) -> int:
    """Publish the recording until its end or a signal. Returns the exit code. Raises as `run_camera` does."""

    def as_recording(settings: CameraSettings) -> CameraSettings:
        section = RecordingSection(path=folder, speed=speed, repeat=repeat)
        camera = settings.camera.model_copy(update={"kind": "recording"})
        return settings.model_copy(update={"camera": camera, "recording": section})

    return run_camera(config, as_recording)
