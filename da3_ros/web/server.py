"""A viser server that obeys: the port asked for or an error, and no prints."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
import errno
import ipaddress
import logging
import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from da3_ros.errors import WebError

if TYPE_CHECKING:
    import viser

_log = logging.getLogger(__name__)

_REQUIREMENT = 'viser>=1.1,<1.2'
# How long a client may take to answer the goodbye, and all of it together.
_GOODBYE_S = 0.3
_STOP_S = 1.0
# WebSocket close code: the message breaks a rule of the server (RFC 6455, 7.4.1).
_POLICY_VIOLATION = 1008


def open_server(host: str, port: int) -> viser.ViserServer:
    """Return a running server.

    Args:
        host: address to listen on.
        port: 0 for any free one.

    Raises:
        WebError: viser is not installed, the port is taken or the address is not one of this
            machine's; says what to do.
    """
    try:
        import viser as package
    except ImportError as error:
        raise WebError(
            f'the live viewer needs the Python package viser, which cannot be imported ({error}): '
            f'run pip install "{_REQUIREMENT}", or switch the viewer off'
        ) from error

    class Server(package.ViserServer):
        def request_share_url(self, verbose: bool = True) -> str | None:
            """Refuse: any browser may ask for a tunnel that shows the cameras to the world."""
            del verbose
            return None

    _require_free(host, port)
    with _quiet():
        server = Server(host=host, port=port, label='da3_ros', verbose=False)
    if port and server.get_port() != port:
        close_server(server)
        raise _taken(host, port)
    try:
        _refuse_foreign_pages(server, host)
        _wake_surely(server)
    except AttributeError as error:
        close_server(server)
        raise WebError(
            f'the live viewer does not know viser {package.__version__} ({error}): '
            f'run pip install "{_REQUIREMENT}"'
        ) from error
    if not is_loopback(host):
        _log.warning(
            'the live viewer listens on %s: whoever reaches this address sees the cameras, '
            'without a password',
            host,
        )
    return server


def _refuse_foreign_pages(server: viser.ViserServer, host: str) -> None:
    """Send nothing to a browser that shows another site's page.

    Browsers let every page on the web open WebSockets to this machine and tell only the origin;
    viser sends its scene to all of them.
    """
    inner = server._websock_server
    connections = inner._live_connections

    async def check(client: Any) -> None:
        connection = connections[client.client_id]
        headers = {} if connection.request is None else connection.request.headers
        origin, target = headers.get('Origin'), headers.get('Host', '')
        if not is_own_page(origin, target, only_loopback=is_loopback(host)):
            _log.warning('the live viewer refused a page of %s', origin)
            await connection.close(_POLICY_VIOLATION, 'foreign page')

    # First of all callbacks: those of viser may already send.
    inner._client_connect_cb.insert(0, check)


def _wake_surely(server: viser.ViserServer) -> None:
    """Let what is drawn by other threads always reach the browsers."""
    inner = server._websock_server
    loop, buffer = inner._background_event_loop, inner._broadcast_buffer
    if loop is not None and buffer is not None:
        buffer.message_event = LoopEvent(loop)


class LoopEvent(asyncio.Event):
    """An event that only the thread of its loop can set.

    viser sets its event in the thread that draws, and then asks the loop to do so too. asyncio's
    is not made for that: set between the look of a waiter and its waiting, it is set for good and
    wakes nobody, and that browser is sent nothing any more.

    Args:
        loop: what waits for the event.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._own_loop = loop

    def set(self) -> None:
        """Wake who waits; does nothing in other threads."""
        try:
            is_own = asyncio.get_running_loop() is self._own_loop
        except RuntimeError:
            is_own = False
        if is_own:
            super().set()


def is_own_page(origin: str | None, target: str, *, only_loopback: bool) -> bool:
    """Return whether a WebSocket was opened by a page of the server itself.

    Source: RFC 6455, section 10.2 (origin considerations).

    Args:
        origin: the header Origin; None for programs that are no browser.
        target: the header Host.
        only_loopback: whether the server is reached by names of this machine only. Any other
            name was made to point here by somebody (DNS rebinding).
    """
    if origin is None:
        return True
    own = urlsplit(f'//{target}')
    if only_loopback and not is_loopback(own.hostname or ''):
        return False
    return urlsplit(origin).netloc == own.netloc


def close_server(server: viser.ViserServer) -> None:
    """Stop a server, whatever its clients do: its port is free afterwards.

    viser waits six seconds for browsers that do not answer, as stopped ones or those behind a
    connection that broke without a word.
    """
    thread = threading.Thread(target=_stop, args=(server,), name='da3_viewer_end', daemon=True)
    thread.start()
    thread.join(_STOP_S)


def _stop(server: viser.ViserServer) -> None:
    with _quiet():
        inner = server._websock_server
        loop = inner._background_event_loop
        if loop is not None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_let_go, loop, list(inner._live_connections.values()))
        server.stop()


def _let_go(loop: asyncio.AbstractEventLoop, connections: list[Any]) -> None:
    """Say goodbye to clients, and soon afterwards drop those that did not answer."""
    for connection in connections:
        # Kept by the closing: a loop holds its tasks weakly.
        closing = loop.create_task(connection.close())
        loop.call_later(_GOODBYE_S, _drop, connection, closing)


def _drop(connection: Any, closing: asyncio.Task[None]) -> None:
    if not closing.done():
        connection.transport.abort()


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == 'localhost'


def address(host: str, port: int) -> str:
    """Return what to type into a browser on this machine."""
    if host in ('', '0.0.0.0', '::'):
        host = 'localhost'
    return f'http://[{host}]:{port}' if ':' in host else f'http://{host}:{port}'


def _require_free(host: str, port: int) -> None:
    """Raise when a server could not listen: viser would silently take another port, or hang."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, target in found:
            with socket.socket(family, kind, protocol) as probe:
                # As servers do: connections that linger from an earlier run are no hindrance.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(target)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _taken(host, port) from error
        raise WebError(
            f'the live viewer cannot listen on {host}, port {port}: {error}; expected an address '
            'of this machine (127.0.0.1 for this machine only, 0.0.0.0 for everyone) and a port '
            'above 1023'
        ) from error


def _taken(host: str, port: int) -> WebError:
    return WebError(
        f'the live viewer cannot listen on {host}, port {port}: another program (perhaps another '
        'node with a viewer) has it; give viewer_port another number, or 0 for any free port'
    )


class _Quiet:
    """Keeps viser's banners off the standard output, which belongs to the program.

    The console is the process's, and several servers may begin and end at the same time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before = False

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Keep the console quiet during the block."""
        import rich

        console = rich.get_console()
        with self._lock:
            if not self._users:
                self._before = console.quiet
                console.quiet = True
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    console.quiet = self._before


_quiet = _Quiet()
