"""npm's sparkplug-payload in a Node process: decodes what we encode, encodes what we decode; skips without it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "foreign" / "sparkplug"


def _require(there: object, message: str) -> None:
    if there:
        return
    if os.environ.get("CMFM_FOREIGN_CLIENTS") == "required":
        pytest.fail(message)
    pytest.skip(message)


class SparkplugPayload:
    """The library, one request a line. Use it as a context."""

    def __init__(self) -> None:
        node = shutil.which("node")
        _require(node, "needs node")
        _require((FOLDER / "node_modules").is_dir(), f"needs `npm ci` in {FOLDER}")
        self._command = [str(node), str(FOLDER / "payloads.mjs")]

    def __enter__(self) -> SparkplugPayload:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=10)

    def decode(self, payload: bytes) -> dict[str, Any]:
        """A payload as the library sees it; 64-bit integers are text."""
        return self._ask({"decode": payload.hex()})

    def encode(self, *metrics: dict[str, Any]) -> bytes:
        """A payload with these metrics (name, type, value)."""
        return bytes.fromhex(self._ask({"encode": {"timestamp": 1000, "metrics": list(metrics)}})["hex"])

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def by_name(payload: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The metrics of a decoded payload by their names."""
    return {metric["name"]: metric for metric in payload["metrics"]}
