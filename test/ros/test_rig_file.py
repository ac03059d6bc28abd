"""Rig files: what a good one means, and that a bad one is refused with its place."""

from pathlib import Path
import re
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
import yaml

from da3_ros.errors import ConfigError
from da3_ros.options import option_specs
from da3_ros.ros.launch.rig_file import parse_rig, read_rig
from helpers.ros_process import ROOT

EXAMPLES = sorted((ROOT / 'config' / 'rigs').glob('*.yaml'))
BODY_FROM_OPTICAL = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def rig_of(camera: dict[str, Any], **top: Any) -> Any:
    return parse_rig({'cameras': {'front': camera}, **top})


def test_topics_become_remappings_of_the_transport() -> None:
    camera = {'image': '/driver/rgb/image_raw', 'camera_info': 'driver/info'}
    assert rig_of(camera).remappings() == [
        ('front/image_raw', '/driver/rgb/image_raw'),
        ('front/camera_info', 'driver/info'),
    ]
    compressed = rig_of({'image': '/c/image_raw/compressed'}, transport='compressed')
    assert compressed.remappings() == [('front/image_raw/compressed', '/c/image_raw/compressed')]
    assert compressed.node_parameters()['image_transport'] == 'compressed'
    assert rig_of({}).remappings() == []


@pytest.mark.parametrize('kind', ['rpy', 'rpy_deg', 'quaternion_xyzw', 'seven', 'matrix'])
def test_every_form_of_a_pose_is_the_same_pose(kind: str, rng: np.random.Generator) -> None:
    xyz = rng.uniform(-2, 2, 3).tolist()
    rpy = rng.uniform(-1.5, 1.5, 3)
    # Fixed axes in the order x, y, z: the first turn stands rightmost.
    about_x, about_y, about_z = (Rotation.from_rotvec(np.eye(3)[i] * rpy[i]) for i in range(3))
    truth = about_z * about_y * about_x
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = truth.as_matrix(), xyz
    forms = {
        'rpy': {'xyz': xyz, 'rpy': rpy.tolist()},
        'rpy_deg': {'xyz': xyz, 'rpy_deg': np.degrees(rpy).tolist()},
        'quaternion_xyzw': {'xyz': xyz, 'quaternion_xyzw': truth.as_quat().tolist()},
        'seven': [*xyz, *truth.as_quat().tolist()],
        'matrix': matrix.tolist(),
    }

    seven = rig_of({'base_from_camera': forms[kind]}).node_parameters()
    values = seven['rig.front.base_from_camera']

    np.testing.assert_allclose(values[:3], xyz, atol=1e-12)
    np.testing.assert_allclose(Rotation(values[3:]).as_matrix(), truth.as_matrix(), atol=1e-9)


def test_a_body_that_looks_ahead_has_an_optical_frame_that_looks_ahead() -> None:
    rig = rig_of({'base_from_body': {'xyz': [1, 2, 3], 'rpy_deg': [0, 0, 90]}})
    (camera,) = rig.cameras
    # Yaw of 90 degrees: ahead of the body is to the left of the base.
    np.testing.assert_allclose(camera.base_from_camera[:3, :3] @ [0, 0, 1], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(camera.base_from_camera[:3, :3] @ [0, 1, 0], [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(camera.base_from_camera[:3, 3], [1, 2, 3])


def test_parameters_of_the_node_are_checked_and_typed() -> None:
    rig = rig_of({'rotation_deg': 270, 'crop_px': [0, 4, 8, 2]}, parameters={'max_depth_m': 8})
    values = rig.node_parameters()
    # ROS keeps 8 and 8.0 apart.
    assert type(values['max_depth_m']) is float
    assert values['input.front.rotation_deg'] == 270
    assert values['input.front.crop_px'] == [0, 4, 8, 2]
    assert values['cameras'] == ['front']


BAD: list[tuple[Any, str]] = [
    (None, 'mapping'),
    ({}, 'cameras'),
    ({'cameras': {}}, 'cameras'),
    ({'cameras': ['front']}, 'cameras'),
    ({'cameras': {'front': {}}, 'camera': {}}, 'unknown camera'),
    ({'cameras': {'my cam': {}}}, "camera 'my cam'"),
    ({'cameras': {1: {}}}, 'camera 1'),
    ({'cameras': {'front': 3}}, 'camera front'),
    ({'cameras': {'front': {'topic': '/a'}}}, 'camera front: unknown topic'),
    ({'cameras': {'front': {'image': '/a b'}}}, 'camera front: image'),
    ({'cameras': {'front': {'image': '/a:=/b'}}}, 'camera front: image'),
    ({'cameras': {'front': {}}, 'transport': 'theora'}, 'transport'),
    ({'cameras': {'front': {'rotation_deg': 45}}}, 'rotation_deg'),
    ({'cameras': {'front': {'rotation_deg': True}}}, 'rotation_deg'),
    ({'cameras': {'front': {'crop_px': [0, 0, 0, 4]}}}, 'crop_px'),
    ({'cameras': {'front': {'crop_px': [0, 0, 1.5, 4]}}}, 'crop_px'),
    ({'cameras': {'front': {'crop_px': 'all'}}}, 'crop_px'),
    ({'cameras': {'front': {'base_from_camera': [1, 2, 3]}}}, 'base_from_camera'),
    ({'cameras': {'front': {'base_from_camera': [0, 0, 0, 0, 0, 0, 0]}}}, 'base_from_camera'),
    ({'cameras': {'front': {'base_from_camera': 'ahead'}}}, 'base_from_camera'),
    ({'cameras': {'front': {'base_from_camera': (2 * np.eye(4)).tolist()}}}, 'base_from_camera'),
    ({'cameras': {'front': {'base_from_body': {'rpy': [0, 0, 0]}}}}, 'xyz'),
    ({'cameras': {'front': {'base_from_body': {'xyz': [0, 0, float('nan')]}}}}, 'finite'),
    ({'cameras': {'front': {'base_from_body': {'xyz': [0, 0, 'a']}}}}, 'xyz'),
    (
        {
            'cameras': {
                'front': {'base_from_body': {'xyz': [0, 0, 0], 'rpy': [0] * 3, 'rpy_deg': [0] * 3}}
            }
        },
        'at most one',
    ),
    (
        {
            'cameras': {
                'front': {
                    'base_from_body': {'xyz': [0, 0, 0]},
                    'base_from_camera': {'xyz': [0, 0, 0]},
                }
            }
        },
        'both',
    ),
    ({'cameras': {'front': {}}, 'parameters': {'windw': 3}}, 'unknown windw'),
    ({'cameras': {'front': {}}, 'parameters': {'window': 0}}, 'window'),
    ({'cameras': {'front': {}}, 'parameters': {'cameras': ['a']}}, 'keys of cameras'),
    ({'cameras': {'front': {}}, 'parameters': {'image_transport': 'raw'}}, 'transport'),
    ({'cameras': {'front': {}}, 'parameters': {'min_cameras': 2}}, 'min_cameras'),
    ({'cameras': {'a': {'image': '/i'}, 'b': {'image': '/i'}}}, 'already that of camera a'),
]


@pytest.mark.parametrize(('document', 'says'), BAD)
def test_what_is_wrong_is_named(document: Any, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_rig(document, 'rig file x')

    assert str(error.value).startswith('rig file x')
    assert says in str(error.value)


@pytest.mark.parametrize(
    ('text', 'says'),
    [
        ('cameras: {front: {}, front: {}}', 'front: given twice'),
        ('cameras: [', 'no valid YAML'),
        ('cameras: !!python/object/apply:os.system ["true"]', 'no valid YAML'),
    ],
)
def test_a_file_that_is_no_plain_yaml_is_refused(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / 'rig.yaml'
    file.write_text(text)
    with pytest.raises(ConfigError, match=says) as error:
        read_rig(file)
    assert str(file) in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='cannot be read'):
        read_rig(tmp_path / 'no.yaml')


@pytest.mark.parametrize('file', EXAMPLES, ids=lambda f: f.stem)
def test_examples_are_rigs_with_upright_cameras(file: Path) -> None:
    rig = read_rig(file)
    known = {spec.name for spec in option_specs()}
    assert set(rig.parameters) <= known
    for camera in rig.cameras:
        assert camera.image is not None
        assert camera.camera_info is not None
        assert camera.image.endswith('/compressed') == (rig.transport == 'compressed')
        if camera.base_from_camera is None:
            continue
        # Up of the upright image, rotated back into the image of the camera.
        angle = -np.pi / 2 * camera.view.quarter_turns
        up = [np.sin(angle), -np.cos(angle), 0]
        assert (camera.base_from_camera[:3, :3] @ up)[2] > 0.95


def test_the_examples_are_those_that_were_promised() -> None:
    assert {'realsense', 'zed', 'oak', 'usb_cam', 'gazebo', 'robot'} <= {f.stem for f in EXAMPLES}


def test_the_documented_rig_file_is_one() -> None:
    text = (ROOT / 'docs' / 'launch.md').read_text()
    (block,) = re.findall(r'```yaml\n(.*?)```', text, re.DOTALL)
    (camera,) = parse_rig(yaml.safe_load(block)).cameras
    assert camera.name == 'front'
    assert camera.base_from_camera is not None


def test_the_bridge_to_gazebo_carries_what_its_rig_reads() -> None:
    text = (ROOT / 'config' / 'rigs' / 'bridge' / 'gazebo_bridge.yaml').read_text()
    carried = {entry['topic_name']: entry for entry in yaml.safe_load(text)}
    (camera,) = read_rig(ROOT / 'config' / 'rigs' / 'gazebo.yaml').cameras
    expected = {camera.image: 'Image', camera.camera_info: 'CameraInfo', '/clock': 'Clock'}
    assert set(carried) == set(expected)
    for topic, kind in expected.items():
        assert carried[topic]['ros_type_name'].endswith(f'/msg/{kind}')
        assert carried[topic]['gz_type_name'] == f'gz.msgs.{kind}'
        assert carried[topic]['direction'] == 'GZ_TO_ROS'


def test_another_name_of_an_option_is_taken_and_named(caplog: pytest.LogCaptureFixture) -> None:
    rig = parse_rig({'cameras': {'front': None}, 'parameters': {'model_dir': 'da3-base'}}, 'mine')
    assert rig.parameters == {'model': 'da3-base'}
    assert 'mine: parameters: model_dir is another name of model' in caplog.text
