"""All settings of a camera in one frozen object. `load` reads it."""

from pydantic import BaseModel, ConfigDict

from cmfm_cameras.settings.camera import CameraSection
from cmfm_cameras.settings.ensenso import EnsensoSection
from cmfm_cameras.settings.folder import FolderSection
from cmfm_cameras.settings.genicam import GenicamSection
from cmfm_cameras.settings.mecheye import MecheyeSection
from cmfm_cameras.settings.oakd import OakdSection
from cmfm_cameras.settings.orbbec import OrbbecSection
from cmfm_cameras.settings.photoneo import PhotoneoSection
from cmfm_cameras.settings.profiler import ProfilerSection
from cmfm_cameras.settings.realsense import RealsenseSection
from cmfm_cameras.settings.recording import RecordingSection
from cmfm_cameras.settings.two_devices import TwoDevicesSection
from cmfm_cameras.settings.zivid import ZividSection
from cmfm_settings.http_section import HttpSection
from cmfm_settings.log_section import LogSection


class CameraSettings(BaseModel):
    """All settings of `cmfm-camera`, a field each section of `camera.toml`. Each kind of device has one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    camera: CameraSection = CameraSection()
    ensenso: EnsensoSection = EnsensoSection()
    folder: FolderSection = FolderSection()
    genicam: GenicamSection = GenicamSection()
    mecheye: MecheyeSection = MecheyeSection()
    oakd: OakdSection = OakdSection()
    orbbec: OrbbecSection = OrbbecSection()
    photoneo: PhotoneoSection = PhotoneoSection()
    profiler: ProfilerSection = ProfilerSection()
    realsense: RealsenseSection = RealsenseSection()
    recording: RecordingSection = RecordingSection()
    two_devices: TwoDevicesSection = TwoDevicesSection()
    zivid: ZividSection = ZividSection()
    log: LogSection = LogSection()
    metrics: HttpSection = HttpSection()
