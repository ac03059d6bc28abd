"""Whether this node may publish a transform, and which ones it did publish; no middleware."""

from __future__ import annotations

from collections.abc import Callable
import time

from da3_ros.options.choices import Automatic
from da3_ros.ros.tf.frame_tree import FrameTree
from da3_ros.ros.tf.joints import Joint

LISTENS_S = 1.0
"""How long others are listened to before the first transform."""
# Those of eight seconds at 30 Hz; what was sent comes back within a tenth of one.
_REMEMBERED = 256


class SentTransforms:
    """The newest transforms of every frame that this node published, to know them again.

    Only what agrees in parent, stamp and every number of the pose is this node's own: another
    publisher of the same frame, be it this program a second time, is another one.
    """

    def __init__(self) -> None:
        self._by_child: dict[str, dict[Joint, None]] = {}

    def add(self, joint: Joint) -> None:
        """Remember a transform; before it is published."""
        sent = self._by_child.setdefault(joint.child, {})
        sent[joint] = None
        if len(sent) > _REMEMBERED:
            del sent[next(iter(sent))]

    def has(self, joint: Joint) -> bool:
        """Return whether this node published it."""
        return joint in self._by_child.get(joint.child, ())


class TransformOwnership:
    """Who publishes a frame: this node or another one.

    With `auto` this node publishes a frame that nobody else has published for `GONE_AFTER_S`,
    from `listens_s` after it was activated. With true it always does, with false never.

    Args:
        tree: what others publish.
        clock: monotonic seconds.
        listens_s: how long others are listened to before the first transform.
    """

    def __init__(
        self,
        tree: FrameTree,
        clock: Callable[[], float] = time.monotonic,
        listens_s: float = LISTENS_S,
    ) -> None:
        self._tree = tree
        self._clock = clock
        self._listens_s = listens_s
        self._begun_s: float | None = None

    def activate(self) -> None:
        """Listen anew before anything is published."""
        self._begun_s = self._clock()

    @property
    def has_listened(self) -> bool:
        """Whether others had the time to be heard."""
        return self._begun_s is not None and self._clock() - self._begun_s >= self._listens_s

    def may_publish(self, child: str, switch: bool | Automatic) -> bool:
        """Return whether this node may publish a frame now.

        Args:
            child: the frame.
            switch: what the parameter says.
        """
        if switch == 'auto':
            return self.has_listened and self._tree.parent_of(child) is None
        return switch
