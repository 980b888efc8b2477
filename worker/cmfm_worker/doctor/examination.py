"""The examination: the checks in their order."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from cmfm_protocol.files.key_files import read_pair
from cmfm_worker.doctor.check_answers import CHECKS, WORKER, check_program, check_worker
from cmfm_worker.doctor.check_cameras import CHECK as CAMERAS
from cmfm_worker.doctor.check_cameras import check_cameras
from cmfm_worker.doctor.check_clocks import CHECK as CLOCKS
from cmfm_worker.doctor.check_clocks import check_clocks
from cmfm_worker.doctor.check_disk import CHECK as DISK
from cmfm_worker.doctor.check_disk import check_disk
from cmfm_worker.doctor.check_frames import CHECK as FRAMES
from cmfm_worker.doctor.check_frames import check_frames
from cmfm_worker.doctor.check_ledger import CHECK as LEDGER
from cmfm_worker.doctor.check_ledger import check_ledger
from cmfm_worker.doctor.check_leftovers import CHECK as LEFTOVERS
from cmfm_worker.doctor.check_leftovers import check_leftovers
from cmfm_worker.doctor.check_permissions import CHECK as PERMISSIONS
from cmfm_worker.doctor.check_permissions import check_permissions
from cmfm_worker.doctor.check_ports import CHECK as PORTS
from cmfm_worker.doctor.check_ports import check_ports
from cmfm_worker.doctor.check_recipes import CHECK as RECIPES
from cmfm_worker.doctor.check_recipes import check_recipes
from cmfm_worker.doctor.check_settings import CHECK as SETTINGS
from cmfm_worker.doctor.check_settings import check_settings, read_other
from cmfm_worker.doctor.check_speed import CHECK as SPEED
from cmfm_worker.doctor.check_speed import check_speed
from cmfm_worker.doctor.findings import Check, Findings, guarded
from cmfm_worker.doctor.systemd_unit import Unit
from cmfm_worker.doctor.visit import Options, OtherProgram, Visit, find_worker
from cmfm_worker.errors import InputError
from cmfm_worker.settings.load import load_settings

Look = Callable[[Visit], Findings]

LOOKS: Final[tuple[tuple[Check, Look], ...]] = (
    (SETTINGS, check_settings),
    (RECIPES, check_recipes),
    (FRAMES, check_frames),
    (CAMERAS, check_cameras),
    (CLOCKS, check_clocks),
    (DISK, check_disk),
    (LEDGER, check_ledger),
    (LEFTOVERS, check_leftovers),
    (PORTS, check_ports),
    (PERMISSIONS, check_permissions),
    (SPEED, check_speed),
    (WORKER, check_worker),
    (CHECKS["cmfm-gateway"], lambda visit: check_program(visit, "cmfm-gateway")),
    (CHECKS["cmfm-hmi"], lambda visit: check_program(visit, "cmfm-hmi")),
)


def begin(
    config: Path,
    options: Options,
    *,
    gateway: Path | None = None,
    page: Path | None = None,
    unit: Unit | None = None,
) -> tuple[Visit, Findings]:
    """Read the settings and find the running worker. Settings of gateway or page that cannot be read are findings.

    Raises InputError for a `line.toml` that cannot be used: nothing can be looked at without it. Raises KeyFileError
    for a key of a client that cannot be read.
    """
    if options.key is not None:
        read_pair(options.key)
    settings = load_settings(config)
    others, found = [], []
    for program, path in (("cmfm-gateway", gateway), ("cmfm-hmi", page)):
        if path is not None:
            try:
                others.append(read_other(program, path))
            except InputError as error:
                found.append(SETTINGS.to_do(str(error), f"correct {path}"))
                others.append(OtherProgram(program, path, {}))
    worker = find_worker(settings, options.key)
    return Visit(config, settings, options, worker, tuple(others), unit), found


def examine(visit: Visit, tell: Callable[[str], None] = lambda _: None) -> Findings:
    """Make every check in its order; `tell` is called with the name of each before it begins."""
    found: Findings = []
    for check, look in LOOKS:
        tell(check.name)
        found += guarded(check, lambda look=look: look(visit))  # type: ignore[misc] # one look a turn
    return found
