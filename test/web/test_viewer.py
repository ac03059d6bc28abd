"""The live viewer as a browser sees it: over its own protocol, against the true world."""

from dataclasses import replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import matrix_from_quaternion_xyzw
from da3_ros.geometry.se3 import rigid
from da3_ros.notes import Note
from da3_ros.synthetic import START_NS
from da3_ros.types import WindowResult
from da3_ros.web.viewer import LiveViewer
from helpers.posed_results import drive, posed_set, window_result

pytest.importorskip('viser', reason='the live viewer needs viser: pip install "viser>=1.1"')
from helpers.patience import wait_until
from helpers.viser_client import SceneClient
from helpers.watched_viewer import PLAIN, SIZE, WORLD, draw, sync

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
        viewer.show(result)  # nobody looks, and still the path is known later
    with SceneClient(viewer.url) as client:
        draw(viewer, results[5])
        sync(viewer, client, 5)
        path = client.nodes['/world/trajectory/path']['props']['points'].reshape(-1, 2, 3)
        robot = client.nodes['/world/robot']
    bases = [r.new_sets[0].world_from_base[:3, 3] for r in results[:6]]

    np.testing.assert_allclose(path, np.stack([bases[:-1], bases[1:]], axis=1), atol=1e-5)
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
