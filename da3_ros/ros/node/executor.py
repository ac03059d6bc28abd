"""The executor of the node, and the threads that run its callbacks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
import threading
import time
from typing import Any
import warnings

from rclpy.context import Context
from rclpy.executors import (
    ConditionReachedException,
    ExternalShutdownException,
    MultiThreadedExecutor,
    ShutdownException,
    TimeoutException,
    TimeoutObject,
)
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.task import Task

from da3_ros.ros.messages.qos import event_class

# How often the executor looks whether it is to end, while all threads are busy.
_LOOK_S = 0.1
_EVENTS_PERIOD_S = 1.0
_EVENT = event_class()


class NodeExecutor(MultiThreadedExecutor):  # type: ignore[misc]  # rclpy has no types
    """Hands out every ready callback once, and sleeps while nothing new is ready.

    rclpy's own executor offers a callback that waits for a free thread again at every turn, and so
    it does with every coroutine that waits for something. While one callback takes long it turns
    without rest: a core is gone, and its queue grows by thousands of duplicates. Here `Task` says
    that it is being executed as soon as it was handed out. The middleware reports a message again
    and again until it is taken, also through the events of its subscription; so nothing is looked
    for before what was handed out has been taken, nor while no thread is free.

    Goes on where publishers and subscriptions are destroyed while it waits for them, as a
    transition of the lifecycle does on another thread. rclpy leaves out what is gone, except for
    the events of a publisher or subscription: there the error of a handle that is no more ends
    `spin`, and with it the node.

    The events of publishers and subscriptions, by which the middleware says that another one does
    not fit, are looked at once per second. For rclpy each is one more thing to wait for, and they
    are more than all else together: most of the time between messages would go there. The
    middleware keeps what happened, and a timer of the node wakes the executor.

    Measured by `benchmarks/bench_node.py --executors`, a node that answers three images of 640x480
    with depth made beforehand takes 0.77 of the CPU time that it takes by rclpy's
    SingleThreadedExecutor, and by the MultiThreadedExecutor 1.71 of it. Its thread takes 0.7 ms of
    the 6 ms for a set: an executor that waits for nothing at all could save no more. The
    EventsExecutor of rclpy.experimental, which may come near to that, is no choice: as Jazzy has
    it, it calls no timer (none of 30 calls of one of 10 Hz came within 3 s), `publish` on another
    thread than that which spins does not return once a subscription is of the same process, and
    it runs one callback at a time, where a service that waits would keep images out.

    A coroutine that waits is looked at again whenever another callback has ended, and on `wake`:
    whoever completes on a thread of its own what a coroutine waits for calls `wake` afterwards.

    Args:
        threads: how many callbacks run at a time.
        context: of the middleware; None for the default one.
    """

    def __init__(self, threads: int, *, context: Context | None = None) -> None:
        self._crew = _Crew(threads, self.wake)
        self._is_ending = False
        self._looks_at_events = True
        self._events_due_s = 0.0
        with warnings.catch_warnings():
            # Of a single thread: rclpy would rather have that of `spin` do everything.
            warnings.simplefilter('ignore')
            super().__init__(threads, context=context)

    def create_task(self, callback: Callable[..., Any], *arguments: Any, **options: Any) -> Task:
        """Have a function or coroutine done by the next free thread; return its future.

        Also after the end of `spin`, until `shutdown`: that is how answers get out which became
        due at the end.
        """
        task = Task(callback, arguments, options, executor=self)
        self._crew.give(task)
        return task

    def wake(self) -> None:
        """Look again at what there is to do, also at coroutines that wait."""
        self._crew.resume()
        super().wake()

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Begin no more callbacks, let those that began end, and end the threads.

        Args:
            timeout_sec: longest wait for callbacks; None for no limit.

        Returns:
            Whether all of them ended in time.
        """
        self._is_ending = True
        has_ended = self._crew.settle(timeout_sec)
        self._crew.end()
        super().shutdown(timeout_sec)
        return has_ended

    def get_nodes(self) -> list[Any]:
        """Return the nodes, as rclpy asks for them whenever it looks for what there is to do."""
        now_s = time.monotonic()
        self._looks_at_events = now_s >= self._events_due_s
        if self._looks_at_events:
            self._events_due_s = now_s + _EVENTS_PERIOD_S
        return list(super().get_nodes())

    def can_execute(self, entity: Any) -> bool:
        """Return whether to wait for a subscription, timer or whatever it is."""
        if isinstance(entity, _EVENT) and not self._looks_at_events:
            return False
        return bool(super().can_execute(entity))

    def wait_for_ready_callbacks(self, *arguments: Any, **options: Any) -> Any:
        """Return the next callback that is due, as rclpy does.

        Raises:
            ExternalShutdownException: the middleware was shut down, also where that came between
                rclpy's look at it and the making of what it waits on.
        """
        try:
            return self._next(*arguments, **options)
        except rclpy_implementation.RCLError as error:
            if self.context.ok():
                raise
            raise ExternalShutdownException from error

    def _next(self, *arguments: Any, **options: Any) -> Any:
        while True:
            # Again, with what is left, after it came upon what is gone.
            with suppress(rclpy_implementation.InvalidHandle):
                return super().wait_for_ready_callbacks(*arguments, **options)

    def _spin_once_impl(
        self, timeout_sec: Any = None, wait_condition: Callable[[], bool] | None = None
    ) -> None:
        """Do what every kind of spinning of rclpy comes down to."""
        condition = wait_condition or self._crew.has_failed
        limit_s = timeout_sec.timeout if isinstance(timeout_sec, TimeoutObject) else timeout_sec
        if self._crew.wait_for_room(_LOOK_S if limit_s is None else min(limit_s, _LOOK_S)):
            with suppress(
                ConditionReachedException,
                ExternalShutdownException,
                ShutdownException,
                TimeoutException,
            ):
                task, _, _ = self.wait_for_ready_callbacks(timeout_sec, None, condition)
                # For rclpy it is being executed from now on, not only when a thread takes it up.
                task.executing = _always
                if not self._is_ending:
                    self._crew.hand_over(task, _LOOK_S)
        try:
            self._crew.raise_failure()
        except rclpy_implementation.RCLError as error:
            # A callback that asked the middleware for something while that was shut down.
            if self.context.ok():
                raise
            raise ExternalShutdownException from error

    def _make_handler(
        self, entity: Any, node: Any, take: Callable[[Any], Any], *arguments: Any
    ) -> Task:
        """Make the task of an entity, as rclpy does, so that it says when it has taken."""

        def taking(entity: Any) -> Any:
            try:
                return take(entity)
            finally:
                self._crew.note_taken()

        return super()._make_handler(entity, node, taking, *arguments)


def _always() -> bool:
    return True


class _Crew:
    """Threads that run tasks in the order in which they are given.

    Args:
        threads: how many.
        on_failure: called after a callback raised.
    """

    def __init__(self, threads: int, on_failure: Callable[[], None]) -> None:
        self._on_failure = on_failure
        self._count = threads
        self._ready: SimpleQueue[Task | None] = SimpleQueue()
        self._changed = threading.Condition()
        # All below is guarded by the condition.
        self._unfinished = 0
        self._has_taken = False
        self._waiting: list[Task] = []
        self._events = 0
        self._failure: BaseException | None = None
        self._has_ended = False
        for number in range(threads):
            # Daemons: a callback that hangs does not hold the end of the process.
            name = f'da3_callbacks_{number}'
            threading.Thread(target=self._run, name=name, daemon=True).start()

    def give(self, task: Task) -> None:
        """Have a task done by the next thread that is free."""
        with self._changed:
            if not self._has_ended:
                self._unfinished += 1
                self._ready.put(task)

    def hand_over(self, task: Task, timeout_s: float) -> None:
        """Have a task done and wait until it has taken what it is about, or ended without."""
        with self._changed:
            self._has_taken = False
            self.give(task)
            self._changed.wait_for(lambda: self._has_taken, timeout_s)

    def note_taken(self) -> None:
        """Let `hand_over` return."""
        with self._changed:
            self._has_taken = True
            self._changed.notify_all()

    def resume(self) -> None:
        """Let coroutines that wait look again: something happened that may let them go on."""
        with self._changed:
            self._events += 1
            waiting, self._waiting = self._waiting, []
        for task in waiting:
            self.give(task)

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until a thread is free; return whether that was in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._unfinished < self._count, timeout_s)

    def has_failed(self) -> bool:
        """Return whether a callback raised, and nobody knows yet."""
        return self._failure is not None

    def raise_failure(self) -> None:
        """Raise what a callback raised, once."""
        with self._changed:
            failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def settle(self, timeout_s: float | None) -> bool:
        """Wait until no task runs or is to be run; return whether that was in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._unfinished, timeout_s)

    def end(self) -> None:
        """End every thread when its present callback has ended; what is still to do is left."""
        with self._changed:
            self._has_ended = True
            self._waiting.clear()
        for _ in range(self._count):
            self._ready.put(None)

    def _run(self) -> None:
        while (task := self._ready.get()) is not None:
            if self._has_ended:
                continue
            self._do(task)
            # Kept until the next task, it would keep alive what it belongs to.
            del task

    def _do(self, task: Task) -> None:
        """Run a task, or a coroutine until it waits."""
        events = self._events
        task()
        has_ended = task.done() or task.cancelled()
        with self._changed:
            if not has_ended and self._events != events:
                # What it waits for may have come between its look and now.
                self._ready.put(task)
                return
            if not has_ended:
                self._waiting.append(task)
            self._unfinished -= 1
            self._has_taken = True
            self._changed.notify_all()
        if has_ended:
            self._note(task.exception())
            self.resume()

    def _note(self, error: BaseException | None) -> None:
        """Keep the error of a callback, unless all that happened is that its entity is gone."""
        if error is None or isinstance(error, rclpy_implementation.InvalidHandle):
            return
        with self._changed:
            self._failure = self._failure or error
        self._on_failure()
