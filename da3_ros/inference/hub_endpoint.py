"""Where the hub is: huggingface.co or the mirror of `HF_ENDPOINT`, its password apart.

User and password of an address travel as a header, so that neither huggingface_hub nor the
libraries below it have them to print.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
import os
from urllib.parse import unquote, urlsplit, urlunsplit

from da3_ros.errors import CheckpointError, without_credentials

VARIABLE = 'HF_ENDPOINT'
DEFAULT_ENDPOINT = 'https://huggingface.co'


@dataclass(frozen=True, slots=True)
class HubEndpoint:
    """The address of a hub."""

    url: str
    """Without user and password."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What says who asks; empty where the address names nobody."""


def hub_endpoint() -> HubEndpoint:
    """Return the hub that the environment names.

    Raises:
        CheckpointError: `HF_ENDPOINT` is no address; its user and password are not repeated.
    """
    given = os.environ.get(VARIABLE, '').strip() or DEFAULT_ENDPOINT
    try:
        parts = urlsplit(given)
        port = f':{parts.port}' if parts.port is not None else ''
    except ValueError:
        raise _no_address() from None
    rest = parts.path + parts.query + parts.fragment
    # With '@' in the rest, what stands before it may be a password with a '/'.
    if parts.scheme not in ('http', 'https') or not parts.hostname or '@' in rest:
        raise _no_address()
    host = f'[{parts.hostname}]' if ':' in parts.hostname else parts.hostname
    url = urlunsplit((parts.scheme, host + port, parts.path.rstrip('/'), '', ''))
    if parts.username is None:
        return HubEndpoint(url)
    pair = f'{unquote(parts.username)}:{unquote(parts.password or "")}'
    coded = b64encode(pair.encode()).decode('ascii')
    return HubEndpoint(url, {'authorization': f'Basic {coded}'})


def endpoint_to_show() -> str:
    """Return the address of the hub for log and screen, also where it is none."""
    given = os.environ.get(VARIABLE, '').strip() or DEFAULT_ENDPOINT
    return without_credentials(given).rpartition('@')[2]


def _no_address() -> CheckpointError:
    shown = endpoint_to_show()
    return CheckpointError(
        f'{VARIABLE}: expected an address that begins with https:// or http://, got {shown!r}'
    )
