"""What `ros2 lifecycle` and `ros2 param` do, as a client in a test."""

from __future__ import annotations

from collections.abc import Callable
import time
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient

from helpers.ros_rig import RosRobot

CONFIGURE = Transition.TRANSITION_CONFIGURE
ACTIVATE = Transition.TRANSITION_ACTIVATE
DEACTIVATE = Transition.TRANSITION_DEACTIVATE
CLEANUP = Transition.TRANSITION_CLEANUP
SHUTDOWN = {
    'unconfigured': Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
    'inactive': Transition.TRANSITION_INACTIVE_SHUTDOWN,
    'active': Transition.TRANSITION_ACTIVE_SHUTDOWN,
}
_TRIES = 6
_MATCH_S = 10.0
IMAGE_TOPIC = 'front/image_raw'
DEPTH_TOPIC = 'front/depth/image'


class LifecycleClient:
    """Asks a node for transitions, states, services and parameters.

    Args:
        robot: its node asks, and is spun by its own thread.
        name: fully qualified name of the node to ask.
        node: asks in place of the robot's.
    """

    def __init__(self, robot: RosRobot, name: str = '/da3_node', node: Node | None = None) -> None:
        self._robot = robot
        self.node = node or robot.node
        self._name = name
        self._clients: dict[str, Any] = {}
        self._probes: list[Any] = []  # never destroyed while their executor spins
        self._parameters = AsyncParameterClient(self.node, name)

    def call(self, kind: type[Any], service: str, timeout_s: float = 20.0, **fields: Any) -> Any:
        """Call a service of the node, such as `reset`, and return the answer."""
        return self.wait(self.begin(kind, service, **fields), service, timeout_s)

    def begin(self, kind: type[Any], service: str, **fields: Any) -> Any:
        """Call a service and return the future of its answer."""
        if service not in self._clients:
            self._clients[service] = self._new_client(kind, service)
            self._await_discovery()
        return self._clients[service].call_async(kind.Request(**fields))

    def _new_client(self, kind: type[Any], service: str) -> Any:
        """Return a client whose service is there.

        Fast DDS now and then does not match what is made while other endpoints are destroyed, and
        then never does: another client finds what it already knows of.
        """
        name = f'{self._name}/{service}'
        for _ in range(_TRIES):
            client = self.node.create_client(kind, name)
            if client.wait_for_service(_MATCH_S):
                return client
            self._probes.append(client)
        raise AssertionError(f'no service {name} for {_TRIES} clients of {_MATCH_S} s each')

    def _await_discovery(self) -> None:
        """Wait until the node knows the clients that were made before.

        A request that is sent before is lost: DDS calls a service available when this side knows
        the other. Endpoints are made known in the order in which they are made, so that an answer
        to a client made last says that all are known; its own requests are repeated.
        """
        client = self._new_client(GetState, 'get_state')
        answers: list[Any] = []

        def answered() -> bool:
            if len(answers) < 40 and not any(answer.done() for answer in answers):
                answers.append(client.call_async(GetState.Request()))
                time.sleep(0.1)
            return any(answer.done() for answer in answers)

        self._robot.wait(answered, f'any answer of {self._name}')
        self._probes.append(client)

    def wait(self, future: Any, what: str, timeout_s: float = 20.0) -> Any:
        """Return what a future brings."""
        self._robot.wait(future.done, f'the answer of {what}', timeout_s)
        return future.result()

    def change(self, transition: int, timeout_s: float = 20.0) -> bool:
        """Ask for a transition and return whether it succeeded."""
        return bool(self.wait(self.begin_change(transition), 'change_state', timeout_s).success)

    def begin_change(self, transition: int) -> Any:
        """Ask for a transition and return the future of the answer."""
        return self.begin(ChangeState, 'change_state', transition=Transition(id=transition))

    def state(self, timeout_s: float = 20.0) -> str:
        """Return the name of the node's state."""
        return str(self.call(GetState, 'get_state', timeout_s).current_state.label)

    def set(self, **values: Any) -> list[Any]:
        """Set parameters one by one and return the answers."""
        for _ in range(_TRIES):
            if self._parameters.wait_for_services(_MATCH_S):
                break
            self._probes.append(self._parameters)
            self._parameters = AsyncParameterClient(self.node, self._name)
        parameters = [Parameter(n.replace('__', '.'), value=v) for n, v in values.items()]
        future = self._parameters.set_parameters(parameters)
        return list(self.wait(future, 'set_parameters').results)

    # ---- what the graph shows of a node with the camera `front`

    def subscribes(self) -> bool:
        """Return whether anybody subscribes to the camera."""
        return bool(self.node.count_subscribers(IMAGE_TOPIC))

    def publishes(self) -> bool:
        """Return whether anybody publishes depth of the camera."""
        return bool(self.node.count_publishers(DEPTH_TOPIC))

    def becomes(self, condition: Callable[[], bool], *, value: bool, what: str) -> None:
        """Wait until the graph, which lags behind, shows something."""
        self._robot.wait(lambda: condition() is value, f'{what} being {value}')
