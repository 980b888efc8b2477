"""Coverage-guided fuzzing of one decoder with atheris (`pip install -e '.[fuzz]'`; Linux, x86-64).

    python -m tests.fuzz.atheris_decoders frame --minutes 10
    python -m tests.fuzz.atheris_decoders --list

Starts from the stored corpus and the golden messages; what reaches new code is kept in --found (default: a folder that
is thrown away), and --store puts a small set that reaches the same lines into tests/fuzz/corpus. A finding ends it with
a traceback, exit code 77, and the message in a file.

Besides libFuzzer's blind mutations half of them are made on the message's structure: a value replaced, a key removed,
the seal and checksums made to fit again, so that what lies behind them is reached.
"""

import argparse
import hashlib
import random
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final

import atheris
import msgpack

with atheris.instrument_imports(include=["cmfm_protocol", "msgpack", "tifffile", "PIL"]):
    import cmfm_protocol.files.picture_files  # noqa: F401 (modules are instrumented as they are loaded)

from .corpus_files import CORPUS, join, message_of, seed_of, split
from .mutations import mutate
from .targets import DECODERS, Decoder, golden_targets, made_targets, survive

MAX_BYTES: Final = 1 << 15
VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 2**31, 2**53, 2**63 - 1, 2**64 - 1, 0.0, -0.5, 1e308, float("nan"), float("inf"),
    "", "a", "PASS", "FAIL", "below_threshold", "realtime", "a\n", "\ud7ff", "x" * 300,
    b"", b"\0", [], [1], {}, {"v": 1},
)  # fmt: skip

Step = tuple[str, int, int]
"""File, a line, and the line that came after it."""

Mutator = Callable[[bytes, int, int], bytes]


def replace_value(rng: random.Random, value: Any) -> Any:
    """Somewhere inside a map or list, another value, one entry less or one more."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        changed = dict(value)
        match rng.randrange(6):
            case 0:
                del changed[key]
            case 1:
                changed[rng.choice(("v", "op", "id", "x"))] = rng.choice(VALUES)
            case _:
                changed[key] = replace_value(rng, value[key])
        return changed
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        inner = replace_value(rng, value[at])
        return [
            *value[:at],
            *rng.choice(((), (inner,), (inner,), (inner,), (inner, inner))),
            *value[at + 1 :],
        ]
    return rng.choice(VALUES)


def restructure(rng: random.Random, frames: Sequence[bytes]) -> list[bytes]:
    """Change a value in the message's map and make its checksums fit; bytes that are not a map are changed as bytes."""
    at = 0 if len(frames) == 1 else 1
    try:
        data = msgpack.unpackb(frames[at])
    except Exception:  # noqa: BLE001 (whatever it is, it is no map)
        return mutate(rng, frames)
    body = msgpack.packb(replace_value(rng, data), unicode_errors="surrogatepass")
    changed = [*frames[:at], body, *frames[at + 1 :]]
    if len(changed) == 5:
        changed[4] = zlib.crc32(body).to_bytes(4, "big")
    return changed


def mutator_of(decoder: Decoder) -> Mutator:
    """Half blind, half structural; files have no structure that we know."""

    def custom(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if decoder.name in ("png", "tiff", "topic") or rng.random() < 0.5:
            return bytes(atheris.Mutate(data, max_size))
        frames = split(bytes(data))
        changed = restructure(rng, frames) if rng.random() < 0.8 else mutate(rng, frames)
        return join(changed)[:max_size]

    return custom


def seeds(decoder: Decoder, folder: Path) -> None:
    """The good messages of a decoder, as files."""
    for target in golden_targets() + made_targets():
        if target.decoder is decoder:
            (folder / target.name).write_bytes(seed_of(decoder, target.message))


def run(decoder: Decoder, folders: Sequence[Path], libfuzzer: Sequence[str]) -> None:
    """Fuzz until libFuzzer's own limits say stop; it ends the process."""

    def one_input(data: bytes) -> None:
        survive(decoder, message_of(decoder, data))

    arguments = [sys.argv[0], *libfuzzer, *(str(folder) for folder in folders)]
    atheris.Setup(arguments, one_input, custom_mutator=mutator_of(decoder))
    atheris.Fuzz()


def store(decoder: Decoder, found: Path) -> int:
    """A small set of `found` and the stored files that reaches all that they reach together; returns its size."""
    kept = CORPUS / decoder.name
    kept.mkdir(parents=True, exist_ok=True)
    inputs = sorted({file.read_bytes() for folder in (kept, found) for file in folder.iterdir()}, key=len)
    shutil.rmtree(kept)
    kept.mkdir()
    reached: set[Step] = set()
    for data in inputs:
        steps = steps_of(decoder, data)
        if not steps <= reached:
            reached |= steps
            (kept / hashlib.sha1(data).hexdigest()[:16]).write_bytes(data)  # noqa: S324 (a name, no secret)
    return len(list(kept.iterdir()))


def steps_of(decoder: Decoder, data: bytes) -> set[Step]:
    """From which line to which the decoder went, in our own modules."""
    steps: set[Step] = set()

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        if "cmfm_protocol" not in frame.f_code.co_filename:
            return None
        last = 0

        def lines(frame: FrameType, event: str, _argument: object) -> Any:
            nonlocal last
            if event == "line":
                steps.add((frame.f_code.co_filename, last, frame.f_lineno))
                last = frame.f_lineno
            return lines

        return lines

    sys.settrace(trace)
    try:
        survive(decoder, message_of(decoder, data))
    finally:
        sys.settrace(None)
    return steps


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("decoder", nargs="?", choices=sorted(DECODERS))
    parser.add_argument("--list", action="store_true", help="name the decoders")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0, help="of libFuzzer; 0 draws one")
    parser.add_argument("--found", type=Path, metavar="DIR", help="keep new inputs there")
    parser.add_argument("--store", action="store_true", help="minimise what was found into tests/fuzz/corpus")
    options = parser.parse_args()
    if options.list or options.decoder is None:
        print("\n".join(DECODERS))
        return
    decoder = DECODERS[options.decoder]
    with tempfile.TemporaryDirectory() as thrown_away:
        found = options.found or Path(thrown_away)
        found.mkdir(parents=True, exist_ok=True)
        seeds(decoder, found)
        if options.store:
            print(f"{store(decoder, found)} files in {CORPUS / decoder.name}")
            return
        (CORPUS / decoder.name).mkdir(parents=True, exist_ok=True)
        limits = [f"-max_total_time={int(options.minutes * 60)}", f"-max_len={MAX_BYTES}", "-timeout=20"]
        limits += [f"-seed={options.seed}", "-rss_limit_mb=4096", "-print_final_stats=1"]
        run(decoder, [found, CORPUS / decoder.name], limits)


if __name__ == "__main__":
    main()
