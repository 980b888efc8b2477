"""Asks a worker again for results that a subscriber missed (WIRE.md, recovery)."""

from cmfm_client.errors import NoReplyError, RefusedError
from cmfm_client.events import LossCause
from cmfm_client.received_ids import Missing
from cmfm_client.requests import RequestClient
from cmfm_protocol.wire.result import Result


def results_between(
    client: RequestClient, missing: Missing, timeout_s: float
) -> tuple[list[Result], LossCause]:
    """The missing results that the worker gives, oldest first, and why the others, if any, are not among them.

    `timeout_s` is that of each page of at most 500 results.
    """
    results: list[Result] = []
    after = missing.first_id - 1
    while after < missing.last_id:
        try:
            page = client.results_since(missing.boot_id, after, timeout_s=timeout_s)
        except (NoReplyError, RefusedError):
            return results, LossCause.NO_REPLY
        if page.boot_id != missing.boot_id:
            return results, LossCause.NEW_BOOT
        if not page.results:
            break
        results += [result for result in page.results if result.result_id <= missing.last_id]
        after = page.results[-1].result_id
    return results, LossCause.TOO_OLD
