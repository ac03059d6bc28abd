"""The messages of a window, as the node publishes them, in bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.trajectory import StampedPose
from da3_ros.notes import Note
from da3_ros.options import NodeOptions
from da3_ros.options.outputs import OutputChoice
from da3_ros.pipeline.odometry_track import OdometryTrack, TrackState
from da3_ros.pipeline.pipeline import Losses
from da3_ros.pipeline.pose_uncertainty import UncertaintyState, Variances
from da3_ros.pipeline.report_fields import report_fields
from da3_ros.pipeline.shown_view import ImageTopic, ShownView, at_published_size, image_of
from da3_ros.ros.conversions import ImageLayout
from da3_ros.ros.messages.point_cloud import (
    BYTES_BEHIND_DATA,
    FIELD_NAMES,
    CloudView,
    MergedPoints,
    pack_into,
)
from da3_ros.ros.tf.claims import TransformClaim, TransformClaims
from da3_ros.ros.tf.transforms import MOVING_TOPIC, STATIC_TOPIC
from da3_ros.sinks.data_bytes import DataTemplate
from da3_ros.sinks.messages import RecordedMessages
from da3_ros.stream.state import StateCodec
from da3_ros.types import AlignmentReport, PosedSet, PosedView, RigCalibration, WindowResult

Message = tuple[str, str, bytes]
"""Topic, type and CDR."""

TF_STATIC_TOPIC = STATIC_TOPIC

_IMAGE = 'sensor_msgs/msg/Image'
_INFO = 'sensor_msgs/msg/CameraInfo'
_CLOUD = 'sensor_msgs/msg/PointCloud2'
_TF = 'tf2_msgs/msg/TFMessage'

_OF_IMAGES: Mapping[ImageTopic, str] = {
    'depth/image': 'depth',
    'depth/debug': 'debug',
    'color/image': 'color',
    'depth/confidence': 'confidence',
    'depth/sky_mask': 'sky_mask',
}
_OF_INFOS = {'depth/camera_info': 'camera_info', 'color/camera_info': 'color'}
_OF_MAPS = frozenset({'depth', 'debug', 'confidence', 'sky_mask', 'camera_points'})


@dataclass(frozen=True, slots=True, eq=False)
class MessageState:
    """What a `ResultMessages` remembers."""

    generation: int
    """Of the world that the newest window stands in."""
    track: TrackState


_CODEC = StateCodec(MessageState, TrackState, UncertaintyState, Variances, StampedPose)


class ResultMessages:
    """Makes the messages of results; topics are those of a node without a namespace.

    Args:
        options: as of the node.
        wanted: which of them.
        tf: which transforms go out.
        notes: what every window report says, whatever the window.
    """

    def __init__(
        self,
        options: NodeOptions,
        wanted: OutputChoice,
        tf: TransformClaims,
        *,
        notes: tuple[Note, ...] = (),
    ) -> None:
        self._output = options.output
        self._wanted = wanted.names
        self._tf = tf
        self._notes = notes
        self._messages = RecordedMessages()
        self._track = OdometryTrack()
        self._generation = 0
        # The newest of each topic: cameras seldom change their size.
        self._templates: dict[str, tuple[ImageLayout, DataTemplate]] = {}

    def of_window(
        self, result: WindowResult, losses: Losses, rig: RigCalibration
    ) -> Iterator[Message]:
        """Return the messages of a window that has new sets, in the order of publishing.

        Which transforms go out is asked at once; all else is made as the messages are taken,
        which another thread may do.
        """
        claims: list[Sequence[TransformClaim]] = [
            self._tf.of_set(posed, rig) if 'tf' in self._wanted else ()
            for posed in result.new_sets
        ]
        return self._of_window(result, losses, claims)

    def of_rig(self, rig: RigCalibration, frame_ids: Mapping[str, str]) -> Iterator[Message]:
        """Return the message of where cameras sit that only the parameters know, if one is due.

        What goes out is asked at once.
        """
        return self._latched(self._tf.of_rig(rig, frame_ids) if 'tf' in self._wanted else None)

    def of_tick(self) -> Iterator[Message]:
        """Return what changes where others begin or cease to publish a frame.

        Once in a while; what goes out is asked at once.
        """
        return self._latched(self._tf.tick() if 'tf' in self._wanted else None)

    def state(self) -> bytes:
        """Return all that there is to remember; no window may be under way."""
        return _CODEC.encode(MessageState(self._generation, self._track.state()))

    def restore(self, state: bytes) -> None:
        """Go on from a state.

        Raises:
            StreamError: it is none.
        """
        found = _CODEC.decode(state, MessageState)
        self._generation = found.generation
        self._track.restore(found.track)

    def _latched(self, claims: Sequence[TransformClaim] | None) -> Iterator[Message]:
        if claims is not None:
            yield self._transforms(TF_STATIC_TOPIC, claims)

    def _of_window(
        self, result: WindowResult, losses: Losses, claims: Sequence[Sequence[TransformClaim]]
    ) -> Iterator[Message]:
        if result.generation != self._generation:
            self._generation = result.generation
            self._track.restart()
        self._track.add_window(result.alignment)
        shown: list[ShownView] = []
        for posed, of_set in zip(result.new_sets, claims, strict=True):
            if of_set:
                yield self._transforms(MOVING_TOPIC, of_set)
            yield from self._odometry(posed, result.alignment)
            for view in posed.views:
                shown.append(ShownView(view, self._output))
                yield from self._of_view(shown[-1], result)
        if 'points' in self._wanted:
            yield self._points(shown, result.new_sets[-1].stamp_ns)
        if 'window' in self._wanted:
            yield self._report(result, losses)

    def _transforms(self, topic: str, claims: Sequence[TransformClaim]) -> Message:
        make = self._messages
        transforms = [
            make.transform(claim.stamp_ns, claim.parent, claim.child, claim.pose)
            for claim in claims
        ]
        return topic, _TF, make.serialize(make.transforms(transforms))

    def _odometry(self, posed: PosedSet, report: AlignmentReport) -> Iterator[Message]:
        if not self._track.append(posed) or 'odometry' not in self._wanted:
            return
        reading, make, o = self._track.reading(posed, report), self._messages, self._output
        motion = reading.motion
        message = make.odometry(
            make.header(posed.stamp_ns, o.odom_frame),
            o.base_frame,
            posed.world_from_base,
            pose_covariance=reading.pose_covariance,
            linear_per_s=(0.0, 0.0, 0.0) if motion is None else motion.linear_per_s,
            angular_rad_per_s=(0.0, 0.0, 0.0) if motion is None else motion.angular_rad_per_s,
            twist_covariance=reading.twist_covariance,
        )
        yield '/odometry', 'nav_msgs/msg/Odometry', make.serialize(message)

    # ---- of a camera

    def _of_view(self, seen: ShownView, result: WindowResult) -> Iterator[Message]:
        wanted, key = self._wanted, seen.view.id
        needs_maps = not wanted.isdisjoint(_OF_MAPS)
        shown = at_published_size(seen, result.images[key], needs_maps=needs_maps)
        view = shown.view
        infos = [topic for topic, name in _OF_INFOS.items() if name in wanted]
        if infos:
            make = self._messages
            head = make.header(key.stamp_ns, key.frame_id)
            info = make.serialize(make.camera_info(head, view.camera))
            for topic in infos:
                yield _topic(key.camera, topic), _INFO, info
        for name, output in _OF_IMAGES.items():
            found = image_of(shown, name) if output in wanted else None
            if found is not None:
                topic = _topic(key.camera, name)
                yield topic, _IMAGE, self._image(topic, view, *found)
        if 'camera_points' in wanted:
            yield _topic(key.camera, 'points'), _CLOUD, self._camera_points(shown)

    def _image(
        self, topic: str, view: PosedView, pixels: NDArray[np.generic], encoding: str
    ) -> bytes:
        layout = ImageLayout.of(pixels, encoding, view.id.frame_id)
        known = self._templates.get(topic)
        if known is None or known[0] != layout:
            make, size = self._messages, (layout.height, layout.width)
            head, step = make.header(0, layout.frame_id), layout.data_bytes // layout.height
            message = make.image_of_bytes(head, size, encoding, step)
            known = self._templates[topic] = layout, DataTemplate.of(make.serialize(message))
        return known[1].filled(view.id.stamp_ns, pixels)

    def _camera_points(self, shown: ShownView) -> bytes:
        view, depth = shown.view, shown.points_depth
        points = np.empty((*depth.shape, len(FIELD_NAMES)), np.float32)
        pack_into(points, depth, view.camera, shown.bits, view.confidence)
        return self._cloud(view.id.frame_id, view.id.stamp_ns, points, is_dense=False)

    # ---- of the whole

    def _points(self, shown: Sequence[ShownView], stamp_ns: int) -> Message:
        views = [CloudView(item.view, item.points_depth, item.bits) for item in shown]
        merged = MergedPoints.of(views, self._output.voxel_size_m)
        points = np.empty((1, len(merged), len(FIELD_NAMES)), np.float32)
        merged.pack_into(points)
        frame = self._output.odom_frame
        return '/points', _CLOUD, self._cloud(frame, stamp_ns, points, is_dense=True)

    def _cloud(
        self, frame_id: str, stamp_ns: int, points: NDArray[np.float32], *, is_dense: bool
    ) -> bytes:
        make = self._messages
        message = make.cloud(
            make.header(0, frame_id), FIELD_NAMES, points.shape[:2], is_dense=is_dense
        )
        template = DataTemplate.of(make.serialize(message), BYTES_BEHIND_DATA)
        return template.filled(stamp_ns, points)

    def _report(self, result: WindowResult, losses: Losses) -> Message:
        fields, make = report_fields(result, losses, self._notes), self._messages
        views = [
            make.view_report(view.stamp_ns, view.world_from_camera, view.plain)
            for view in fields.views
        ]
        # What a clock says would be another each time.
        unknown = {'estimate_s': math.nan, 'stamp_to_publish_s': math.nan}
        message = make.window_report(
            make.header(fields.stamp_ns, self._output.odom_frame),
            views,
            {**fields.plain, **unknown},
        )
        return '/window', message.__msgtype__, make.serialize(message)


def written_topics(choice: OutputChoice, cameras: Sequence[str]) -> dict[str, str]:
    """Return the topics that are this package's alone, with the output that each belongs to."""
    of_whole = {'/odometry': 'odometry', '/points': 'points', '/window': 'window'}
    of_camera = (*_OF_INFOS.items(), *_OF_IMAGES.items(), ('points', 'camera_points'))
    every = of_whole | {
        _topic(camera, name): output for camera in cameras for name, output in of_camera
    }
    return {topic: output for topic, output in every.items() if output in choice.names}


def _topic(camera: str, name: str) -> str:
    """Return the topic of a camera; its name may begin with a slash already."""
    return f'/{camera.lstrip("/")}/{name}'
