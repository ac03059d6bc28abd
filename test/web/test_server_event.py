"""Messages of other threads wake those who wait, at whatever moment they come."""

import asyncio
from collections.abc import Callable
import threading
from typing import Any

from da3_ros.web.server import LoopEvent, close_server, open_server


def in_a_thread(call: Callable[[], None]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


async def woken(event: asyncio.Event) -> bool:
    """Return whether a waiter wakes that is overtaken between its look and its waiting."""
    loop = asyncio.get_running_loop()
    make = loop.create_future

    def overtaken() -> asyncio.Future[Any]:
        loop.create_future = make  # type: ignore[method-assign]
        # As viser pushes a message from a thread that draws.
        in_a_thread(event.set)
        in_a_thread(ask_the_loop)
        return make()

    def ask_the_loop() -> None:
        loop.call_soon_threadsafe(event.set)

    task = loop.create_task(event.wait())
    loop.create_future = overtaken  # type: ignore[method-assign]
    await asyncio.sleep(0)  # the task runs, and waits
    done, _ = await asyncio.wait([task], timeout=0.5)
    task.cancel()
    return bool(done)


async def outcomes() -> tuple[bool, bool]:
    return await woken(asyncio.Event()), await woken(LoopEvent(asyncio.get_running_loop()))


def test_a_waiter_is_woken_at_whatever_moment() -> None:
    of_asyncio, ours = asyncio.run(outcomes())
    assert ours
    # Else there is no need for ours any more.
    assert not of_asyncio


def test_the_server_has_it() -> None:
    server = open_server('127.0.0.1', 0)
    try:
        inner = server._websock_server
        assert inner._broadcast_buffer is not None
        assert isinstance(inner._broadcast_buffer.message_event, LoopEvent)
    finally:
        close_server(server)
