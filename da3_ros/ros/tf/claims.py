"""Which transforms go out: the pose of the robot, and a rig that only parameters know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import threading

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import invert
from da3_ros.options import OutputOptions
from da3_ros.options.choices import Automatic
from da3_ros.reasons import Reason
from da3_ros.ros.tf.frame_tree import GONE_AFTER_S
from da3_ros.ros.tf.transforms import MOVING_TOPIC, STATIC_TOPIC, Transforms
from da3_ros.types import PosedSet, RigCalibration


@dataclass(frozen=True, slots=True, eq=False)
class TransformClaim:
    """A transform that this program would publish."""

    parent: str
    child: str
    pose: FloatArray
    """(4, 4) parent_from_child."""
    stamp_ns: int
    asked: str
    """The frame that has a pose: `child`, or one that is fixed to it."""
    parameter: str
    """Which one asks for it."""
    switch: bool | Automatic
    """What that says."""


class TransformClaims:
    """Decides what goes out on /tf for posed sets, and on /tf_static for a rig of parameters.

    Cameras of the rig hang below base_frame, and a frame has one parent only: for them odom to
    base_frame goes out. For a camera that the rig does not know, odom to its optical frame. Where
    others have fixed such a frame to one above it, the topmost of these frames goes out instead.
    What others publish themselves, and frames that two cameras share, do not go out at all.

    What it decides depends on what others have published until then, so where results have to be
    the same every time, it is asked on the thread that reads the transforms.

    Args:
        options: frames and switches.
        tf: what others publish.
    """

    def __init__(self, options: OutputOptions, tf: Transforms) -> None:
        self._options = options
        self._tf = tf
        self._odom, self._base = options.odom_frame.lstrip('/'), options.base_frame.lstrip('/')
        self._map = options.map_frame.lstrip('/')
        # What the thread of the windows and that of TF both use.
        self._lock = threading.RLock()
        # Frames that another node publishes, with the parent they had from this one.
        self._taken: dict[str, str] = {}
        # Frames that this node would publish: those of the sets so far, by the frame that has the
        # pose, for a set may lack cameras; and those of the rig.
        self._moving: dict[str, str] = {}
        self._rigged: tuple[str, ...] = ()
        self._said: set[tuple[str, str]] = set()
        self._rig: dict[str, FloatArray] = {}
        self._fixed: tuple[tuple[str, str], ...] = ()

    @property
    def is_wanted(self) -> bool:
        """Whether a pose would be published: others may publish all there is."""
        o = self._options
        if True in (o.publish_tf, o.publish_map_tf):
            return True
        if not (o.publish_tf or o.publish_map_tf):
            return False
        with self._lock:
            self._tf.read()
            # Before the first window nobody knows what it would give.
            tree = self._tf.tree
            moving = self._moving.values()
            return not moving or any(tree.parent_of(child) is None for child in moving)

    # ---- the rig

    def of_rig(
        self, rig: RigCalibration, frame_ids: Mapping[str, str]
    ) -> list[TransformClaim] | None:
        """Return base_frame to the optical frames of these cameras, for /tf_static.

        Args:
            rig: the cameras that nobody else publishes.
            frame_ids: camera name to the id of its optical frame; without one, no transform.

        Returns:
            All that is latched from now on, also nothing; None where that is what was before.
        """
        with self._lock:
            self._moving = {}
            self._rig = {
                frame_ids[camera].lstrip('/'): pose
                for camera, pose in rig.base_from_camera.items()
                if frame_ids.get(camera)
            }
            return self._fixed_anew()

    def _fixed_anew(self) -> list[TransformClaim] | None:
        """Return the rig as it hangs below the base now; None where that is what went out."""
        o, tf = self._options, self._tf
        if not o.publish_tf or (o.publish_tf == 'auto' and not tf.ownership.has_listened):
            return None
        claims = [
            claim
            for frame, pose in self._rig.items()
            if frame not in tf.frames.shared and not tf.tree.connects(self._base, frame)
            for claim in self._topmost(self._base, frame, pose, 0)
        ]
        self._rigged = tuple(claim.child for claim in claims)
        claims = self._admitted(claims)
        names = tuple((claim.parent, claim.child) for claim in claims)
        if names == self._fixed:
            return None
        self._fixed = names
        return claims

    # ---- poses

    def of_set(self, posed: PosedSet, rig: RigCalibration) -> list[TransformClaim]:
        """Return the transforms of one set for /tf, as far as nobody else publishes them."""
        with self._lock:
            self._tf.read()
            claims = self._claims(posed, rig)
            self._note(posed, rig, claims)
            return self._admitted(claims)

    def _note(
        self, posed: PosedSet, rig: RigCalibration, claims: Iterable[TransformClaim]
    ) -> None:
        """Note what goes out for a set; what went out for the cameras that it lacks stays."""
        gone = self._tf.frames.shared | {view.id.frame_id.lstrip('/') for view in posed.views}
        if any(view.id.camera in rig.base_from_camera for view in posed.views):
            gone |= {self._base}
        kept = {asked: child for asked, child in self._moving.items() if asked not in gone}
        self._moving = kept | {claim.asked: claim.child for claim in claims}

    def tick(self) -> list[TransformClaim] | None:
        """Take over what nobody else publishes any more, and bring the rig up to date.

        Returns:
            What is to be latched on /tf_static from now on; None where that is what was before.
        """
        with self._lock:
            anew = self._fixed_anew()
            for child, parent in tuple(self._taken.items()):
                if child not in (*self._moving.values(), *self._rigged):
                    # Another frame goes out in its place.
                    del self._taken[child]
                    self._tf.reasons.end(Reason.TF_TAKEN, child)
                elif self._tf.tree.parent_of(child) is None:
                    del self._taken[child]
                    self._take_over(child, parent)
            return anew

    def _claims(self, posed: PosedSet, rig: RigCalibration) -> list[TransformClaim]:
        """Return what there is to publish, one parent for every frame."""
        o, stamp_ns = self._options, posed.stamp_ns
        found: list[TransformClaim] = []
        if o.publish_map_tf:
            found.append(self._map_claim(stamp_ns))
        if o.publish_tf:
            if any(view.id.camera in rig.base_from_camera for view in posed.views):
                found += self._topmost(self._odom, self._base, posed.world_from_base, stamp_ns)
            for view in posed.views:
                frame = view.id.frame_id.lstrip('/')
                is_alone = bool(frame) and frame not in self._tf.frames.shared
                if is_alone and view.id.camera not in rig.base_from_camera:
                    pose = view.world_from_camera
                    found += self._topmost(self._odom, frame, pose, view.id.stamp_ns)
        # Cameras on one body lead to one frame, where the first of them has it.
        first = {claim.child: claim for claim in reversed(found)}
        return [claim for claim in found if first[claim.child] is claim]

    def _map_claim(self, stamp_ns: int) -> TransformClaim:
        switch = self._options.publish_map_tf
        pose = np.eye(4)
        asks = (self._odom, 'publish_map_tf', switch)
        return TransformClaim(self._map, self._odom, pose, stamp_ns, *asks)

    def _topmost(
        self, parent: str, frame: str, parent_from_frame: FloatArray, stamp_ns: int
    ) -> list[TransformClaim]:
        """Return the claim for the topmost frame that a frame is fixed to; none in a loop."""
        chain = self._tf.tree.fixed_chain(frame)
        if chain is None:
            return []
        # Fixed to the parent itself: that joint is the one of another node.
        top = chain[chain.index(parent) - 1] if parent in chain[1:] else chain[-1]
        pose = parent_from_frame
        if top != frame:
            top_from_frame = self._tf.buffer.lookup(top, frame, stamp_ns).pose
            if top_from_frame is None:
                return []
            pose = np.asarray(pose @ invert(top_from_frame))
            self._say_topmost(parent, top, frame)
        switch = self._options.publish_tf
        return [TransformClaim(parent, top, pose, stamp_ns, frame, 'publish_tf', switch)]

    def _say_topmost(self, parent: str, top: str, frame: str) -> None:
        if (top, frame) not in self._said:
            self._said.add((top, frame))
            hint = (
                ''
                if frame == self._base or parent == self._base
                else (f'; with base_frame {top} the places of all cameras on it would be known')
            )
            self._tf.reasons.log.info(
                f'frame {frame} is fixed to {top} by others, and a frame has one parent only: '
                f'{parent} to {top} is published in place of {parent} to {frame}{hint}'
            )

    # ---- with respect to others

    def _admitted(self, claims: Iterable[TransformClaim]) -> list[TransformClaim]:
        found: dict[str, TransformClaim] = {}
        for claim in claims:
            if self._is_admitted(claim, {c.child: c.parent for c in found.values()}):
                found[claim.child] = claim
        return list(found.values())

    def _is_admitted(self, claim: TransformClaim, own: Mapping[str, str]) -> bool:
        """Return whether a transform may go out, beside those of this node (child to parent)."""
        tf, child = self._tf, claim.child
        above = tf.tree.ancestors(claim.parent)
        while above[-1] in own and own[above[-1]] not in above:
            above = (*above, *tf.tree.ancestors(own[above[-1]]))
        if child in above:
            chain = ' to '.join((child, *reversed(above[: above.index(child)]), child))
            tf.reasons.happened(Reason.TF_LOOP, child, 'own', chain=chain)
            return False
        theirs = tf.tree.parent_of(child)
        if theirs is not None:
            self._say_theirs(claim, theirs)
        return tf.ownership.may_publish(child, claim.switch)

    def _say_theirs(self, claim: TransformClaim, theirs: str) -> None:
        """Say that another node publishes a frame of this one."""
        tf, child = self._tf, claim.child
        topic = STATIC_TOPIC if tf.tree.is_fixed(child) else MOVING_TOPIC
        if claim.switch is True:
            tf.reasons.happened(
                Reason.TF_CONFLICT,
                child,
                own_parent=claim.parent,
                parent=theirs,
                topic=topic,
                publishers=tf.publishers(topic),
                parameter=claim.parameter,
            )
        elif child not in self._taken:
            self._taken[child] = claim.parent
            tf.reasons.hold(
                Reason.TF_TAKEN,
                child,
                parent=theirs,
                topic=topic,
                publishers=tf.publishers(topic),
                parameter=claim.parameter,
                limit_s=GONE_AFTER_S,
            )

    def _take_over(self, child: str, parent: str) -> None:
        o = self._options
        self._tf.reasons.end(Reason.TF_TAKEN, child)
        follows = parent != self._odom or o.prior_frame.lstrip('/') == self._odom
        jump = (
            ''
            if follows
            else (
                f'. Its pose jumps by what {self._odom} of that node and of this one differ '
                '(prior_frame is another one)'
            )
        )
        self._tf.reasons.log.info(
            f'frame {child}: nobody has published it for {GONE_AFTER_S:g} s; this node publishes '
            f'{parent} to {child} from the next images on{jump}'
        )
