"""The check of the clocks: chrony, timesyncd, the kernel and PTP, each right and wrong."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.unit.made.examined import said

from cmfm_worker.doctor.check_clocks import ntp_findings, ptp_findings
from cmfm_worker.doctor.findings import Finding, Outcome
from cmfm_worker.doctor.kernel_clock import KernelClock, read_kernel_clock

GOOD_KERNEL = KernelClock(True, 0.005, 0.0, 37)
LOOSE_KERNEL = KernelClock(False, 16.0, 0.0, 0)

TRACKING = """Reference ID    : C0A80001 (192.168.0.1)
Stratum         : 3
System time     : {offset} seconds {way} of NTP time
Last offset     : -0.000000117 seconds
Leap status     : {leap}
"""
TIMESYNC = """       Server: 192.168.0.1 (192.168.0.1)
Poll interval: 34min 8s (min: 32s; max 34min 8s)
         Leap: normal
       Offset: {offset}
        Delay: 1.2ms
"""
PMC = """sending: GET TIME_STATUS_NP
        b8599f.fffe.1234-0 seq 0 RESPONSE MANAGEMENT TIME_STATUS_NP
                master_offset              {offset}
                gmPresent                  {present}
"""


class Programs:
    """Programs of this machine by the first word of their command, with what they print."""

    def __init__(self, **printed: str) -> None:
        self._printed = printed

    def __call__(self, command: Sequence[str]) -> str | None:
        if command[:2] == ["timedatectl", "show"]:
            return self._printed.get("synchronised")
        return self._printed.get(command[0])


def ntp(
    daemon: str, kernel: KernelClock = GOOD_KERNEL, *, elsewhere: bool = True, **printed: str
) -> list[Finding]:
    return ntp_findings({daemon}, Programs(**printed), lambda: kernel, 0.1, elsewhere=elsewhere)


def chrony(offset: str, way: str = "fast", leap: str = "Normal") -> list[Finding]:
    return ntp("chronyd", chronyc=TRACKING.format(offset=offset, way=way, leap=leap))


def timesyncd(offset: str, synchronised: str = "yes") -> list[Finding]:
    return ntp(
        "systemd-timesyn", timedatectl=TIMESYNC.format(offset=offset), synchronised=f"{synchronised}\n"
    )


@pytest.mark.parametrize(
    ("found", "outcome", "words"),
    [
        (chrony("0.000021"), Outcome.GOOD, "0.021 ms fast of 192.168.0.1"),
        (chrony("0.25", "slow"), Outcome.TO_DO, "more than 100 ms"),
        (chrony("0.0", leap="Not synchronised"), Outcome.TO_DO, "follows no time server"),
        (timesyncd("-812us"), Outcome.GOOD, "-0.812 ms off, 192.168.0.1"),
        (timesyncd("+1min 3.5s"), Outcome.TO_DO, "6.35e+04 ms"),
        (timesyncd("+1ms", "no"), Outcome.TO_DO, "follows no time server"),
        (ntp("ntpd"), Outcome.GOOD, "at most 5 ms off"),
        (ntp("ntpd", LOOSE_KERNEL), Outcome.TO_DO, "follows no time server"),
        (ntp("chronyd", LOOSE_KERNEL), Outcome.TO_DO, "follows no time server"),
        (ntp("sshd"), Outcome.GOOD, "no NTP daemon runs on this machine; the kernel's clock is synchronised"),
        (ntp("sshd", LOOSE_KERNEL), Outcome.TO_DO, "cameras on other hosts"),
        (ntp("sshd", LOOSE_KERNEL, elsewhere=False), Outcome.NOTE, "all cameras are on this machine"),
    ],
)
def test_ntp(found: list[Finding], outcome: Outcome, words: str) -> None:
    """Each daemon is asked in its own way; one that cannot be asked is judged by the kernel's clock."""
    assert words in said(found, outcome)
    assert len(found) == 1


def ptp(device: Path, *names: str, **printed: str) -> list[Finding]:
    return ptp_findings(names, Programs(**printed), lambda: GOOD_KERNEL, device)


def test_machine_without_ptp_says_so(tmp_path: Path) -> None:
    """PTP is not needed everywhere."""
    assert "no ptp4l runs" in said(ptp(tmp_path, "sshd"), Outcome.NOTE)


@pytest.mark.parametrize(
    ("offset", "present", "outcome"),
    [("-73", "true", Outcome.GOOD), ("4000000", "true", Outcome.TO_DO), ("0", "false", Outcome.NOTE)],
)
def test_offset_of_ptp4l(tmp_path: Path, offset: str, present: str, outcome: Outcome) -> None:
    """Nanoseconds are good, milliseconds are not, and a master has no offset."""
    (finding,) = ptp(tmp_path, "ptp4l", pmc=PMC.format(offset=offset, present=present))
    assert finding.outcome is outcome


def test_ptp4l_that_does_not_tell_is_not_good(tmp_path: Path) -> None:
    """It is asked over a socket of root's."""
    assert "run doctor as root" in said(ptp(tmp_path, "ptp4l"), Outcome.NOT_CHECKED)


@pytest.mark.parametrize(
    ("apart_ns", "outcome"),
    [
        (37_000_000_120, Outcome.GOOD),
        (-37_000_000_120, Outcome.GOOD),
        (90, Outcome.GOOD),
        (36_500_000_000, Outcome.TO_DO),
    ],
)
def test_clock_of_the_network_card_counts_tai(tmp_path: Path, apart_ns: int, outcome: Outcome) -> None:
    """It may be ahead of UTC by the leap seconds, and by nothing else."""
    (tmp_path / "ptp0").touch()
    text = f"phc_ctl[1.0]: offset from CLOCK_REALTIME is {apart_ns}ns\n"
    found = ptp(tmp_path, "ptp4l", "phc2sys", pmc=PMC.format(offset=1, present="true"), phc_ctl=text)
    assert found[1].outcome is outcome


def test_network_card_that_nobody_follows(tmp_path: Path) -> None:
    """ptp4l without phc2sys sets the card's clock alone."""
    (tmp_path / "ptp0").touch()
    found = ptp(tmp_path, "ptp4l", pmc=PMC.format(offset=1, present="true"))
    assert "no phc2sys" in said(found, Outcome.NOTE)


def test_the_kernel_answers() -> None:
    """adjtimex(2) is read, and the clock is not changed."""
    clock = read_kernel_clock()
    assert clock.max_error_s >= 0
    assert 0 <= clock.tai_s < 100
