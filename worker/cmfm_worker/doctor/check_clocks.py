"""Clocks: this machine's by NTP and PTP. Cameras on other hosts stamp their triggers by theirs."""

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, NamedTuple

from cmfm_settings.endpoints import is_local
from cmfm_worker.doctor.findings import Check, Finding, Findings
from cmfm_worker.doctor.kernel_clock import KernelClock, read_kernel_clock
from cmfm_worker.doctor.processes import processes
from cmfm_worker.doctor.systemd_unit import RunText, run_text
from cmfm_worker.doctor.visit import Visit

CHECK: Final = Check("clocks")
START_NTP: Final = "start one (chrony, systemd-timesyncd) and name a time server that the cameras use too"
LOOK_NTP: Final = "look at the time servers: `chronyc sources` or `timedatectl timesync-status`"
LOOK_PTP: Final = "look at the journal of ptp4l and phc2sys, at the cable, and at the grandmaster"

NTP_DAEMONS: Final = ("chronyd", "systemd-timesyn", "ntpd", "ntp-daemon")
"""The kernel's names of NTP daemons, at most 15 characters."""

SHARE: Final = 0.1
"""An offset beyond this share of `[intake] clock_tolerance_ms` is too much."""

PTP_LIMIT_S: Final = 0.001
PTP_DEVICES: Final = Path("/dev")


class Reading(NamedTuple):
    """A daemon's answer: whether it follows a server, how far this clock is off (s, None: not told), its words."""

    synchronised: bool
    offset_s: float | None
    words: str


def check_clocks(visit: Visit) -> Findings:
    """Look at NTP and PTP of this machine."""
    names = {process.name for process in processes()}
    limit_s = visit.settings.intake.clock_tolerance_ms / 1e3 * SHARE
    elsewhere = any(not is_local(endpoint) for endpoint in visit.settings.camera_names)
    return [
        *ntp_findings(names, run_text, read_kernel_clock, limit_s, elsewhere=elsewhere),
        *ptp_findings(names, run_text, read_kernel_clock),
    ]


def ntp_findings(
    names: Collection[str],
    run: RunText,
    kernel: Callable[[], KernelClock],
    limit_s: float,
    *,
    elsewhere: bool,
) -> list[Finding]:
    """Look at the NTP daemon among the processes `names`, or without one at the kernel. `elsewhere`: other cameras."""
    daemon = next((name for name in NTP_DAEMONS if name in names), None)
    if daemon is None:
        return [_without_daemon(kernel(), limit_s, elsewhere=elsewhere)]
    reading = (
        _chrony(run) if daemon == "chronyd" else _timesyncd(run) if daemon == "systemd-timesyn" else None
    )
    if reading is None:
        clock = kernel()
        reading = Reading(clock.synchronised, clock.offset_s, f"at most {_ms(clock.max_error_s)} off")
    said = f"NTP ({daemon}): {reading.words}"
    if not reading.synchronised:
        return [CHECK.to_do(f"{said}; it follows no time server", LOOK_NTP)]
    if reading.offset_s is not None and abs(reading.offset_s) > limit_s:
        return [CHECK.to_do(f"{said}; more than {_ms(limit_s)}", LOOK_NTP)]
    return [CHECK.good(said)]


def _without_daemon(clock: KernelClock, limit_s: float, *, elsewhere: bool) -> Finding:
    said = "no NTP daemon runs on this machine"
    if clock.synchronised and clock.max_error_s <= limit_s:
        return CHECK.good(f"{said}; the kernel's clock is synchronised, at most {_ms(clock.max_error_s)} off")
    state = "is not synchronised" if not clock.synchronised else f"may be {_ms(clock.max_error_s)} off"
    if elsewhere:
        return CHECK.to_do(
            f"{said}, and its clock {state}; cameras on other hosts stamp their triggers", START_NTP
        )
    return CHECK.note(f"{said}, and its clock {state}; all cameras are on this machine and share it")


def _chrony(run: RunText) -> Reading | None:
    text = run(["chronyc", "-n", "tracking"])
    if text is None:
        return None
    offset = re.search(r"^System time\s*:\s*([\d.]+) seconds (slow|fast)", text, re.MULTILINE)
    leap = re.search(r"^Leap status\s*:\s*(.+)$", text, re.MULTILINE)
    server = re.search(r"^Reference ID\s*:\s*\S+ \((.*)\)", text, re.MULTILINE)
    if offset is None or leap is None:
        return None
    offset_s = float(offset[1]) * (-1 if offset[2] == "slow" else 1)
    words = f"{_ms(abs(offset_s))} {offset[2]} of {server[1] if server and server[1] else 'no server'}"
    return Reading(leap[1].strip() != "Not synchronised", offset_s, words)


def _timesyncd(run: RunText) -> Reading | None:
    status = run(["timedatectl", "timesync-status"])
    synchronised = run(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    if status is None or synchronised is None:
        return None
    offset = re.search(r"^\s*Offset:\s*([+-]?)(.+)$", status, re.MULTILINE)
    server = re.search(r"^\s*Server:\s*(.+)$", status, re.MULTILINE)
    offset_s = None if offset is None else _span_s(offset[2]) * (-1 if offset[1] == "-" else 1)
    words = "offset not told" if offset_s is None else f"{_ms(offset_s)} off"
    return Reading(
        synchronised.strip() == "yes", offset_s, f"{words}, {server[1] if server else 'no server'}"
    )


_UNITS_S: Final = {
    "us": 1e-6,
    "μs": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}


def _span_s(text: str) -> float:
    """Return the seconds of a span as systemd writes it: `1min 3.5s`, `812us`."""
    return sum(
        float(number) * _UNITS_S.get(unit, 0.0) for number, unit in re.findall(r"([\d.]+)\s*([a-zμµ]+)", text)
    )


def ptp_findings(
    names: Collection[str],
    run: RunText,
    kernel: Callable[[], KernelClock],
    devices: Path = PTP_DEVICES,
) -> list[Finding]:
    """Look at ptp4l and at the network card's clock, if there are any."""
    if "ptp4l" not in names:
        return [CHECK.note("no ptp4l runs on this machine: PTP is not used here")]
    found = [_ptp4l(run)]
    clocks = sorted(devices.glob("ptp[0-9]*"))
    if "phc2sys" in names and clocks:
        found.append(_phc(clocks[0], run, kernel()))
    elif clocks:
        found.append(
            CHECK.note(
                "PTP sets the network card's clock; no phc2sys runs, so the system's does not follow it"
            )
        )
    return found


def _ptp4l(run: RunText) -> Finding:
    text = run(["pmc", "-u", "-b", "0", "GET TIME_STATUS_NP"]) or ""
    offset = re.search(r"master_offset\s+(-?\d+)", text)
    present = re.search(r"gmPresent\s+(\w+)", text)
    if offset is None or present is None:
        return CHECK.not_checked(
            "PTP: ptp4l runs and does not tell its offset", "run doctor as root, with linuxptp's pmc"
        )
    if present[1] != "true":
        return CHECK.note("PTP: ptp4l sees no other grandmaster; this machine is the master, or alone")
    offset_s = int(offset[1]) / 1e9
    said = f"PTP: {_ms(offset_s)} off its grandmaster"
    return CHECK.good(said) if abs(offset_s) <= PTP_LIMIT_S else CHECK.to_do(said, LOOK_PTP)


def _phc(device: Path, run: RunText, clock: KernelClock) -> Finding:
    """Compare the network card's clock, which may count TAI, with the system's."""
    text = run(["phc_ctl", str(device), "cmp"]) or ""
    match = re.search(r"offset from CLOCK_REALTIME is (-?\d+)ns", text)
    if match is None:
        return CHECK.not_checked(
            f"PTP: {device} does not tell its time", "run doctor as root, with linuxptp's phc_ctl"
        )
    apart_s = int(match[1]) / 1e9
    offset_s = min((apart_s, apart_s - clock.tai_s, apart_s + clock.tai_s), key=abs)
    said = f"PTP: {device} is {_ms(offset_s)} off the system's clock"
    return CHECK.good(said) if abs(offset_s) <= PTP_LIMIT_S else CHECK.to_do(said, LOOK_PTP)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
