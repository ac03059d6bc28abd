"""The live viewer in use: new worlds, load, start and end."""

import base64
from dataclasses import replace
import gc
import logging
import os
from pathlib import Path
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

from da3_ros.errors import WebError
from da3_ros.types import WindowResult
from da3_ros.web.points import DrawnPoints, points_of_set
from da3_ros.web.server import is_own_page
from da3_ros.web.viewer import LiveViewer
from helpers.posed_results import window_result

pytest.importorskip('viser', reason='the live viewer needs viser: pip install "viser>=1.1"')
import viser

from helpers.patience import PATIENCE_S, wait_until
from helpers.viser_client import SceneClient
from helpers.watched_viewer import PLAIN, draw, sync

# viser itself takes six seconds; closing takes one, and two where drawing takes long.
CLOSE_LIMIT_S = 5.0

# ---- worlds


def test_new_world_replaces_the_old_one(viewer: LiveViewer, results: list[WindowResult]) -> None:
    with SceneClient(viewer.url) as client:
        for i in range(3):
            draw(viewer, results[i])
        again = window_result(7, results[4].new_sets, starts=True)
        draw(viewer, again)
        sync(viewer, client, 7)
        assert len(client.points('/world/clouds')) == 3 * 600
        assert '/world/trajectory/path' not in client.nodes


def test_reset_empties_the_scene_also_while_nobody_looks(
    viewer: LiveViewer, results: list[WindowResult]
) -> None:
    with SceneClient(viewer.url) as client:
        draw(viewer, results[0])
        sync(viewer, client, 0)
        viewer.reset()
        client.wait_for(
            lambda: not client.below('/world/clouds') and not client.below('/world/cameras')
        )
        draw(viewer, results[1])
        sync(viewer, client, 1)
    wait_until(lambda: viewer.clients == 0)
    viewer.reset()
    wait_until(lambda: viewer._painter.points == 0)  # type: ignore[union-attr]
    with SceneClient(viewer.url) as client:
        client.wait_for(lambda: '/world/clouds' in client.nodes and bool(client.controls))
        assert not client.below('/world/clouds')


def test_refused_windows_change_nothing(viewer: LiveViewer, results: list[WindowResult]) -> None:
    refused = replace(results[1], new_sets=(), alignment=results[0].alignment)
    with SceneClient(viewer.url) as client:
        draw(viewer, results[0])
        viewer.show(refused)
        draw(viewer, results[2])
        sync(viewer, client, 2)
        assert len(client.below('/world/clouds')) == 2


# ---- load


def test_without_a_browser_nothing_is_computed(
    viewer: LiveViewer, results: list[WindowResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []

    def counted(*arguments: Any) -> Any:
        computed.append(1)
        return points_of_set(*arguments)

    monkeypatch.setattr('da3_ros.web.painter.points_of_set', counted)
    for result in results:
        viewer.show(result)
    # One who only fetches the page, or never says where it looks from, is no viewer.
    with SceneClient(viewer.url, looks=False) as idle:
        idle.wait_for(lambda: '/world/clouds' in idle.nodes)
        assert viewer.clients == 0
        assert not computed
        assert viewer.dropped == 0
    with SceneClient(viewer.url) as client:
        sync(viewer, client, 9)  # the newest result waited for the first browser
        assert len(computed) == 1
    wait_until(lambda: viewer.clients == 0)
    viewer.show(results[1])
    assert viewer.drawn == 1


def test_newest_wins_under_load(viewer: LiveViewer, results: list[WindowResult]) -> None:
    count = 300
    durations = []
    with SceneClient(viewer.url) as client:
        wait_until(lambda: viewer.clients > 0)
        for i in range(count):
            result = replace(results[i % 10], window_index=i, alignment=results[1].alignment)
            start = time.thread_time()  # what others compute does not count
            viewer.show(result)
            durations.append(time.thread_time() - start)
        sync(viewer, client, count - 1)
        wait_until(lambda: viewer.drawn + viewer.dropped == count)
    assert viewer.dropped > 0
    assert float(np.median(durations)) < 1e-3
    assert float(np.percentile(durations, 95)) < 10e-3


def test_rate_is_limited(results: list[WindowResult]) -> None:
    viewer = LiveViewer(settings=PLAIN, port=0, max_rate_hz=5.0)
    viewer.start()
    with SceneClient(viewer.url) as client:
        wait_until(lambda: viewer.clients > 0)
        start = time.monotonic()
        while time.monotonic() - start < 1.0 or not viewer.drawn:
            viewer.show(results[1])
            time.sleep(0.005)
        drawn = viewer.drawn
        assert drawn <= 2 + 5.0 * (time.monotonic() - start)
        del client
    viewer.close()


def _alive(kind: type) -> int:
    gc.collect()
    return sum(type(item) is kind for item in gc.get_objects())


def _resident_bytes() -> int:
    return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')


@pytest.mark.slow
def test_memory_is_flat_over_many_windows(results: list[WindowResult]) -> None:
    settings = replace(PLAIN, show_map=True, past_sets=5)
    viewer = LiveViewer(settings=settings, port=0, max_rate_hz=10_000.0)
    viewer.start()
    server = viewer._server
    assert server is not None
    messages = server._websock_server._broadcast_buffer.message_from_id

    def run(first: int, last: int) -> tuple[int, ...]:
        for i in range(first, last):
            [posed] = results[i % 10].new_sets
            depth = tuple(replace(view, depth=view.depth.copy()) for view in posed.views)
            draw(viewer, window_result(i, [replace(posed, views=depth)], starts=False))
        return _resident_bytes(), len(messages), _alive(DrawnPoints), _alive(WindowResult)

    with SceneClient(viewer.url) as client:
        resident, sent, clouds, known = run(0, 130)  # all rings are full
        resident_later, sent_later, clouds_later, known_later = run(130, 630)
        sync(viewer, client, 629)
    viewer.close()

    # Keeping the depth, or the points, of 500 windows would take 29 MB, or 15 MB.
    assert resident_later - resident < 8_000_000
    assert sent_later <= sent + 10
    assert clouds_later <= clouds <= settings.past_sets + 1
    assert known_later <= known + 1


def test_window_that_cannot_be_drawn_is_left_out(
    viewer: LiveViewer, results: list[WindowResult], caplog: pytest.LogCaptureFixture
) -> None:
    [good] = results[1].new_sets
    broken = replace(good.views[0], image=np.zeros((2, 2, 3), np.uint8))
    with SceneClient(viewer.url) as client, caplog.at_level(logging.WARNING):
        draw(viewer, results[0])
        viewer.show(window_result(1, [replace(good, views=(broken,))]))
        wait_until(lambda: 'left out' in caplog.text)
        draw(viewer, results[2])
        sync(viewer, client, 2)


def test_browsers_come_and_go(viewer: LiveViewer, results: list[WindowResult]) -> None:
    with SceneClient(viewer.url) as first:
        draw(viewer, results[0])
        with SceneClient(viewer.url) as second:
            wait_until(lambda: viewer.clients == 2)
            draw(viewer, results[1])
            for client in (first, second):
                sync(viewer, client, 1)
            np.testing.assert_array_equal(
                first.points('/world/clouds'), second.points('/world/clouds')
            )
        wait_until(lambda: viewer.clients == 1)
        draw(viewer, results[2])
        sync(viewer, first, 2)


# ---- start and end


def test_close_frees_the_port_and_ends_its_threads(results: list[WindowResult]) -> None:
    before = threading.active_count()
    first = LiveViewer(settings=PLAIN, port=0)
    first.start()
    port = int(first.url.rsplit(':', 1)[1])
    with SceneClient(first.url):
        draw(first, results[0])
        first.close()
    first.close()
    first.show(results[1])
    first.reset()
    wait_until(lambda: threading.active_count() <= before)

    second = LiveViewer(port=port)
    second.start()
    assert second.url == f'http://127.0.0.1:{port}'
    second.close()


class Deaf:
    """A client that answers nothing any more: what is sent to it piles up in the kernel."""

    def __init__(self, url: str, *, greets: bool = True) -> None:
        host, port = url.removeprefix('http://').split(':')
        self._socket = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
        if greets:
            key = base64.b64encode(bytes(16)).decode()
            self._socket.sendall(
                f'GET / HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n'
                f'Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n'
                f'Sec-WebSocket-Protocol: viser-v{viser.__version__}\r\n\r\n'.encode()
            )
            assert b'101' in self._socket.recv(64)

    def __enter__(self) -> 'Deaf':
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()


@pytest.mark.parametrize('greets', [True, False], ids=['deaf', 'half-open'])
def test_a_client_that_answers_nothing_does_not_delay_the_end(
    results: list[WindowResult], greets: bool
) -> None:
    viewer = LiveViewer(settings=PLAIN, port=0)
    viewer.start()
    port = int(viewer.url.rsplit(':', 1)[1])
    with Deaf(viewer.url, greets=greets), SceneClient(viewer.url) as client:
        draw(viewer, results[0])
        sync(viewer, client, 0)
        start = time.monotonic()
        viewer.close()
        assert time.monotonic() - start < CLOSE_LIMIT_S
        # One that answers is let go at once.
        client.wait_until_refused()
        second = LiveViewer(port=port)
        second.start()
        second.close()


def test_closing_what_was_never_started_is_fine(results: list[WindowResult]) -> None:
    viewer = LiveViewer(port=0)
    viewer.show(results[0])
    viewer.close()
    with pytest.raises(WebError, match='once'):
        viewer.start()


def test_taken_port_is_said_with_its_number(viewer: LiveViewer) -> None:
    port = int(viewer.url.rsplit(':', 1)[1])
    other = LiveViewer(port=port)
    with pytest.raises(WebError, match=f'port {port}.*viewer_port'):
        other.start()
    other.close()


def test_foreign_address_is_refused_at_once() -> None:
    with pytest.raises(WebError, match=r'192\.0\.2\.1'):
        LiveViewer(host='192.0.2.1', port=0).start()  # a documentation address (RFC 5737)


def test_missing_viser_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'viser', None)
    with pytest.raises(WebError, match='pip install "viser'):
        LiveViewer(port=0).start()


def test_only_this_machine_can_look_by_default(
    viewer: LiveViewer, caplog: pytest.LogCaptureFixture
) -> None:
    assert viewer.url.startswith('http://127.0.0.1:')
    server = viewer._server
    assert server is not None
    assert server.get_host() == '127.0.0.1'
    assert server.request_share_url() is None, 'no tunnel to the world, whoever asks'
    everyone = LiveViewer(host='0.0.0.0', port=0)
    with caplog.at_level(logging.WARNING):
        everyone.start()
    everyone.close()
    assert 'without a password' in caplog.text


def test_pages_of_other_sites_are_sent_nothing(
    viewer: LiveViewer, results: list[WindowResult]
) -> None:
    with (
        SceneClient(viewer.url, origin=viewer.url) as own,
        SceneClient(viewer.url, origin='http://evil.example', looks=False) as foreign,
    ):
        draw(viewer, results[0])
        sync(viewer, own, 0)
        foreign.wait_until_refused()
        assert not foreign.nodes
        assert not foreign.controls
        assert viewer.clients == 1
        draw(viewer, results[1])
        sync(viewer, own, 1)


@pytest.mark.parametrize(
    ('origin', 'target', 'only_loopback', 'is_own'),
    [
        ('http://127.0.0.1:8080', '127.0.0.1:8080', True, True),
        ('http://localhost:9000', 'localhost:9000', True, True),  # a tunnel from another port
        ('http://[::1]:8080', '[::1]:8080', True, True),
        (None, '127.0.0.1:8080', True, True),
        ('null', '127.0.0.1:8080', True, False),
        ('http://127.0.0.1:8081', '127.0.0.1:8080', True, False),
        ('http://evil.example:8080', 'evil.example:8080', True, False),  # DNS rebinding
        ('http://robot:8080', 'robot:8080', False, True),
        ('http://evil.example', 'robot:8080', False, False),
        ('http://robot:8080', '', False, False),
    ],
)
def test_own_pages_are_told_by_their_origin(
    origin: str | None, target: str, only_loopback: bool, is_own: bool
) -> None:
    assert is_own_page(origin, target, only_loopback=only_loopback) == is_own


def test_importing_the_viewer_loads_nothing_that_only_some_have() -> None:
    code = 'import sys, da3_ros.web\nprint(sorted({"viser", "torch", "rclpy"} & set(sys.modules)))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def test_nothing_is_printed(
    results: list[WindowResult], capfd: pytest.CaptureFixture[str]
) -> None:
    viewer = LiveViewer(settings=PLAIN, port=0)
    viewer.start()
    with SceneClient(viewer.url):
        draw(viewer, results[0])
    viewer.close()
    assert capfd.readouterr().out == ''
