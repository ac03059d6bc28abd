"""A mirror named by HF_ENDPOINT serves a checkpoint, over real HTTP on this machine."""

from collections.abc import Iterator
import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import threading

import pytest

from da3_ros.errors import CheckpointError
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.checkpoint import save_checkpoint
from da3_ros.inference.hub import HubOptions, find_checkpoint

COMMIT = '89abcdef0123456789abcdef0123456789abcdef'
REPOSITORY = 'someone/weights'
TOKEN = 'hf_secret'


class MirrorHandler(BaseHTTPRequestHandler):
    """Answers as the hub does for the two files of one repository."""

    folder: Path
    seen: list[tuple[str, str, str | None]]

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:
        del format, args

    def _answer(self, *, with_body: bool) -> None:
        self.seen.append((self.command, self.path, self.headers.get('Authorization')))
        prefix = f'/{REPOSITORY}/resolve/stable/'
        file = self.folder / self.path.removeprefix(prefix)
        if not self.path.startswith(prefix) or not file.is_file():
            self.send_response(404)
            self.send_header('X-Error-Code', 'EntryNotFound')
            self.send_header('Content-Length', '0')
            self.end_headers()
            return
        body = file.read_bytes()
        self.send_response(200)
        self.send_header('ETag', f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header('X-Repo-Commit', COMMIT)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)


@pytest.fixture
def mirror(
    tmp_path: Path, model: DepthAnything3, monkeypatch: pytest.MonkeyPatch
) -> Iterator[type[MirrorHandler]]:
    folder = tmp_path / 'served'
    save_checkpoint(model.model, folder)
    handler = type('Handler', (MirrorHandler,), {'folder': folder, 'seen': []})
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv('HF_ENDPOINT', f'http://127.0.0.1:{server.server_port}')
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.delenv('HF_HUB_OFFLINE', raising=False)
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_download_by_revision_and_token_then_from_the_cache(
    mirror: type[MirrorHandler], tmp_path: Path
) -> None:
    options = HubOptions(revision='stable', token=TOKEN, cache_dir=tmp_path / 'cache')
    files = find_checkpoint(REPOSITORY, options)
    assert files.weights.read_bytes() == (mirror.folder / 'model.safetensors').read_bytes()
    assert {authorization for _, _, authorization in mirror.seen} == {f'Bearer {TOKEN}'}
    asked = len(mirror.seen)
    assert find_checkpoint(REPOSITORY, options) == files
    assert len(mirror.seen) == asked


def test_a_file_that_the_repository_lacks_is_named(
    mirror: type[MirrorHandler], tmp_path: Path
) -> None:
    (mirror.folder / 'model.safetensors').unlink()
    options = HubOptions(revision='stable', cache_dir=tmp_path / 'cache')
    with pytest.raises(
        CheckpointError, match=r'someone/weights at revision stable: cannot get model\.safetensors'
    ):
        find_checkpoint(REPOSITORY, options)
