"""The demo as a user runs it, with exact geometry in place of the network."""

from pathlib import Path
import re

import cv2
import numpy as np
import pytest

from da3_ros.cli.demo_input import plan_input
from da3_ros.cli.demo_report import note_lines, scene_points
from da3_ros.cli.demo_results import read_results
from da3_ros.cli.synthesize import synthesize
from da3_ros.errors import SourceError
from da3_ros.export.ledger import LEDGER, read_ledger
from da3_ros.export.registry import export_scene
from da3_ros.export.scene import ExportScene, world_points
from da3_ros.geometry.camera import ImageSize
from da3_ros.model.presets import CAUTIONS
from da3_ros.sinks.bag import BagWriter
from da3_ros.sinks.camera_bag import CameraBagWriter
from da3_ros.sources.bag import BagReader
from da3_ros.synthetic.trajectory import START_NS
from da3_ros.synthetic.world import make_world
from da3_ros.types import METRES_FROM, CameraFrame, PosedView, ViewId
from helpers.cli import results_in
from helpers.ros_process import RosProcess

CAUTION = CAUTIONS['da3-nano']


@pytest.mark.ros
@pytest.mark.timeout(240)
def test_demo_carries_exact_geometry_to_the_end_unharmed(
    tmp_path: Path, ros_domain_id: int
) -> None:
    out = tmp_path / 'demo output'
    arguments = ['demo', '--model', 'truth', '--seconds', '3', '--out', str(out)]
    with RosProcess('da3_ros.cli.main', *arguments, domain_id=ros_domain_id) as demo:
        assert demo.wait(200.0) == 0, demo.output
        text = demo.output
    depth = re.search(
        r'depth error as published: (\S+) % .*\(AbsRel\); 100\.0 % of \d+ pixels', text
    )
    path = re.search(r'trajectory error from the first pose on: (\S+) m,', text)
    assert depth, text
    assert path, text
    assert float(depth[1]) / 100 < 1e-6
    assert float(path[1]) < 1e-6
    assert text.count(f'\nmetres {METRES_FROM["rig"]}\n') == 1
    sheet = cv2.imread(str(out / 'sheet.png'))
    assert sheet is not None
    assert sheet.shape[0] > 600
    # Colour, depth and the scene from above are drawn: many colours, not an empty page.
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 5000
    with BagReader(out / 'output.mcap') as bag:
        counts = {info.name: info.count for info in bag.topics}
        sent = list(bag.messages(['/window']))
    # Only here, where a ROS environment is.
    from rclpy.serialization import deserialize_message

    from da3_ros.msg import WindowReport

    windows = [deserialize_message(bytes(m.data), WindowReport) for m in sent]
    assert len(windows) >= 2
    for camera in ('front', 'left', 'right'):
        # A set may go out without a camera whose image is late.
        views = sum(view.camera == camera for window in windows for view in window.views)
        assert counts[f'/{camera}/depth/image'] == counts[f'/{camera}/color/image'] == views >= 2
    assert counts['/odometry'] >= len(windows)
    assert {p.name for p in (out / 'exports' / 'scene_0000').iterdir()} == {'exports', 'scene.glb'}
    # A picture came early, and made room for the sheet; nothing else is left.
    assert re.search(r'first picture after \d+ s: .*first_look\.png', text), text
    assert results_in(out) == {'exports', 'input.mcap', 'log', 'output.mcap', 'sheet.png'}
    assert set(read_ledger(out).own()) == {
        path.relative_to(out).as_posix()
        for path in out.rglob('*')
        if path.is_file() and path.name != LEDGER
    }


@pytest.mark.ros
@pytest.mark.weights
@pytest.mark.timeout(240)
def test_demo_without_the_hub_takes_the_weights_of_the_package(
    tmp_path: Path, ros_domain_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    monkeypatch.setenv('HF_HUB_CACHE', str(tmp_path / 'empty'))
    out = tmp_path / 'out'
    arguments = ['demo', '--seconds', '4', '--rate', '0.5', '--out', str(out)]
    with RosProcess('da3_ros.cli.main', *arguments, domain_id=ros_domain_id) as demo:
        assert demo.wait(200.0) == 0, demo.output
        text = demo.output
    assert 'da3-small cannot be had, going on with da3-nano' in text
    assert text.count(f'\nmetres {METRES_FROM["odometry"]}\n') == 1
    depth = re.search(r'depth error as published: (\S+) % .*\(AbsRel\)', text)
    assert depth, text
    assert float(depth[1]) / 100 < 0.3
    # The room is of the kind that the network learned from; what it is, the title says.
    assert 'this small one comes with the package' in text
    assert CAUTION.brief not in text


@pytest.mark.slow
@pytest.mark.ros
@pytest.mark.weights
@pytest.mark.timeout(240)
def test_demo_on_a_recording_says_that_the_network_is_for_tests(
    tmp_path: Path, ros_domain_id: int
) -> None:
    # Rendered, too, but nobody can tell that of a recording.
    recording, out = tmp_path / 'drive.mcap', tmp_path / 'out'
    synthesize(out=recording, seconds=2.0, rate=5.0, size='140x100', cameras='front', truth=False)
    arguments = ['demo', '--bag', str(recording), '--model', 'da3-nano', '--out', str(out)]
    with RosProcess('da3_ros.cli.main', *arguments, domain_id=ros_domain_id) as demo:
        assert demo.wait(200.0) == 0, demo.output
        # Before the run and beside its figures; the notes do not repeat it.
        assert demo.output.count(f'warning: {CAUTION.text}') == 2
        assert demo.output.count(CAUTION.brief) == 2
    notes = [window.note for window in read_results(out / 'output.mcap', ('front',)).windows]
    assert notes
    assert all(CAUTION.brief in note for note in notes)
    sheet = cv2.imread(str(out / 'sheet.png'))
    assert sheet is not None
    # Above the pictures nothing is red but the warning.
    blue, _, red = np.moveaxis(sheet[:100, :1100].astype(int), -1, 0)
    assert (red - blue > 100).sum() > 500


@pytest.mark.ros
def test_a_model_that_was_asked_for_is_never_replaced(
    tmp_path: Path, ros_domain_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    monkeypatch.setenv('HF_HUB_CACHE', str(tmp_path / 'empty'))
    arguments = ['demo', '--model', 'da3-small', '--seconds', '1', '--out', str(tmp_path / 'out')]
    with RosProcess('da3_ros.cli.main', *arguments, domain_id=ros_domain_id) as demo:
        assert demo.wait(60.0) == 1
        assert 'not in the local cache' in demo.output
        assert 'going on' not in demo.output


@pytest.mark.ros
def test_a_wrong_checkpoint_folder_is_one_clear_line(tmp_path: Path, ros_domain_id: int) -> None:
    arguments = ['demo', '--model', str(tmp_path / 'nowhere'), '--seconds', '1']
    arguments += ['--out', str(tmp_path / 'out')]
    with RosProcess('da3_ros.cli.main', *arguments, domain_id=ros_domain_id) as demo:
        assert demo.wait(60.0) == 1
        assert 'no such folder' in demo.output
        assert 'Traceback' not in demo.output


def _write_bag(path: Path, camera: str, *, is_compressed: bool) -> None:
    world = make_world(size=ImageSize(24, 32))
    with CameraBagWriter(path, is_compressed=is_compressed) as bag:
        frame = world.frame('front', START_NS)
        bag.write_frame(CameraFrame(camera, START_NS, 'optical', frame.image, frame.calibration))


@pytest.mark.parametrize('is_compressed', [False, True])
def test_topics_of_a_recording_become_cameras(tmp_path: Path, is_compressed: bool) -> None:
    path = tmp_path / 'drive.mcap'
    _write_bag(path, 'robot/color', is_compressed=is_compressed)
    found = plan_input(path, None, tmp_path)
    assert found.cameras == ('robot_color',)
    assert found.transport == ('compressed' if is_compressed else 'raw')
    name = 'image_raw/compressed' if is_compressed else 'image_raw'
    assert dict(found.remappings) == {
        f'/robot/color/{name}': f'/robot_color/{name}',
        '/robot/color/camera_info': '/robot_color/camera_info',
    }


def test_topics_that_fit_already_are_left_alone(tmp_path: Path) -> None:
    _write_bag(tmp_path / 'drive.mcap', 'front', is_compressed=False)
    found = plan_input(tmp_path / 'drive.mcap', None, tmp_path)
    assert found.cameras == ('front',)
    assert found.remappings == ()


def test_what_is_missing_of_a_recording_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / 'drive.mcap'
    _write_bag(path, 'front', is_compressed=False)
    plan_input(path, None, tmp_path)
    assert caplog.messages == []
    path.write_bytes(path.read_bytes()[:-100])
    assert plan_input(path, None, tmp_path).cameras == ('front',)
    (line,) = caplog.messages
    assert 'drive.mcap: ends without the summary' in line


def test_a_recording_without_images_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'empty.mcap'
    with BagWriter(path) as bag:
        bag.add_topic('/chatter', 'std_msgs/msg/String')
        bag.write('/chatter', 1, b'\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00')
    with pytest.raises(SourceError, match=r'expected colour images.*/chatter'):
        plan_input(path, None, tmp_path)


def test_points_read_from_the_npz_are_the_points_of_the_scene(tmp_path: Path) -> None:
    world = make_world(size=ImageSize(24, 32))
    views = []
    for camera in world.rig.cameras:
        view = world.render(camera, START_NS)
        views.append(
            PosedView(
                ViewId(camera, START_NS, 'optical'),
                view.depth,
                view.image,
                view.camera,
                True,
                view.world_from_camera,
                None,
                None,
            )
        )
    scene = ExportScene(tuple(views), is_metric=True)
    files = export_scene(scene, 'npz', tmp_path).files
    expected = np.concatenate([world_points(view, 0.0).xyz for view in views])
    np.testing.assert_allclose(scene_points(files[0]).xyz, expected, atol=1e-4)


def test_notes_that_differ_in_numbers_only_are_one_line() -> None:
    brief = 'a network for tests'
    said = [
        'off by 6 cm and 0.5 degrees',
        'no rig',
        'off by 5 cm and 12 degrees',
        '',
    ]
    lines = note_lines([f'{text}; {brief}' if text else brief for text in said], brief)
    assert lines == [
        'note, in 2 of 4 windows: off by 5 cm and 12 degrees',
        'note, in 1 of 4 windows: no rig',
    ]
