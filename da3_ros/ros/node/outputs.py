"""Everything the node publishes of a window, in the order consumers need it: TF first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rclpy.node import Node
from sensor_msgs.msg import PointCloud2

from da3_ros.msg import ViewReport, WindowReport
from da3_ros.notes import Note
from da3_ros.options import NodeOptions, OutputOptions
from da3_ros.pipeline.pipeline import Losses
from da3_ros.pipeline.report_fields import ViewFields, report_fields
from da3_ros.pipeline.shown_view import ShownView
from da3_ros.ros.messages.data_publisher import DataPublisher
from da3_ros.ros.messages.geometry_messages import header, pose_message, stamp_from_ns
from da3_ros.ros.messages.point_cloud import (
    BYTES_BEHIND_DATA,
    CloudLayout,
    CloudView,
    MergedPoints,
)
from da3_ros.ros.messages.qos import data_output, overridable
from da3_ros.ros.node.camera_outputs import CameraOutputs
from da3_ros.ros.node.odometry import OdometryPublisher
from da3_ros.ros.node.params import OptionsHolder
from da3_ros.ros.tf.listener import TfInput
from da3_ros.ros.tf.publisher import TransformPublisher
from da3_ros.types import RigCalibration, WindowResult
from da3_ros.web import LiveViewer


class Outputs:
    """All publishers of results.

    Args:
        node: owns the publishers.
        holder: options; those that may change are read for every window.
        tf: what others publish on TF.
        viewer: shows what is published in browsers; None for none.
        notes: what every window report says, whatever the window.
    """

    def __init__(
        self,
        node: Node,
        holder: OptionsHolder,
        tf: TfInput,
        viewer: LiveViewer | None = None,
        *,
        notes: tuple[Note, ...] = (),
    ) -> None:
        options = holder.current
        self._node = node
        self._holder = holder
        self._viewer = viewer
        self._notes = notes
        self._cameras = {
            camera: CameraOutputs(node, camera, options.output)
            for camera in options.stream.cameras
        }
        self.transforms = TransformPublisher(options.output, tf)
        self._odometry = OdometryPublisher(node, options.output, options.stream.scene_sets)
        profile = data_output(options.output.queue_depth)
        self._generation = 0
        self._points = DataPublisher(
            node.create_publisher(
                PointCloud2, 'points', profile, qos_overriding_options=overridable()
            ),
            BYTES_BEHIND_DATA,
        )
        self._window = node.create_publisher(
            WindowReport, 'window', profile, qos_overriding_options=overridable()
        )

    def restart(self) -> None:
        """Forget the trajectory so far: the world starts anew."""
        self._odometry.restart()
        if self._viewer is not None:
            self._viewer.reset()

    def is_wanted(self) -> bool:
        """Whether anybody has use for a window: a store, TF, a subscriber or a browser."""
        options = self._holder.current
        if options.stream.scene_sets or self.transforms.is_wanted:
            return True
        return (
            self._odometry.is_wanted
            or any(camera.is_wanted for camera in self._cameras.values())
            or self._points.is_wanted
            or bool(self._window.get_subscription_count())
            or (self._viewer is not None and self._viewer.clients > 0)
        )

    def publish_rig(self, rig: RigCalibration, frame_ids: Mapping[str, str]) -> None:
        """Publish where cameras sit that only the parameters know."""
        self.transforms.publish_rig(rig, frame_ids)

    def publish(self, result: WindowResult, losses: Losses, rig: RigCalibration) -> float:
        """Publish a window's new sets and return the time from stamp to publishing, seconds.

        Sets of another generation than those before start the world anew. The time is the node's:
        with use_sim_time it is that of /clock.
        """
        options = self._holder.current
        if result.generation != self._generation:
            self._generation = result.generation
            self.restart()
        self._odometry.add_window(result.alignment)
        shown: list[ShownView] = []
        for posed in result.new_sets:
            self.transforms.publish(posed, rig)
            self._odometry.publish(posed, result.alignment)
            for view in posed.views:
                shown.append(ShownView(view, options.output))
                self._cameras[view.id.camera].publish(shown[-1], result.images[view.id])
        if self._points.is_wanted:
            self._publish_points(result, shown, options.output)
        latest_ns = result.new_sets[-1].stamp_ns
        latency_s = (int(self._node.get_clock().now().nanoseconds) - latest_ns) / 1e9
        if self._window.get_subscription_count():
            self._window.publish(self._report(result, losses, latency_s, options))
        if self._viewer is not None:
            # It remembers what it shows; input images are not to stay with it.
            self._viewer.show(replace(result, images={}), latency_s)
        return latency_s

    def _publish_points(
        self, result: WindowResult, shown: Sequence[ShownView], options: OutputOptions
    ) -> None:
        views = [CloudView(item.view, item.points_depth, item.bits) for item in shown]
        points = MergedPoints.of(views, options.voxel_size_m)
        layout = CloudLayout(options.odom_frame, 1, len(points), is_dense=True)
        self._points.publish(
            layout,
            result.new_sets[-1].stamp_ns,
            lambda data: points.pack_into(layout.points(data)),
        )

    def _report(
        self, result: WindowResult, losses: Losses, latency_s: float, options: NodeOptions
    ) -> WindowReport:
        fields = report_fields(result, losses, self._notes)
        return WindowReport(
            header=header(fields.stamp_ns, options.output.odom_frame),
            views=[_view_report(view) for view in fields.views],
            estimate_s=float(result.estimate_s),
            stamp_to_publish_s=latency_s,
            **fields.plain,
        )


def _view_report(view: ViewFields) -> ViewReport:
    return ViewReport(
        stamp=stamp_from_ns(view.stamp_ns),
        world_from_camera=pose_message(view.world_from_camera),
        **view.plain,
    )
