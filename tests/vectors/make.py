"""Writes the golden messages of wire version 1 with msgpack, zlib and struct alone: `python tests/vectors/make.py`.

Nothing of cmfm_protocol is used, so that the bytes follow WIRE.md and not our encoder. One file a message, one line a
message frame, in hex. The files are a contract with cameras and subscribers in the field: within major version 1 they
never change, and this program writes only files that are missing.
"""

import struct
import zlib
from pathlib import Path
from typing import Any

import msgpack

FOLDER = Path(__file__).parent
RGB = bytes(range(18))  # 2 rows, 3 columns
XYZ = struct.pack("<18f", *[0.0] * 3, *[float("nan")] * 3, *[0.125 * n - 0.25 for n in range(12)])
STREAM = "0d4c9c9e6a1b4f6fb8f9b2f6d0a3c111"
BOOT = "7be1f0f6b7a94f0d9d6a3c5e2b1a0f22"


def array(name: str, dtype: str, data: bytes, unit: str, invalid: str, *, crc: bool) -> dict[str, object]:
    spec = {
        "name": name,
        "dtype": dtype,
        "shape": [2, 3, 3],
        "nbytes": len(data),
        "unit": unit,
        "invalid": invalid,
    }
    return {**spec, "crc32": zlib.crc32(data) if crc else None}


def frame(**sensor: float) -> list[bytes]:
    header = msgpack.packb(
        {
            "v": 1,
            "stream_uuid": STREAM,
            "seq": 41,
            "part_id": "bagel-0041",
            "trigger_ns": 1_760_000_000_123_456_789,
            "deadline_ms": 150.0,
            "recipe": "bagel",
            "clock": "realtime",
            "encoder": -7,
            "calib_id": "cal-2025-10",
            "simulated": True,
            "pub_drops": 2,
            **sensor,
            "arrays": [
                array("rgb", "|u1", RGB, "sRGB", "none", crc=True),
                array("xyz", "<f4", XYZ, "m", "nan|0,0,0", crc=True),
            ],
            "sealed": True,
        }
    )
    return [b"cmfm/1/line1/station1/frame/", header, RGB, XYZ, struct.pack(">I", zlib.crc32(header))]


def frame_bare() -> list[bytes]:
    """The least a camera may send: no checksums, no optional keys but one that was its own before 1.3."""
    header = {"v": 1, "stream_uuid": STREAM, "seq": 0, "part_id": "", "trigger_ns": 0, "clock": "none"}
    specs = [
        array("rgb", "|u1", RGB, "sRGB", "none", crc=False),
        array("xyz", "<f4", XYZ, "m", "nan|0,0,0", crc=False),
    ]
    for spec in specs:
        del spec["crc32"]
    rest = {"deadline_ms": 200, "recipe": "", "exposure_us": 800, "arrays": specs}
    return [b"cmfm/1/line1/station1/frame/", msgpack.packb({**header, **rest}), RGB, XYZ]


RESULT_FAIL = {
    "v": 1,
    "result_id": 42,
    "boot_id": BOOT,
    "stream_uuid": STREAM,
    "seq": 41,
    "part_id": "bagel-0041",
    "verdict": "FAIL",
    "reason": "above_threshold",
    "detail": "",
    "score": 0.75,
    "threshold": 0.5,
    "recipe": "bagel",
    "model_sha": "5f" * 32,
    "calib_id": "cal-2025-10",
    "trigger_ns": 1_760_000_000_123_456_789,
    "received_ns": 1_760_000_000_133_456_789,
    "done_ns": 1_760_000_000_183_456_789,
    "latency_us": 60_000,
    "deadline_met": True,
    "simulated": True,
    "queue_free": 15,
    "drops_total": 3,
    "coverage": 0.875,
    "peak_px": [100, 120],
    "peak_xyz_m": [0.0125, -0.0625, 0.5],
    "regions": [
        {
            "bbox": [96, 112, 108, 128],
            "area_px": 150,
            "area_mm2": 37.5,
            "peak": 0.75,
            "peak_px": [100, 120],
            "modality": "3d",
        }
    ],
    "map_ref": f"{BOOT}/42",
}
RESULT_LOST = {
    **RESULT_FAIL,
    "result_id": 43,
    "seq": 42,
    "part_id": "",
    "verdict": "FAULT",
    "reason": "lost",
    "detail": "no frame arrived for this seq",
    "score": None,
    "threshold": None,
    "recipe": "",
    "model_sha": "",
    "calib_id": "",
    "received_ns": None,
    "deadline_met": False,
    "simulated": False,
    "coverage": None,
    "peak_px": None,
    "peak_xyz_m": None,
    "regions": [],
    "map_ref": "",
}
CAMERA_STATE = {
    "v": 1,
    "stream_uuid": STREAM,
    "next_seq": 43,
    "closing": False,
    "sent_ns": 1_760_000_001 * 10**9,
    "pub_drops": 2,
}
WORKER_STATE: dict[str, Any] = {
    "boot_id": BOOT,
    "phase": "ready",
    "uptime_s": 12.5,
    "counts": {"triggers": 43, "pass": 40, "fail": 1, "undecided": 1, "fault": 1},
    "faults_by_reason": {"lost": 1},
    "sources": [
        {
            "endpoint": "tcp://127.0.0.1:5555",
            "stream_uuid": STREAM,
            "alive": True,
            "last_seen_ns": 1_760_000_000 * 10**9,
        }
    ],
    "queue_free": 16,
    "in_flight": 0,
    "recipes": ["bagel", "cookie"],
    "device": "cpu",
    "sent_ns": 1_760_000_001 * 10**9,
}
WORKER_STATE_PART_MS = {**WORKER_STATE, "part_ms": 104.5}
WORKER_STATE_NAMED = {
    **WORKER_STATE_PART_MS,
    "sources": [
        {**source, "last_frame_ns": 1_759_999_999 * 10**9, "name": "left"}
        for source in WORKER_STATE["sources"]
    ],
}
WORKER_STATE_COLLECTING = {
    **WORKER_STATE_NAMED,
    "collecting": {
        "product": "praline",
        "wanted": 50,
        "collected": 12,
        "dropped": 1,
        "every": 3,
        "frames_of": "bagel",
        "detail": "the disk is full",
    },
}
RESULT_FAIL_NAMED = {**RESULT_FAIL, "camera": "left"}
RESULT_LOST_NAMED = {**RESULT_LOST, "camera": "left"}
TRIGGER = {
    "v": 1,
    "stream_uuid": STREAM,
    "seq": 41,
    "part_id": "bagel-0041",
    "trigger_ns": 1_760_000_000_123_456_789,
    "deadline_ms": 150.0,
    "recipe": "bagel",
    "clock": "realtime",
    "encoder": -7,
    "calib_id": "cal-2025-10",
    "simulated": True,
    "sealed": True,
}


def trigger() -> list[bytes]:
    body = msgpack.packb(TRIGGER)
    return [b"cmfm/1/line1/station1/trigger/", body, struct.pack(">I", zlib.crc32(body))]


def trigger_bare() -> list[bytes]:
    """The least that announces a part: no checksum, no optional keys, a key of its own."""
    told = {"stream_uuid": STREAM, "seq": 0, "part_id": "", "trigger_ns": 0, "deadline_ms": 200, "recipe": ""}
    body = msgpack.packb({"v": 1, **told, "clock": "none", "photo_eye": 3})
    return [b"cmfm/1/line1/station1/trigger/", body]


REQUESTS = {
    "status": {"v": 1, "id": "1", "op": "status"},
    "load_recipe": {"v": 1, "id": "2", "recipe": "bagel", "op": "load_recipe"},
    "drain": {"v": 1, "id": "3", "op": "drain"},
    "announce": {
        "v": 1,
        "id": "5",
        "trigger": {**{key: value for key, value in TRIGGER.items() if key != "v"}, "sealed": False},
        "op": "announce",
    },
    "announce_named": {
        "v": 1,
        "id": "5",
        "trigger": {**{key: value for key, value in TRIGGER.items() if key != "v"}, "sealed": False},
        "camera": "left",
        "op": "announce",
    },
    "collect": {
        "v": 1,
        "id": "6",
        "product": "praline",
        "wanted": 50,
        "every": 3,
        "frames_of": "bagel",
        "op": "collect",
    },
    "audit": {
        "v": 1,
        "id": "7",
        "entry_id": "c0ffee",
        "at_ns": 1_760_000_000 * 10**9,
        "who": "ann",
        "what": "recipe.threshold",
        "subject": "bagel",
        "before": "0.5",
        "after": "0.625",
        "op": "audit",
    },
    "results_since": {
        "v": 1,
        "id": "4",
        "boot_id": BOOT,
        "result_id": 41,
        "limit": 100,
        "op": "results_since",
    },
}
REPLY = {"v": 1, "id": "1", "ok": True, "error": "", "state": None, "page": None}


def messages() -> dict[str, list[bytes]]:
    results = [RESULT_FAIL, RESULT_LOST]
    page = {"boot_id": BOOT, "oldest_id": 1, "newest_id": 43, "complete": True, "results": results}
    refusal = {**REPLY, "id": "2", "ok": False, "error": "no recipe 'bagle' here"}
    maps = {
        "result_v1_fail": RESULT_FAIL,
        "result_v1_lost": RESULT_LOST,
        "camera_state_v1": CAMERA_STATE,
        "worker_state_v1": {"v": 1, **WORKER_STATE},
        "worker_state_v1_part_ms": {"v": 1, **WORKER_STATE_PART_MS},
        "result_v1_fail_named": RESULT_FAIL_NAMED,
        "result_v1_lost_named": RESULT_LOST_NAMED,
        "worker_state_v1_named": {"v": 1, **WORKER_STATE_NAMED},
        "worker_state_v1_collecting": {"v": 1, **WORKER_STATE_COLLECTING},
    }
    topics = {"result": b"cmfm/1/line1/station1/result/", "state": b"cmfm/1/line1/station1/state/"}
    bodies = {f"request_v1_{op}": request for op, request in REQUESTS.items()} | {
        "reply_v1_refused": refusal,
        "reply_v1_state": {**REPLY, "state": WORKER_STATE},
        "reply_v1_state_part_ms": {**REPLY, "state": WORKER_STATE_PART_MS},
        "reply_v1_page": {**REPLY, "id": "4", "page": page},
        "reply_v1_state_named": {**REPLY, "state": WORKER_STATE_NAMED},
        "reply_v1_state_collecting": {**REPLY, "state": WORKER_STATE_COLLECTING},
        "reply_v1_page_named": {
            **REPLY,
            "id": "4",
            "page": {**page, "results": [RESULT_FAIL_NAMED, RESULT_LOST_NAMED]},
        },
    }
    return (
        {
            "frame_v1": frame(),
            "frame_v1_sensor": frame(exposure_us=2500.5, gain=1.5, temperature_c=41.25),
            "frame_v1_bare": frame_bare(),
        }
        | {"trigger_v1": trigger(), "trigger_v1_bare": trigger_bare()}
        | {
            name: [topics["result" if "result" in name else "state"], msgpack.packb(m)]
            for name, m in maps.items()
        }
        | {name: [msgpack.packb(body)] for name, body in bodies.items()}
    )


if __name__ == "__main__":
    for name, frames in messages().items():
        path = FOLDER / f"{name}.hex"
        if not path.exists():
            path.write_text("".join(f"{frame.hex()}\n" for frame in frames), encoding="ascii")
