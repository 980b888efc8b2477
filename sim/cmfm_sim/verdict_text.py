"""A verdict as one coloured line, for people who watch a line run."""

from typing import Final

from rich.text import Text

from cmfm_protocol.digits import digits_apart
from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.verdict import Verdict

STYLES: Final = {
    Verdict.PASS: "bold white on green4",
    Verdict.FAIL: "bold white on red3",
    Verdict.UNDECIDED: "bold black on orange1",
    Verdict.FAULT: "bold white on purple4",
}
"""As in the pictures of parts (cmfm_protocol.pictures.panels)."""

TRUTH_CHARS: Final = 12
PART_CHARS: Final = 34


def verdict_header(*, truth: bool = False) -> Text:
    """The names of the columns of `verdict_text`."""
    known = f" {'truth':<{TRUTH_CHARS}}" if truth else ""
    text = f" {'verdict':<9}  {'seq':>5}  {'part':<{PART_CHARS}}{known} {'score and threshold':<19} {'latency':>10}"
    return Text(text, style="bold", no_wrap=True)


def verdict_text(result: Result, *, truth: str | None = None, recovered: bool = False) -> Text:
    """Verdict, seq, part, score against threshold, latency, camera, reason; with `truth`, the part's true defect."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f" {result.verdict:<9} ", style=STYLES[result.verdict])
    text.append(f" {result.seq:>5}  {result.part_id or '(part unknown)':<{PART_CHARS}}")
    if truth is not None:
        text.append(f" {truth:<{TRUTH_CHARS}}", style=_truth_style(result.verdict, truth))
    text.append(f" {_score(result):<19}")
    text.append(f" {result.latency_us / 1000:>7.1f} ms ", style="dim")
    if result.camera:
        text.append(f" {result.camera}", style="cyan")
    if result.verdict in (Verdict.UNDECIDED, Verdict.FAULT):
        text.append(f" {result.reason}", style="bold")
        text.append(f" {result.detail}" if result.detail else "", style="dim")
    if truth is not None:
        text.append(_mistake(result.verdict, truth), style="bold")
    if recovered:
        text.append(" (recovered)", style="dim")
    return text


def _score(result: Result) -> str:
    if result.score is None:
        return "-"
    if not result.threshold:
        return f"{result.score:.3g}"
    sign = ">=" if result.score >= result.threshold else "<"
    digits = digits_apart(result.score, result.threshold)
    return f"{result.score:.{digits}g} {sign} {result.threshold:.{digits}g}"


def _mistake(verdict: Verdict, truth: str) -> str:
    """The name of a wrong verdict, so that it is seen without colours."""
    if verdict is Verdict.PASS and truth != "good":
        return " escape"
    return " false reject" if verdict is Verdict.FAIL and truth == "good" else ""


def _truth_style(verdict: Verdict, truth: str) -> str:
    """A style in which a wrong verdict stands out, a defective part that passed most of all."""
    if verdict is Verdict.PASS and truth != "good":
        return "bold red reverse"
    if verdict is Verdict.FAIL and truth == "good":
        return "bold yellow"
    return "dim"
