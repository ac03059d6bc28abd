"""The live viewer as a browser sees it: over its own protocol, against the true world."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
import gc
import logging
import os
from pathlib import Path
import subprocess
import sys
import threading
import time
from typing import Any

import cv2
import numpy as np
import pytest

from da3_ros.errors import WebError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.rotation import matrix_from_quaternion_xyzw
from da3_ros.geometry.se3 import rigid
from da3_ros.notes import Note
from da3_ros.synthetic import START_NS, make_world
from da3_ros.types import WindowResult
from da3_ros.web.points import DrawnPoints, points_of_set
from da3_ros.web.server import is_own_page
from da3_ros.web.settings import ViewSettings
from da3_ros.web.viewer import LiveViewer
from helpers.posed_results import drive, posed_set, window_result

pytest.importorskip('viser', reason='the live viewer needs viser: pip install "viser>=1.1"')
from helpers.viser_client import SceneClient, wait_until

SIZE = ImageSize(60, 80)
WORLD = make_world(0, SIZE)
PLAIN = ViewSettings(points_per_view=600, edge_filter=0.0, show_map=False)


@pytest.fixture(scope='module')
def results() -> list[WindowResult]:
    return drive(WORLD, 10)


@pytest.fixture
def viewer() -> Iterator[LiveViewer]:
    viewer = LiveViewer(settings=PLAIN, port=0, max_rate_hz=1000.0)
    viewer.start()
    yield viewer
    viewer.close()


def draw(viewer: LiveViewer, result: WindowResult) -> None:
    """Show a result and wait until it is drawn."""
    wait_until(lambda: viewer.clients > 0)
    drawn = viewer.drawn
    viewer.show(result, 0.3)
    wait_until(lambda: viewer.drawn > drawn)


def sync(viewer: LiveViewer, client: SceneClient, index: int) -> None:
    """Wait until the client has everything of a window: the panel is written last."""
    client.wait_for(lambda: f'**Window {index}**' in client.status())


# ---- what is seen


def test_points_lie_on_the_true_world(viewer: LiveViewer, results: list[WindowResult]) -> None:
    with SceneClient(viewer.url) as client:
        for i in range(3):
            draw(viewer, results[i])
        sync(viewer, client, 2)
        points = client.points('/world/clouds')

    assert len(points) == 3 * 3 * 600
    assert np.abs(WORLD.scene.clearance_m(points.astype(float))).max() < 1e-3


def test_a_notice_stands_in_the_panel_all_the_time(results: list[WindowResult]) -> None:
    viewer = LiveViewer(settings=PLAIN, port=0, notice='for tests <only>', max_rate_hz=1000.0)
    viewer.start()
    # As Markdown takes it: words, no markup.
    notice = r'**for tests \<only\>**'
    with SceneClient(viewer.url) as client:
        client.wait_for(lambda: notice in client.status())
        assert 'Waiting for the first window' in client.status()
        draw(viewer, results[0])
        sync(viewer, client, 0)
        assert notice in client.status()
    viewer.close()


def test_map_lies_on_the_true_world_and_keeps_what_was_seen(results: list[WindowResult]) -> None:
    viewer = LiveViewer(
        settings=replace(PLAIN, show_map=True, past_sets=1), port=0, max_rate_hz=1000.0
    )
    viewer.start()
    with SceneClient(viewer.url) as client:
        draw(viewer, results[0])
        sync(viewer, client, 0)
        early = {tuple(p) for p in client.points('/world/map').tolist()}
        for result in results[1:]:
            draw(viewer, result)
        sync(viewer, client, 9)
        late = client.points('/world/map')
        clouds = client.points('/world/clouds')
    viewer.close()

    assert early <= {tuple(p) for p in late.tolist()}
    assert len(late) > len(early)
    assert len(clouds) == 3 * 600
    assert np.abs(WORLD.scene.clearance_m(late.astype(float))).max() < 1e-3


def test_cameras_stand_where_they_were(viewer: LiveViewer, results: list[WindowResult]) -> None:
    with SceneClient(viewer.url) as client:
        for i in (0, 1):
            draw(viewer, results[i])
            sync(viewer, client, i)
            nodes = client.below('/world/cameras')
            assert len(nodes) == 3
            for view in results[i].new_sets[0].views:
                [node] = [n for name, n in nodes.items() if name.endswith(view.id.camera)]
                w, *xyz = node['wxyz']
                rotation = matrix_from_quaternion_xyzw([*xyz, w])
                pose = view.world_from_camera
                np.testing.assert_allclose(rotation, pose[:3, :3], atol=1e-6)
                np.testing.assert_allclose(node['position'], pose[:3, 3], atol=1e-6)


def test_frustums_open_as_wide_as_the_cameras(
    viewer: LiveViewer, results: list[WindowResult]
) -> None:
    with SceneClient(viewer.url) as client:
        draw(viewer, results[0])
        sync(viewer, client, 0)
        props = next(iter(client.below('/world/cameras').values()))['props']
    camera = results[0].new_sets[0].views[0].camera
    top, bottom = camera.project(
        [[0, -np.tan(props['fov'] / 2), 1], [0, np.tan(props['fov'] / 2), 1]]
    )

    assert bottom[1] - top[1] == pytest.approx(SIZE.height)
    assert props['aspect'] == pytest.approx(SIZE.width / SIZE.height)


def test_cameras_carry_their_images(viewer: LiveViewer, results: list[WindowResult]) -> None:
    with SceneClient(viewer.url) as client:
        draw(viewer, results[0])
        draw(viewer, results[1])
        sync(viewer, client, 1)
        node = next(n for name, n in client.nodes.items() if name.endswith('_left'))
        data = np.frombuffer(node['props']['_image_data'], np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    shown = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    [view] = [v for v in results[1].new_sets[0].views if v.id.camera == 'left']

    assert shown.shape == view.image.shape
    assert np.abs(shown.astype(int) - view.image).mean() < 8


def test_way_ends_at_the_robot(viewer: LiveViewer, results: list[WindowResult]) -> None:
    for result in results[:5]:
        viewer.show(result)  # nobody looks, and still the way is known later
    with SceneClient(viewer.url) as client:
        draw(viewer, results[5])
        sync(viewer, client, 5)
        way = client.nodes['/world/trajectory/way']['props']['points'].reshape(-1, 2, 3)
        robot = client.nodes['/world/robot']
    bases = [r.new_sets[0].world_from_base[:3, 3] for r in results[:6]]

    np.testing.assert_allclose(way, np.stack([bases[:-1], bases[1:]], axis=1), atol=1e-5)
    np.testing.assert_allclose(robot['position'], bases[-1], atol=1e-6)


def test_camera_that_is_missing_disappears(
    viewer: LiveViewer, results: list[WindowResult]
) -> None:
    [whole] = results[1].new_sets
    without = replace(whole, views=whole.views[1:])
    with SceneClient(viewer.url) as client:
        draw(viewer, results[0])
        draw(viewer, window_result(1, [without]))
        sync(viewer, client, 1)
        assert len(client.below('/world/cameras')) == 2
        draw(viewer, results[2])
        sync(viewer, client, 2)
        assert len(client.below('/world/cameras')) == 3


def test_panel_tells_the_numbers(viewer: LiveViewer, results: list[WindowResult]) -> None:
    with SceneClient(viewer.url) as client:
        draw(viewer, results[0])
        sync(viewer, client, 0)
        status = client.status()
    for part in ('metres', 'from rig', '± 2.0 %', '300 ms', 'network 200 ms', '1 800'):
        assert part in status


def test_units_that_are_no_metres_are_flagged(viewer: LiveViewer) -> None:
    result = window_result(0, [posed_set(WORLD, START_NS)], is_metric=False)
    note = Note('no_metric_source', 'no <b>scale</b> | *yet*')
    noted = replace(result, alignment=replace(result.alignment, notes=(note,)))
    with SceneClient(viewer.url) as client:
        draw(viewer, noted)
        sync(viewer, client, 0)
        status = client.status()
    assert 'not metres' in status
    assert '<b>' not in status.replace('\\<', '')


# ---- controls


def test_confidence_and_depth_hide_points(viewer: LiveViewer, results: list[WindowResult]) -> None:
    with SceneClient(viewer.url) as client:
        draw(viewer, results[0])
        sync(viewer, client, 0)
        everything = client.points('/world/clouds')
        client.set_control('Max depth', 2.0)
        client.wait_for(lambda: 0 < len(client.points('/world/clouds')) < len(everything))
        base = np.stack([v.world_from_camera[:3, 3] for v in results[0].new_sets[0].views])
        near = client.points('/world/clouds')
        distance = np.linalg.norm(near[:, None] - base, axis=2).min(axis=1)
        assert distance.max() < 2.0 * np.sqrt(1 + 1 + 0.75**2)
        client.set_control('Confidence', 2.5)
        client.wait_for(lambda: len(client.points('/world/clouds')) == 0)
        client.set_control('Confidence', 1)
        client.set_control('Max depth', 0)
        client.wait_for(lambda: len(client.points('/world/clouds')) == len(everything))


def test_number_of_sets_is_kept(viewer: LiveViewer, results: list[WindowResult]) -> None:
    with SceneClient(viewer.url) as client:
        for result in results:
            draw(viewer, result)
        sync(viewer, client, 9)
        assert len(client.below('/world/clouds')) == PLAIN.past_sets
        client.set_control('Sets kept', 3)
        client.wait_for(lambda: len(client.below('/world/clouds')) == 3)


def _is_hidden(client: SceneClient, node: str) -> bool:
    return not client.nodes[node]['visible']


def test_switches_hide_kinds_of_things(viewer: LiveViewer, results: list[WindowResult]) -> None:
    kinds = {
        'Newest clouds': '/world/clouds',
        'Cameras': '/world/cameras',
        'Trajectory': '/world/trajectory',
    }
    with SceneClient(viewer.url) as client:
        draw(viewer, results[0])
        sync(viewer, client, 0)
        for label, node in kinds.items():
            client.set_control(label, False)
            client.wait_for(partial(_is_hidden, client, node))
        client.set_control('Images', False)
        client.set_control('Cameras', True)
        client.wait_for(
            lambda: all(
                n['props']['_image_data'] is None for n in client.below('/world/cameras').values()
            )
        )
        draw(viewer, results[1])
        sync(viewer, client, 1)
        assert len(client.below('/world/clouds')) == 1, 'a hidden cloud is not computed'


def test_point_size_changes_every_cloud(viewer: LiveViewer, results: list[WindowResult]) -> None:
    with SceneClient(viewer.url) as client:
        draw(viewer, results[0])
        draw(viewer, results[1])
        sync(viewer, client, 1)
        before = [n['props']['point_size'] for n in client.below('/world/clouds').values()]
        client.set_control('Point size', 2.0)
        client.wait_for(
            lambda: (
                [n['props']['point_size'] for n in client.below('/world/clouds').values()]
                == [2 * size for size in before]
            )
        )


def test_map_starts_anew_on_request(results: list[WindowResult]) -> None:
    settings = replace(PLAIN, show_map=True)
    viewer = LiveViewer(settings=settings, port=0, max_rate_hz=1000.0)
    viewer.start()
    with SceneClient(viewer.url) as client:
        draw(viewer, results[0])
        sync(viewer, client, 0)
        assert len(client.points('/world/map'))
        client.set_control('Clear map', True)
        client.wait_for(lambda: len(client.points('/world/map')) == 0)
        draw(viewer, results[1])
        sync(viewer, client, 1)
        assert len(client.points('/world/map'))
    viewer.close()


@pytest.mark.parametrize('value', [-5, 'many', None, float('nan'), [1], 10**9])
def test_nonsense_from_a_browser_is_ignored(
    viewer: LiveViewer, results: list[WindowResult], value: Any
) -> None:
    with SceneClient(viewer.url) as client:
        for label in ('Sets kept', 'Per view', 'Confidence', 'Point size'):
            client.set_control(label, value)
        draw(viewer, results[0])
        sync(viewer, client, 0)
        assert len(client.points('/world/clouds')) > 0


def _seen(client: SceneClient, result: WindowResult) -> FloatArray:
    """Return the pose (4, 4) of the robot as it is seen."""
    node = client.nodes['/world']
    w, *xyz = node['wxyz']
    seen_from_world = rigid(matrix_from_quaternion_xyzw([*xyz, w]), node['position'])
    return np.asarray(seen_from_world @ result.new_sets[-1].world_from_base)


def _yaw_rad(pose: FloatArray) -> float:
    return float(np.arctan2(pose[1, 0], pose[0, 0]))


def test_robot_is_followed_and_up_stays_up(
    viewer: LiveViewer, results: list[WindowResult]
) -> None:
    with SceneClient(viewer.url) as client:
        for i in (0, 4):
            draw(viewer, results[i])
            sync(viewer, client, i)
            pose = _seen(client, results[i])
            np.testing.assert_allclose(pose[:3, 3], 0, atol=1e-6)
            assert _yaw_rad(pose) == pytest.approx(0, abs=1e-6)
            base = results[i].new_sets[-1].world_from_base
            np.testing.assert_allclose(pose[2], [*base[2, :3], 0], atol=1e-6)

        client.set_control('Turn with it', False)
        wait_until(lambda: not viewer._panel.settings().turn)  # type: ignore[union-attr]
        draw(viewer, results[7])
        sync(viewer, client, 7)
        pose = _seen(client, results[7])
        turned = _yaw_rad(results[7].new_sets[0].world_from_base) - _yaw_rad(
            results[4].new_sets[0].world_from_base
        )
        np.testing.assert_allclose(pose[:3, 3], 0, atol=1e-6)
        assert abs(turned) > 0.01
        assert _yaw_rad(pose) == pytest.approx(turned, abs=1e-6)

        client.set_control('Follow robot', False)
        wait_until(lambda: not viewer._panel.settings().follow)  # type: ignore[union-attr]
        before = client.nodes['/world']['position']
        draw(viewer, results[9])
        sync(viewer, client, 9)
        assert client.nodes['/world']['position'] == before
        assert not client.eye, 'the eyes belong to the people'


def test_eyes_fit_a_world_without_metres(viewer: LiveViewer) -> None:
    [posed] = drive(WORLD, 1)[0].new_sets
    tiny = 0.01 * np.eye(4) + np.diag([0, 0, 0, 0.99])

    def shrunk(pose: FloatArray) -> FloatArray:
        return rigid(pose[:3, :3], (tiny @ pose)[:3, 3])

    views = tuple(
        replace(
            view,
            depth=view.depth * np.float32(0.01),
            world_from_camera=shrunk(view.world_from_camera),
        )
        for view in posed.views
    )
    small = replace(posed, views=views, world_from_base=shrunk(posed.world_from_base))
    with SceneClient(viewer.url) as client:
        draw(viewer, window_result(0, [small], is_metric=False))
        sync(viewer, client, 0)
        client.wait_for(lambda: len(client.eye) == 2)
        distance = np.linalg.norm(client.eye['SetCameraPositionMessage']['position'])
        size = next(iter(client.below('/world/clouds').values()))['props']['point_size']
    assert 0.005 < distance < 0.05
    assert size < 0.001


# ---- worlds


def test_new_world_replaces_the_old_one(viewer: LiveViewer, results: list[WindowResult]) -> None:
    with SceneClient(viewer.url) as client:
        for i in range(3):
            draw(viewer, results[i])
        again = window_result(7, results[4].new_sets, starts=True)
        draw(viewer, again)
        sync(viewer, client, 7)
        assert len(client.points('/world/clouds')) == 3 * 600
        assert '/world/trajectory/way' not in client.nodes


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
