"""The node as a robot sees it: a process of its own, real DDS, exact geometry inside.

Three cameras on a rig known from /tf_static, windows of three sets: nine views.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMessage
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from scipy.spatial import cKDTree
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from da3_ros.geometry.camera import ImageSize
from da3_ros.msg import WindowReport
from da3_ros.ros.messages.geometry_messages import ns_from_stamp
from da3_ros.srv import ExportScene
from helpers.ros_process import RosProcess, reserved_domain_id
from helpers.ros_rig import BEST_EFFORT, LATCHED, SIZE, RosRobot, matrix_of

pytestmark = pytest.mark.ros
CAMERAS = ('front', 'left', 'right')
# The truth estimator answers at half the input's size.
DEPTH_SIZE = ImageSize(SIZE.height // 2, SIZE.width // 2)
PER_CAMERA = {
    'depth/image': Image,
    'depth/camera_info': CameraInfo,
    'depth/confidence': Image,
    'color/image': Image,
    'color/camera_info': CameraInfo,
    'points': PointCloud2,
}
Array = np.ndarray[Any, Any]


@pytest.fixture(scope='module', name='export_dir')
def export_dir_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('exports')


@pytest.fixture(scope='module', name='node')
def node_fixture(domain_id: int, export_dir: Path) -> Iterator[RosProcess]:
    parameters = [
        'model:=truth',
        f'cameras:=[{", ".join(CAMERAS)}]',
        'min_cameras:=2',
        'sync_wait_s:=0.05',
        'window:=3',
        f'export_dir:={export_dir}',
    ]
    arguments = ['--ros-args', *(a for p in parameters for a in ('-p', p))]
    with RosProcess('da3_ros.ros.node.main', *arguments, domain_id=domain_id) as process:
        process.wait_for_line('ready')
        yield process


@pytest.fixture(scope='module', name='domain_id')
def domain_id_fixture() -> Iterator[int]:
    with reserved_domain_id() as domain_id:
        yield domain_id


@pytest.fixture(scope='module', name='robot')
def robot_fixture(domain_id: int, node: RosProcess) -> Iterator[RosRobot]:
    with RosRobot(domain_id, CAMERAS) as robot:
        robot.publish_rig(CAMERAS)
        robot.wait_for_node()
        for camera in CAMERAS:
            for topic, kind in PER_CAMERA.items():
                robot.listen(kind, f'{camera}/{topic}')
        robot.listen(TFMessage, '/tf')
        robot.listen(WindowReport, 'window')
        robot.listen(PointCloud2, 'points')
        robot.listen(Odometry, 'odometry')
        robot.listen(DiagnosticArray, '/diagnostics')
        robot.prime(robot.send)
        assert node.running
        yield robot


def send(robot: RosRobot) -> int:
    """Send an instant of all cameras and wait until its window is out."""
    stamp_ns = robot.send()
    robot.wait_stamp('window', stamp_ns)
    return stamp_ns


def odom_from_truth(robot: RosRobot) -> Array:
    # odom starts where the base is at the first set.
    return np.linalg.inv(robot.world.world_from_base(robot.start_ns))


def odom_from_base(robot: RosRobot, stamp_ns: int) -> Array:
    """Return what /tf says of the base, alone in its message."""
    (transform,) = robot.wait_stamp('/tf', stamp_ns).transforms
    assert (transform.header.frame_id, transform.child_frame_id) == ('odom', 'base_link')
    return matrix_of(transform.transform)


def odom_from_camera(robot: RosRobot, camera: str, stamp_ns: int) -> Array:
    """Chain /tf with the joints that the robot publishes."""
    base_from_camera = robot.world.rig.calibration.base_from_camera[camera]
    return np.asarray(odom_from_base(robot, stamp_ns) @ base_from_camera)


def pixels_of(message: Image) -> Array:
    dtype, channels = {'32FC1': ('<f4', 1), 'rgb8': ('u1', 3)}[message.encoding]
    array = np.frombuffer(bytes(message.data), dtype)
    shape = (message.height, message.width, channels)
    return array.reshape(shape)[..., 0] if channels == 1 else array.reshape(shape)


def points_of(cloud: PointCloud2) -> Array:
    floats = np.frombuffer(bytes(cloud.data), '<f4')
    return floats.reshape(cloud.height, cloud.width, cloud.point_step // 4)


def smooth_landmarks(robot: RosRobot, camera: str, stamp_ns: int) -> tuple[Array, Array]:
    """Return input pixels (N, 2) and true world points (N, 3) away from edges of objects."""
    depth = robot.world.depth(camera, stamp_ns, SIZE).astype(np.float64)
    rng = np.random.default_rng(0)
    rows = rng.integers(6, SIZE.height - 6, 400)
    columns = rng.integers(6, SIZE.width - 6, 400)
    around = np.stack(
        [depth[rows + dv, columns + du] for dv in (-4, 0, 4) for du in (-4, 0, 4)], axis=-1
    )
    # Depth of a plane is smooth: the centre is near the mean of every opposite pair.
    bend = np.abs(around + around[:, ::-1] - 2 * around[:, 4:5]).max(axis=1)
    keep = bend < 0.01 * around[:, 4]
    pixels = np.stack([columns[keep], rows[keep]], axis=-1)
    inverse = np.linalg.inv(robot.world.intrinsics(camera, SIZE).K)
    rays = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1) @ inverse.T
    pose = robot.world.world_from_camera(camera, stamp_ns)
    points = rays * around[keep, 4:5] @ pose[:3, :3].T + pose[:3, 3]
    assert len(points) > 50
    return pixels, points


def test_stamps_and_frame_ids_are_those_of_the_image_to_the_nanosecond(robot: RosRobot) -> None:
    stamp_ns = send(robot)
    for camera in CAMERAS:
        for topic in PER_CAMERA:
            message = robot.wait_stamp(f'{camera}/{topic}', stamp_ns)
            assert message.header.frame_id == f'{camera}_optical_frame'
    assert robot.wait_stamp('points', stamp_ns).header.frame_id == 'odom'
    report = robot.wait_stamp('window', stamp_ns)
    assert [ns_from_stamp(view.stamp) for view in report.views] == [stamp_ns] * 3
    assert [view.camera for view in report.views] == list(CAMERAS)
    assert [view.frame_id for view in report.views] == [f'{c}_optical_frame' for c in CAMERAS]


def test_published_depth_is_the_true_z(robot: RosRobot) -> None:
    stamp_ns = send(robot)
    for camera in CAMERAS:
        depth = pixels_of(robot.wait_stamp(f'{camera}/depth/image', stamp_ns))
        truth = robot.world.depth(camera, stamp_ns, DEPTH_SIZE)
        np.testing.assert_allclose(depth, truth, rtol=1e-5)
        colour = pixels_of(robot.wait_stamp(f'{camera}/color/image', stamp_ns))
        assert colour.shape == (*depth.shape, 3)
        assert pixels_of(robot.wait_stamp(f'{camera}/depth/confidence', stamp_ns)).min() >= 1


@pytest.mark.parametrize('camera', CAMERAS)
def test_known_landmarks_project_with_published_k_and_tf_onto_their_depth(
    robot: RosRobot, camera: str
) -> None:
    stamp_ns = send(robot)
    pixels, points = smooth_landmarks(robot, camera, stamp_ns)
    to_odom = odom_from_truth(robot)
    in_odom = points @ to_odom[:3, :3].T + to_odom[:3, 3]
    camera_from_odom = np.linalg.inv(odom_from_camera(robot, camera, stamp_ns))
    in_camera = in_odom @ camera_from_odom[:3, :3].T + camera_from_odom[:3, 3]
    info = robot.wait_stamp(f'{camera}/depth/camera_info', stamp_ns)
    assert (info.height, info.width) == (DEPTH_SIZE.height, DEPTH_SIZE.width)
    projected = in_camera @ np.reshape(info.p, (3, 4))[:, :3].T
    uv = projected[:, :2] / projected[:, 2:]
    # Half the size, borders on borders.
    np.testing.assert_allclose(uv, (pixels + 0.5) / 2 - 0.5, atol=1e-3)
    depth = pixels_of(robot.wait_stamp(f'{camera}/depth/image', stamp_ns))
    column, row = np.rint(uv).astype(int).T
    # Up to 0.71 pixel from the landmark, on a surface that may be steep.
    np.testing.assert_allclose(depth[row, column], in_camera[:, 2], rtol=0.05)


def test_a_landmark_seen_by_two_cameras_meets_itself_in_odom(robot: RosRobot) -> None:
    stamp_ns = send(robot)
    for one, other in (('front', 'left'), ('front', 'right')):
        cloud = points_of(robot.wait_stamp(f'{one}/points', stamp_ns))[..., :3]
        pose = odom_from_camera(robot, one, stamp_ns)
        world = cloud.astype(np.float64) @ pose[:3, :3].T + pose[:3, 3]
        from_odom = np.linalg.inv(odom_from_camera(robot, other, stamp_ns))
        seen = (world @ from_odom[:3, :3].T + from_odom[:3, 3]).reshape(-1, 3)
        info = robot.wait_stamp(f'{other}/depth/camera_info', stamp_ns)
        seen = seen[seen[:, 2] > 0.1]
        projected = seen @ np.reshape(info.k, (3, 3)).T
        uv = projected[:, :2] / projected[:, 2:]
        inside = (uv > 0).all(axis=1) & (uv < (info.width - 1, info.height - 1)).all(axis=1)
        seen, uv = seen[inside], uv[inside]
        rivals = points_of(robot.wait_stamp(f'{other}/points', stamp_ns))[..., :3]
        gaps = distance_to_surface(rivals.astype(np.float64), uv, seen)
        # Others are hidden from one of the two cameras, or lie across the edge of an object.
        meets = gaps < 0.01
        assert inside.sum() > 500
        assert meets.mean() > 0.7, f'{one} and {other}: {np.percentile(gaps, [25, 50, 75])} m'
        assert np.median(gaps[meets]) < 0.001


def distance_to_surface(cloud: Array, uv: Array, points: Array) -> Array:
    """Return how far points are from the surface that four neighbouring pixels span, m."""
    column, row = np.floor(uv).astype(int).T
    corners = np.stack([cloud[row, column], cloud[row, column + 1], cloud[row + 1, column]])
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    return np.asarray(np.abs(((points - corners[0]) * normal).sum(axis=1)))


def test_windows_of_nine_views_share_six_with_the_one_before(robot: RosRobot) -> None:
    for _ in range(3):
        stamp_ns = send(robot)
    report = robot.wait_stamp('window', stamp_ns)
    assert (report.sets, report.new_sets, report.shared_views) == (3, 1, 6)
    assert report.alignment_method == 'shared_views'
    assert report.is_metric
    assert report.scale_source in {WindowReport.SCALE_RIG, WindowReport.SCALE_CHAIN}
    assert report.translation_residual < 1e-6
    assert report.views[0].k_source == 'calibrated'
    assert report.views[0].valid_fraction == 1.0


def test_tf_odometry_and_path_follow_the_true_base(robot: RosRobot) -> None:
    stamp_ns = send(robot)
    truth = odom_from_truth(robot) @ robot.world.world_from_base(stamp_ns)
    np.testing.assert_allclose(odom_from_base(robot, stamp_ns), truth, atol=1e-6)
    odometry = robot.wait_stamp('odometry', stamp_ns)
    assert (odometry.header.frame_id, odometry.child_frame_id) == ('odom', 'base_link')
    np.testing.assert_allclose(matrix_of(odometry.pose.pose), truth, atol=1e-6)
    before = odom_from_truth(robot) @ robot.world.world_from_base(stamp_ns - 100_000_000)
    moved = np.linalg.inv(truth) @ before
    linear = odometry.twist.twist.linear
    np.testing.assert_allclose([linear.x, linear.y, linear.z], -moved[:3, 3] / 0.1, atol=1e-2)
    variances = np.diag(np.reshape(odometry.pose.covariance, (6, 6)))
    assert (variances > 0).all()
    assert (variances < 1e-3).all()
    # A reader that comes now still gets the path.
    path = robot.wait_for(robot.listen(PathMessage, 'path', LATCHED))
    assert path.header.frame_id == 'odom'
    assert ns_from_stamp(path.poses[-1].header.stamp) == stamp_ns
    assert ns_from_stamp(path.poses[0].header.stamp) == robot.start_ns


def test_merged_points_are_the_cameras_points_in_odom_thinned(robot: RosRobot) -> None:
    stamp_ns = send(robot)
    merged = robot.wait_stamp('points', stamp_ns)
    assert merged.is_dense
    assert merged.height == 1
    together = []
    for camera in CAMERAS:
        cloud = points_of(robot.wait_stamp(f'{camera}/points', stamp_ns))[..., :3].reshape(-1, 3)
        cloud = cloud[np.isfinite(cloud).all(axis=1)]
        pose = odom_from_camera(robot, camera, stamp_ns)
        together.append(cloud @ pose[:3, :3].T + pose[:3, 3])
    points = points_of(merged)[0, :, :3]
    distances = np.asarray(cKDTree(np.concatenate(together)).query(points)[0])
    assert distances.max() < 1e-4
    cells = np.floor(points / np.float32(0.05))
    assert len(np.unique(cells, axis=0)) == len(points) < sum(map(len, together))


def test_best_effort_and_reliable_readers_both_receive(robot: RosRobot) -> None:
    key = robot.listen(Image, 'front/depth/image', BEST_EFFORT, key='best effort')
    stamp_ns = send(robot)
    got = robot.wait_stamp(key, stamp_ns)
    assert got.data == robot.wait_stamp('front/depth/image', stamp_ns).data


def test_diagnostics_tell_rate_latency_drops_and_scale(robot: RosRobot) -> None:
    for _ in range(3):
        send(robot)
    already = len(robot.messages('/diagnostics'))
    robot.wait(lambda: len(robot.messages('/diagnostics')) > already, 'diagnostics')
    stream, *cameras = robot.messages('/diagnostics')[-1].status
    assert (stream.level, stream.message) == (DiagnosticStatus.OK, 'running')
    values = {pair.key: pair.value for pair in stream.values}
    assert float(values['window rate (Hz)']) > 0
    assert float(values['estimate p95 (ms)']) >= float(values['estimate p50 (ms)']) > 0
    assert {'stamp_to_publish p50 (ms)', 'dropped sets', 'late cameras'} <= set(values)
    assert values['scale source'] in {'rig', 'chain'}
    assert [status.name for status in cameras] == [f'da3_node: camera {c}' for c in CAMERAS]


def test_export_service_writes_inside_its_folder_only(robot: RosRobot, export_dir: Path) -> None:
    send(robot)
    client = robot.node.create_client(ExportScene, '/da3_node/export_scene')
    assert client.wait_for_service(10.0)

    def ask(format_: str, path: str, *, overwrite: bool = False) -> Any:
        request = ExportScene.Request(format=format_, path=path, overwrite=overwrite)
        future = client.call_async(request)
        robot.wait(future.done, 'the answer of export_scene')
        return future.result()

    done = ask('npz-glb', 'room')
    assert done.success, done.message
    assert done.views >= 3
    assert done.points > 100
    written = [export_dir / name for name in done.files]
    assert {path.suffix for path in written} == {'.npz', '.glb'}
    assert all(path.is_file() for path in written)
    for path in ('../elsewhere', '/etc/da3'):
        escaped = ask('npz', path)
        assert not escaped.success
        assert 'inside' in escaped.message
    assert not (export_dir.parent / 'elsewhere').exists()
    again = ask('npz', 'room')
    assert not again.success
    assert 'overwrite' in again.message
    assert ask('npz', 'room', overwrite=True).success
    unknown = ask('dwg', 'other')
    assert not unknown.success
    assert 'npz' in unknown.message


def test_dynamic_parameters_change_what_goes_out_and_bad_ones_are_rejected(
    robot: RosRobot,
) -> None:
    client = AsyncParameterClient(robot.node, '/da3_node')
    assert client.wait_for_services(10.0)

    def change(**values: Any) -> list[Any]:
        future = client.set_parameters([Parameter(n, value=v) for n, v in values.items()])
        robot.wait(future.done, 'the answer of set_parameters')
        return list(future.result().results)

    (accepted,) = change(max_depth_m=2.0)
    assert accepted.successful
    stamp_ns = send(robot)
    depth = pixels_of(robot.wait_stamp('front/depth/image', stamp_ns))
    truth = robot.world.depth('front', stamp_ns, DEPTH_SIZE)
    np.testing.assert_array_equal(np.isposinf(depth), truth > 2.0)
    assert np.isposinf(depth).any()
    (rejected,) = change(max_depth_m=-1.0)
    assert not rejected.successful
    (rejected,) = change(window=5)
    assert not rejected.successful
    assert 'read' in rejected.reason
    (accepted,) = change(max_depth_m=100.0)
    assert accepted.successful


def test_a_camera_that_dies_does_not_stop_the_others(robot: RosRobot) -> None:
    send(robot)
    pending_ns = robot.send(['front', 'left'])
    for _ in range(3):
        # A set goes out without the late camera when the next image shows that waiting is over.
        stamp_ns, pending_ns = pending_ns, robot.send(['front', 'left'])
        report = robot.wait_stamp('window', stamp_ns)
        assert report.late_cameras == ['right']
        assert [view.camera for view in report.views] == ['front', 'left']
        depth = pixels_of(robot.wait_stamp('left/depth/image', stamp_ns))
        np.testing.assert_allclose(
            depth, robot.world.depth('left', stamp_ns, DEPTH_SIZE), rtol=1e-5
        )
    # It comes back: sets are whole again, in the same world.
    stamp_ns = send(robot)
    assert robot.wait_stamp('window', stamp_ns).late_cameras == []
    truth = odom_from_truth(robot) @ robot.world.world_from_base(stamp_ns)
    np.testing.assert_allclose(odom_from_base(robot, stamp_ns), truth, atol=1e-6)


def test_reset_starts_the_world_anew(robot: RosRobot) -> None:
    client = robot.node.create_client(Trigger, '/da3_node/reset')
    assert client.wait_for_service(10.0)
    future = client.call_async(Trigger.Request())
    robot.wait(future.done, 'the answer of reset')
    assert future.result().success
    robot.start_ns = send(robot)
    assert robot.wait_stamp('window', robot.start_ns).window_index == 0
    np.testing.assert_allclose(odom_from_base(robot, robot.start_ns), np.eye(4), atol=1e-6)
