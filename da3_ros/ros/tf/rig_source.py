"""Reading TF: where cameras are, on the robot and in the frame of an odometry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.transform_buffer import Found
from da3_ros.notes import Note
from da3_ros.options import OutputOptions
from da3_ros.ros.tf.camera_frames import shared
from da3_ros.ros.tf.transforms import MOVING_TOPIC, STATIC_TOPIC, Transforms
from da3_ros.types import FrameSet, PosePrior, RigCalibration

# Camera, target frame, frame and stamp of a transform that is wanted.
_Question = tuple[str, str, str, int]


class RigSource:
    """Where cameras are: in the robot, by parameters or TF, and in the world, by an odometry.

    Cameras that /tf_static does not connect to the base are looked for on /tf: on a moving head
    their place is that at the stamp of the image. What parameters say comes first. A frame that
    several cameras have says of none of them where it is.

    Args:
        options: frames and switches.
        given: the rig of the parameters.
        tf: what others publish; takes what is wrong with the frames of cameras.
    """

    def __init__(self, options: OutputOptions, given: RigCalibration, tf: Transforms) -> None:
        self._base_frame = options.base_frame
        self._prior_frame = options.prior_frame
        self._wait_s = options.tf_wait_s
        self._given = given
        self._tf = tf
        # Per pair of frames the newest stamp when waiting for newer ones was in vain.
        self._stalled: dict[tuple[str, str], int | None] = {}
        self._reads_tf = options.use_tf_static

    def rig(self, frame_ids: Mapping[str, str]) -> RigCalibration:
        """Return the rig as far as it is known now, moving cameras where they were last.

        Args:
            frame_ids: camera name to the id of its optical frame.
        """
        self._tf.read()
        found = dict(self._given.base_from_camera)
        several = shared(frame_ids)
        for camera, frame_id in frame_ids.items():
            if camera in found or not frame_id or not self._reads_tf:
                continue
            if frame_id.lstrip('/') in several:
                continue
            self._keep_moving(frame_id)
            newest_ns = self._tf.buffer.newest_ns(self._base_frame, frame_id) or 0
            pose = self._tf.buffer.lookup(self._base_frame, frame_id, newest_ns).pose
            if pose is not None:
                found[camera] = pose
        return RigCalibration(found)

    def wait_for_rig(self, frame_ids: Mapping[str, str], timeout_s: float) -> RigCalibration:
        """Return the rig, after waiting for it while somebody publishes /tf_static or /tf.

        Args:
            frame_ids: camera name to the id of its optical frame; the cameras that are wanted.
            timeout_s: longest wait for each of the topics; what is known then is returned.
        """

        def is_complete() -> bool:
            return set(frame_ids) <= set(self.rig(frame_ids).base_from_camera)

        # One of the publishers is this node's own.
        for topic in (STATIC_TOPIC, MOVING_TOPIC):
            if is_complete() or not self._reads_tf:
                break
            if self._tf.count_publishers(topic) > 1:
                self._listens_moving()
                self._tf.wait_for(is_complete, timeout_s)
        return self.rig(frame_ids)

    def _listens_moving(self) -> None:
        """Read /tf too, once somebody else publishes it."""
        if self._reads_tf and self._tf.count_publishers(MOVING_TOPIC) > 1:
            self._tf.listen_moving()

    def _keep_moving(self, frame_id: str) -> None:
        """Keep what comes on /tf, where that connects a camera with the base."""
        tf, base = self._tf, self._base_frame
        if not (self._reads_tf and frame_id):
            return
        if tf.tree.connects(base, frame_id) and not tf.buffer.is_connected(base, frame_id):
            tf.keep_moving()

    def prior(self, frame_set: FrameSet) -> PosePrior | None:
        """Return what is known of the poses of a set's cameras, None when nothing ever is.

        Waits for transforms that are older than the images yet. Where that takes time, it waits
        for no joint twice: one that stays behind is not waited for again before something new
        came from it.
        """
        self._tf.read()
        self._tf.frames.take({frame.camera: frame.frame_id for frame in frame_set.frames})
        for frame in frame_set.frames:
            self._keep_moving(frame.frame_id)
        questions = self._questions(frame_set)
        answers = self._answers(questions)
        rig: dict[str, FloatArray] = {}
        odometry: dict[str, FloatArray] = {}
        problems: list[str] = []
        for (camera, target, below, _), found in zip(questions, answers, strict=True):
            is_rig = target == self._base_frame
            if found.pose is not None:
                (rig if is_rig else odometry)[camera] = found.pose
            elif not is_rig or self._tf.buffer.is_connected(target, below):
                problems.append(found.problem)
            else:
                # The runner says once that such a camera has no place on the robot.
                self._listens_moving()
        self._judge_frames(frame_set, rig)
        for camera, pose in self._given.base_from_camera.items():
            if camera in odometry:
                odometry[camera] = odometry[camera] @ pose
            rig[camera] = pose
        if not (rig or odometry or problems):
            return None
        # The first is enough: others have the same cause.
        notes = tuple(Note('transform_missing', problem) for problem in problems[:1])
        return PosePrior(rig, odometry, notes)

    def _judge_frames(self, frame_set: FrameSet, rig: Mapping[str, FloatArray]) -> None:
        tree = self._tf.tree
        for frame in frame_set.frames:
            if frame.frame_id:
                below = tree.optical_below(frame.frame_id.lstrip('/'))
                self._tf.frames.judge(frame.camera, frame.frame_id, rig.get(frame.camera), below)

    def _questions(self, frame_set: FrameSet) -> list[_Question]:
        wanted: list[_Question] = []
        for frame in frame_set.frames:
            is_given = frame.camera in self._given.base_from_camera
            if not (is_given or frame.frame_id):
                continue
            if frame.frame_id.lstrip('/') in self._tf.frames.shared and not is_given:
                continue
            if self._reads_tf and not is_given:
                wanted.append((frame.camera, self._base_frame, frame.frame_id, frame.stamp_ns))
            if self._prior_frame:
                # A camera that only parameters know is in no tree: its base is asked for.
                below = self._base_frame if is_given else frame.frame_id
                wanted.append((frame.camera, self._prior_frame, below, frame.stamp_ns))
        return wanted

    def _answers(self, questions: Sequence[_Question]) -> list[Found]:
        """Return an answer to every question, after waiting for those that may yet come."""
        answers = self._lookups(questions)
        early = [q for q, found in zip(questions, answers, strict=True) if found.is_early]
        if early and self._wait_s > 0:
            self._tf.wait_for(lambda: self._has_all_there_is(early), self._wait_s)
            answers = self._lookups(questions)
        self._stalled = {
            (target, frame): self._tf.buffer.newest_ns(target, frame)
            for (_, target, frame, _), found in zip(questions, answers, strict=True)
            if found.is_early and not self._tf.is_waiting_free
        }
        return answers

    def _lookups(self, questions: Sequence[_Question]) -> list[Found]:
        return [self._tf.buffer.lookup(a, b, stamp_ns) for _, a, b, stamp_ns in questions]

    def _has_all_there_is(self, questions: Sequence[_Question]) -> bool:
        """Return whether only those are unanswered that were waited for in vain before."""
        return all(
            not found.is_early or self._stalled.get((a, b), -1) == self._tf.buffer.newest_ns(a, b)
            for (_, a, b, _), found in zip(questions, self._lookups(questions), strict=True)
        )

    def only_given(self, frame_ids: Mapping[str, str]) -> RigCalibration:
        """Return the part of the rig that parameters know and TF does not."""
        return RigCalibration(
            {
                camera: pose
                for camera, pose in self._given.base_from_camera.items()
                if camera in frame_ids
                and not self._tf.buffer.is_connected(self._base_frame, frame_ids[camera])
            }
        )
