"""Problems that keep the page from starting, as far as its settings and the files that they name tell."""

import ssl

from cmfm_hmi.errors import InputError
from cmfm_hmi.line.feed import read_keys
from cmfm_hmi.security.users import read_page_users
from cmfm_hmi.settings.model import HmiSettings
from cmfm_hmi.settings.page import PageSection
from cmfm_protocol.files.key_files import KeyFileError


def problems_of(settings: HmiSettings) -> list[str]:
    """Return one sentence for each problem."""
    problems = []
    for attempt in (
        lambda: read_keys(settings.worker),
        lambda: read_page_users(settings.access.users),
        lambda: require_certificate(settings.page),
    ):
        try:
            attempt()
        except (InputError, KeyFileError) as error:
            problems.append(str(error))
    return problems


def require_certificate(section: PageSection) -> None:
    """Raises InputError if certificate and key cannot be used together."""
    if section.certificate is None or section.private_key is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            section.certificate, section.private_key
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"page.certificate: {section.certificate} and {section.private_key} cannot be used: {error}"
        ) from error
