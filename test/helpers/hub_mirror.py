"""A hub on this machine: real HTTP, one repository, in the manner of the model hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import threading

COMMIT = '89abcdef0123456789abcdef0123456789abcdef'


@dataclass
class HubMirror:
    """What a mirror serves and what it was asked."""

    folder: Path
    """Files of the repository."""
    repository: str
    revision: str = 'main'
    authorization: str | None = None
    """What every request has to bring; None for anything."""
    port: int = 0
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and authorization of every request."""


class _Handler(BaseHTTPRequestHandler):
    mirror: HubMirror

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:
        del format, args

    def _answer(self, *, with_body: bool) -> None:
        mirror, given = self.mirror, self.headers.get('Authorization')
        mirror.seen.append((self.command, self.path, given))
        prefix = f'/{mirror.repository}/resolve/{mirror.revision}/'
        file = mirror.folder / self.path.removeprefix(prefix)
        if mirror.authorization not in (None, given):
            self._refuse(401, 'RepoNotFound')
        elif not self.path.startswith(prefix) or not file.is_file():
            self._refuse(404, 'EntryNotFound')
        else:
            body = file.read_bytes()
            self.send_response(200)
            self.send_header('ETag', f'"{hashlib.sha256(body).hexdigest()}"')
            self.send_header('X-Repo-Commit', COMMIT)
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header('X-Error-Code', code)
        self.send_header('Content-Length', '0')
        self.end_headers()


@contextmanager
def serving(mirror: HubMirror) -> Iterator[HubMirror]:
    """Serve a mirror on a port of its own."""
    handler = type('Handler', (_Handler,), {'mirror': mirror})
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    mirror.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield mirror
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
