"""Integrity: the CRC-32 of each array, the seal, and `sealed`."""

import zlib
from typing import Final

from cmfm_protocol.wire.frame import seal
from cmfm_sim.conform.heard import Heard
from cmfm_sim.conform.report_lines import CheckLog, ReportLine

SEND_CHECKSUMS: Final = (
    "recommended: damage on the way or in memory is seen, and intake.sealed_only can refuse what has none"
)


class IntegrityCheck:
    """Compares checksums with the bytes that they cover, and says which other checksum a wrong one is."""

    def __init__(self) -> None:
        self._log = CheckLog("checksums", "Integrity")
        self._frames = 0
        self._sealed = 0
        self._with_crc = 0

    def frame(self, heard: Heard) -> None:
        """Check a frame."""
        self._frames += 1
        self._seal(heard, at=4)
        self._arrays(heard)

    def trigger(self, heard: Heard) -> None:
        """Check a trigger message."""
        self._seal(heard, at=2)

    def lines(self) -> list[ReportLine]:
        """The report."""
        if self._frames and self._with_crc < self._frames:
            self._log.remark(
                f"{self._frames - self._with_crc} of {self._frames} frames have an array without crc32",
                SEND_CHECKSUMS,
            )
        if self._frames and self._sealed < self._frames:
            self._log.remark(
                f"{self._frames - self._sealed} of {self._frames} frames have no seal", SEND_CHECKSUMS
            )
        seen = self._sealed or self._with_crc
        return self._log.lines("every crc32 and seal that was sent fits" if seen else "")

    def _seal(self, heard: Heard, at: int) -> None:
        announced = heard.raw.get("sealed") is True
        if len(heard.frames) <= at:
            if announced:
                self._log.fail(
                    "sealed is true and no seal follows",
                    "send the CRC-32 of the map as the last message frame",
                    heard.name,
                )
            return
        body, found = bytes(heard.frames[1]), bytes(heard.frames[at])
        right = seal(body)
        if found == right:
            self._sealed += heard.kind == "frame"
            if not announced:
                self._log.remark(
                    "the map of a sealed message does not say sealed",
                    "write sealed: true, so that a lost seal is an error",
                )
            return
        self._log.fail(
            f"the seal does not fit{_seal_guess(body, found, right)}",
            "CRC-32 (zlib's) of the map's bytes as sent, 4 bytes, big-endian",
            heard.name,
        )

    def _arrays(self, heard: Heard) -> None:
        specs = heard.fields.get("arrays", ())
        self._with_crc += len(specs) == 2 and all(spec.crc32 is not None for spec in specs)
        for spec, data in zip(specs, heard.frames[2:4], strict=False):
            crc32 = zlib.crc32(data)
            if spec.crc32 is None or spec.crc32 == crc32:
                continue
            self._log.fail(
                f"crc32 of {spec.name} does not fit its bytes{_crc_guess(data, spec.crc32, crc32)}",
                "zlib's CRC-32 (ISO-HDLC) of the array's bytes as they are sent; change no array while it is sent",
                heard.name,
            )


def _seal_guess(body: bytes, found: bytes, right: bytes) -> str:
    if found == right[::-1]:
        return ": it is little-endian"
    if found.lower() in (right.hex().encode(), str(int.from_bytes(right, "big")).encode()):
        return ": it is text"
    if len(found) != len(right):
        return f": it has {len(found)} bytes"
    return f": it is {name}" if (name := _other_sum(body, int.from_bytes(found, "big"))) else ""


def _crc_guess(data: bytes | memoryview, found: int, right: int) -> str:
    if found == int.from_bytes(right.to_bytes(4, "big"), "little"):
        return ": its bytes are reversed"
    return f": it is {name}" if (name := _other_sum(data, found)) else ""


def _other_sum(data: bytes | memoryview, found: int) -> str:
    if found == zlib.adler32(data):
        return "Adler-32"
    if found == zlib.crc32(data) ^ 0xFFFF_FFFF:
        return "the CRC-32 without its final inversion"
    return ""
