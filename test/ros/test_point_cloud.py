"""Clouds, decoded by their declared fields with struct, the way a foreign reader does."""

import struct
from typing import Any

import numpy as np
import pytest

pytest.importorskip('sensor_msgs')
from sensor_msgs.msg import PointCloud2, PointField

from da3_ros.errors import MessageError
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.rotation import matrix_from_quaternion_xyzw
from da3_ros.geometry.se3 import rigid
from da3_ros.pipeline.shown_view import rgb_bits
from da3_ros.ros.messages.point_cloud import CloudView, pack_into
from da3_ros.types import PosedView, ViewId
from helpers.clouds import merged_cloud, organised_cloud

pytestmark = pytest.mark.ros
SIZE = ImageSize(3, 4)
CAMERA = PinholeCamera.from_focal(2.0, 4.0, 1.5, 1.0, SIZE)


def decode(cloud: PointCloud2) -> list[dict[str, float]]:
    """Read every point by offset and datatype as the message declares them."""
    assert not cloud.is_bigendian
    assert all(f.datatype == PointField.FLOAT32 and f.count == 1 for f in cloud.fields)
    assert len(cloud.data) == cloud.row_step * cloud.height
    content = bytes(cloud.data)
    return [
        {
            f.name: struct.unpack_from(
                '<f', content, row * cloud.row_step + column * cloud.point_step + f.offset
            )[0]
            for f in cloud.fields
        }
        for row in range(cloud.height)
        for column in range(cloud.width)
    ]


def colour_of(point: dict[str, float]) -> tuple[int, ...]:
    (bits,) = struct.unpack('<I', struct.pack('<f', point['rgb']))
    return (bits >> 16 & 255, bits >> 8 & 255, bits & 255, bits >> 24)


def scene() -> tuple[np.ndarray[Any, Any], ...]:
    depth = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    depth[0, 1], depth[2, 2] = np.nan, np.inf
    image = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    confidence = np.linspace(1, 9, 12, dtype=np.float32).reshape(3, 4)
    return depth, image, confidence


def posed(world_from_camera: np.ndarray[Any, Any], *, with_confidence: bool = True) -> CloudView:
    depth, image, confidence = scene()
    view = PosedView(
        id=ViewId('front', 5, 'optical'),
        depth=depth,
        image=image,
        camera=CAMERA,
        is_calibrated=True,
        world_from_camera=world_from_camera,
        confidence=confidence if with_confidence else None,
        sky=None,
    )
    return CloudView(view, depth, rgb_bits(image))


def test_organised_cloud_has_one_point_for_every_pixel_at_its_place() -> None:
    depth, image, confidence = scene()
    cloud = organised_cloud('optical', depth, CAMERA, image, confidence)
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (3, 4, 20, 80)
    assert [f.name for f in cloud.fields] == ['x', 'y', 'z', 'rgb', 'confidence']
    assert cloud.header.frame_id == 'optical'
    assert not cloud.is_dense
    for index, point in enumerate(decode(cloud)):
        v, u = divmod(index, 4)
        z = float(depth[v, u])
        if np.isfinite(z):
            wanted = ((u - 1.5) / 2 * z, (v - 1.0) / 4 * z, z)
            assert (point['x'], point['y'], point['z']) == pytest.approx(wanted, abs=1e-6)
        else:
            assert np.isnan([point['x'], point['y'], point['z']]).all()
        assert colour_of(point) == (*image[v, u], 0)
        assert point['confidence'] == confidence[v, u]


def test_merged_cloud_is_dense_and_in_the_world() -> None:
    half = np.sqrt(0.5)
    world_from_camera = rigid(matrix_from_quaternion_xyzw([0, 0, half, half]), [10.0, 0, 0])
    cloud = merged_cloud('odom', [posed(world_from_camera)], 0.0)
    assert (cloud.height, cloud.width) == (1, 10)
    assert cloud.is_dense
    assert cloud.header.frame_id == 'odom'
    first = decode(cloud)[0]
    x, y = (0 - 1.5) / 2, (0 - 1.0) / 4
    # A quarter turn about z: x becomes y, y becomes minus x.
    assert (first['x'], first['y'], first['z']) == pytest.approx((10 - y, x, 1.0), abs=1e-6)


def test_merged_cloud_keeps_one_point_per_voxel() -> None:
    twice = [posed(np.eye(4)), posed(np.eye(4))]
    assert merged_cloud('odom', twice, 0.0).width == 20
    assert merged_cloud('odom', twice, 0.01).width == 10
    assert merged_cloud('odom', twice, 1000.0).width <= 4


def test_merged_cloud_may_be_empty() -> None:
    item = posed(np.eye(4))
    nothing = CloudView(item.view, np.full((3, 4), np.nan, np.float32), item.bits)
    cloud = merged_cloud('odom', [nothing], 0.05)
    assert (cloud.height, cloud.width, len(cloud.data)) == (1, 0, 0)


def test_missing_confidence_is_nan() -> None:
    cloud = merged_cloud('odom', [posed(np.eye(4), with_confidence=False)], 0.0)
    assert all(np.isnan(point['confidence']) for point in decode(cloud))


def test_points_lie_on_the_rays_of_their_pixels_also_with_skew() -> None:
    depth, image, confidence = scene()
    camera = PinholeCamera(np.array([[2.0, 0.3, 1.5], [0, 4.0, 1.0], [0, 0, 1]]), SIZE)
    packed = np.empty((3, 4, 5), np.float32)
    pack_into(packed, depth, camera, rgb_bits(image), confidence)
    expected = camera.rays() * np.where(np.isfinite(depth), depth, np.nan)[..., None]
    np.testing.assert_allclose(packed[..., :3], expected, rtol=1e-6, atol=1e-6)


def test_sizes_that_differ_are_refused() -> None:
    depth, image, confidence = scene()
    packed = np.empty((3, 4, 5), np.float32)
    with pytest.raises(MessageError, match='the camera is'):
        pack_into(packed, depth[:2], CAMERA, rgb_bits(image), confidence)
    with pytest.raises(MessageError, match='the camera is'):
        pack_into(packed, depth, CAMERA, rgb_bits(image), confidence[:, :2])
    with pytest.raises(MessageError, match='the camera is'):
        pack_into(packed[:2], depth, CAMERA, rgb_bits(image), confidence)


def test_points_are_written_where_they_are_wanted_also_in_pieces() -> None:
    depth, image, confidence = scene()
    whole, wide = np.zeros((3, 4, 5), np.float32), np.zeros((3, 8, 5), np.float32)
    pack_into(whole, depth, CAMERA, rgb_bits(image), confidence)
    pack_into(wide[:, 2:6], depth, CAMERA, rgb_bits(image), confidence)
    assert np.isfinite(whole).any()
    np.testing.assert_array_equal(wide[:, 2:6].view(np.uint32), whole.view(np.uint32))
    assert not wide[:, :2].any()
    assert not wide[:, 6:].any()
