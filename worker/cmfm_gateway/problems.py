"""Problems that keep a gateway from starting, as far as its settings and the files that they name tell."""

from cmfm_gateway.adapters import adapters_of
from cmfm_gateway.errors import InputError
from cmfm_gateway.feed import read_keys
from cmfm_gateway.part_numbers import part_numbers
from cmfm_gateway.settings.model import GatewaySettings
from cmfm_protocol.files.key_files import KeyFileError


def problems_of(settings: GatewaySettings) -> list[str]:
    """Return one sentence for each problem."""
    problems = []
    for attempt in (
        lambda: adapters_of(settings),
        lambda: read_keys(settings.worker),
        lambda: part_numbers(settings.gateway.part_number, settings.gateway.part_table),
    ):
        try:
            attempt()
        except (InputError, KeyFileError) as error:
            problems.append(str(error))
    return problems
