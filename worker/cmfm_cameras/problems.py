"""Problems that keep a camera from running, as far as its settings and the files that they name tell."""

from cmfm_cameras.calib_id import with_calib_id
from cmfm_cameras.device import adapter_of, section_of
from cmfm_cameras.errors import InputError
from cmfm_cameras.fired import photo_eye_keys, require_the_eye_s_ids
from cmfm_cameras.options import options_of
from cmfm_cameras.settings.model import CameraSettings
from cmfm_protocol.files.key_files import KeyFileError


def problems_of(settings: CameraSettings) -> list[str]:
    """Return one sentence for each problem."""
    kind = settings.camera.kind
    problems = []
    for attempt in (
        lambda: options_of(settings.camera),
        lambda: adapter_of(kind).check(section_of(settings, kind)),
        lambda: photo_eye_keys(settings),
        lambda: require_the_eye_s_ids(settings),
        lambda: with_calib_id(settings),
    ):
        try:
            attempt()
        except (InputError, KeyFileError) as error:
            problems.append(str(error))
    return list(dict.fromkeys(problems))
