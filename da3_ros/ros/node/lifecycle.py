"""A lifecycle node that answers during a transition and survives requests that make no sense."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
import traceback
from typing import Any
from weakref import WeakSet

from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import ChangeState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecycleNodeMixin, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.subscription import Subscription

from da3_ros.errors import Da3Error, NodeError

_CLOCK_TOPIC = '/clock'
# What goes wrong in a transition through no fault of this program.
_EXPECTED = (Da3Error, OSError, ImportError, MemoryError)


class ManagedNode(LifecycleNode):  # type: ignore[misc]  # rclpy has no types
    """Base of the node: transitions as plain methods that may raise.

    Args:
        node_name: of the node.
        node_arguments: passed on to rclpy's Node.
    """

    def __init__(self, node_name: str, **node_arguments: Any) -> None:
        # LifecycleNode itself puts its services into the default group, where get_state would
        # wait for the end of a transition: minutes, when weights are downloaded.
        Node.__init__(self, node_name, **node_arguments)
        LifecycleNodeMixin.__init__(self, callback_group=ReentrantCallbackGroup())
        self._guard(self._service_change_state)
        self._later: WeakSet[Any] = WeakSet()
        self.last_failure = ''
        """Why the last transition failed; empty after one that did not."""

    def _guard(self, service: Any) -> None:
        """Answer a transition that does not begin in the present state with failure.

        rclpy lets the exception through, which would end the executor and so the node.
        """
        change = service.callback

        def answer(request: Any, response: ChangeState.Response) -> ChangeState.Response:
            before = self.state_label
            try:
                return change(request, response)
            except Exception as error:
                if self.context.ok():
                    what = request.transition.label or request.transition.id
                    self.get_logger().error(
                        f'change_state: no transition {what} from the state {before}: {error}'
                    )
                response.success = False
                return response

        service.callback = answer

    @property
    def state_label(self) -> str:
        """Name of the state, also of one in between such as `configuring`."""
        return str(self._state_machine.current_state[1])

    @property
    def in_transition(self) -> bool:
        """Whether a transition is under way."""
        return bool(self._state_machine.current_state[0] >= State.TRANSITION_STATE_CONFIGURING)

    def destroy_later(self, entity: Any) -> None:
        """Destroy this with the node, if it still exists then: it has no other owner."""
        self._later.add(entity)

    def destroy_node(self) -> None:
        """Destroy the node and what rclpy leaves to the garbage collector; nothing may spin.

        State machine and action servers refer to the node, which would stay in the graph with its
        threads and its shared memory until some later time.
        """
        for entity in list(self._later):
            # An action server that left the executor before cannot leave it again.
            with suppress(ValueError):
                entity.destroy()
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def attempt(self, name: str, work: Callable[[], None]) -> TransitionCallbackReturn:
        """Run the work of a transition and return how it ended, with the reason in the log.

        Bad input fails the transition, so that the node is where it was. Anything else is an
        error, after which `on_error` clears up.
        """
        try:
            work()
        except Exception as error:
            is_expected = isinstance(error, _EXPECTED)
            self.last_failure = str(error) or type(error).__name__
            if not is_expected:
                self.last_failure = f'{type(error).__name__}: {error}'
                self.get_logger().debug(traceback.format_exc())
            if self.context.ok():
                self.get_logger().error(f'{name} failed: {self.last_failure}')
            if is_expected:
                return TransitionCallbackReturn.FAILURE
            return TransitionCallbackReturn.ERROR
        self.last_failure = ''
        return TransitionCallbackReturn.SUCCESS


class NodeEntities:
    """What a node makes from now on, to be destroyed together.

    Args:
        node: makes and destroys.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._before = [entity for entity, _ in self._present()]

    def destroy_newer(self) -> None:
        """Destroy what the node made since this object exists, the newest of a kind first."""
        before = {id(entity) for entity in self._before}
        for entity, destroy in reversed(self._present()):
            # The clock follows use_sim_time, whatever the state of the node.
            is_clock = isinstance(entity, Subscription) and entity.topic_name == _CLOCK_TOPIC
            if id(entity) not in before and not is_clock:
                destroy(entity)

    def _present(self) -> list[tuple[Any, Callable[[Any], object]]]:
        node = self._node
        return [
            *((publisher, node.destroy_publisher) for publisher in node.publishers),
            *((service, node.destroy_service) for service in node.services),
            *((client, node.destroy_client) for client in node.clients),
            *((timer, node.destroy_timer) for timer in node.timers),
            *((subscription, node.destroy_subscription) for subscription in node.subscriptions),
        ]


def require_alive(node: Node) -> None:
    """Check that the middleware was not shut down in the meantime.

    Raises:
        NodeError: it was.
    """
    if not node.context.ok():
        raise NodeError('the node is shutting down')
