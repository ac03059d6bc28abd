"""The live viewer: takes windows from the pipeline, shows the newest to whoever looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import logging
import math
import threading
import time
from typing import TYPE_CHECKING

from da3_ros.errors import WebError
from da3_ros.options.output import OUTPUT
from da3_ros.stream.stats import StreamStats
from da3_ros.types import ColourImage, WindowResult
from da3_ros.web.depth_picture import depth_picture
from da3_ros.web.painter import Painter
from da3_ros.web.panel import Panel, Status
from da3_ros.web.remembered import Trail
from da3_ros.web.server import address, close_server, open_server
from da3_ros.web.settings import ViewSettings

if TYPE_CHECKING:
    import viser

_log = logging.getLogger(__name__)

# How often the numbers are brought up to date when no window comes.
_IDLE_S = 1.0
_RATE_EVENTS = 32
_DRAWING_END_S = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """What `show` was given."""

    result: WindowResult
    latency_s: float


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """What the drawing thread has to do next."""

    pending: _Shown | None
    """What is to be drawn; None when nothing new is there."""
    starts_anew: bool
    settings_changed: bool
    map_cleared: bool


class LiveViewer:
    """Serves a page with clouds, cameras with their images, the path of the robot and a map.

    `show` hands a result to a thread of the viewer and returns; when results come faster than
    they are drawn, the newest is drawn and the others are counted. While no browser looks,
    nothing is computed: the newest result waits for the first one, and the path is noted.

    Wiring: `start` before the first window; `show` after each window's outputs were published,
    from the thread that made it; `reset` where the world starts anew; `close` at the end. A
    result whose alignment is `first` starts the world anew by itself.

    Anyone who reaches the address sees what the cameras see. The default address is reached from
    this machine only; for another one, an SSH tunnel needs no open port
    (`ssh -L 8080:127.0.0.1:8080 robot`). Pages of other sites are sent nothing.

    Args:
        host: address to listen on; 0.0.0.0 for everyone in the network.
        port: 0 for any free one, see `url`.
        settings: what the controls start with.
        notice: what the panel says all the time, above the numbers; empty for nothing.
        max_rate_hz: how often the scene changes at most.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        host: str = OUTPUT.viewer_host,
        port: int = OUTPUT.viewer_port,
        settings: ViewSettings | None = None,
        *,
        notice: str = '',
        max_rate_hz: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._port = port
        self._initial = settings or ViewSettings()
        self._notice = notice
        self._period_s = 1.0 / max_rate_hz
        self._clock = clock
        self._stats = StreamStats(_RATE_EVENTS)
        self._changed = threading.Condition()
        # All below is guarded by the condition.
        self._server: viser.ViserServer | None = None
        self._trail = Trail()
        self._pending: _Shown | None = None
        self._last: _Shown | None = None
        self._depth: ColourImage | None = None
        self._starts_anew = False
        self._settings_changed = False
        self._map_cleared = False
        self._clients = 0
        self._dropped = 0
        self._drawn = 0
        self._is_closing = False
        self._panel: Panel | None = None
        self._painter: Painter | None = None
        self._thread = threading.Thread(target=self._run, name='da3_viewer', daemon=True)

    def start(self) -> None:
        """Serve the page.

        Raises:
            WebError: viser is not installed, the port is taken, the address is not one of this
                machine's, or the viewer was started before; says what to do.
        """
        if self._server is not None or self._is_closing:
            raise WebError('the live viewer can be started once; make another one')
        server = open_server(self._host, self._port)
        self._server = server
        self._panel = Panel(
            server, self._initial, self._on_settings, self._on_clear_map, self._notice
        )
        self._painter = Painter(server)
        server.on_client_connect(lambda _: self._count_clients())
        server.on_client_disconnect(lambda _: self._count_clients())
        self._thread.start()
        _log.info('the live viewer is at %s', self.url)

    @property
    def url(self) -> str:
        """What to type into a browser; with the port in use once the viewer was started."""
        server = self._server
        return address(self._host, self._port if server is None else server.get_port())

    @property
    def clients(self) -> int:
        """How many browsers look."""
        with self._changed:
            return self._clients

    @property
    def dropped(self) -> int:
        """Results that were not drawn because a newer one came while browsers looked."""
        with self._changed:
            return self._dropped

    @property
    def drawn(self) -> int:
        """Results drawn so far."""
        with self._changed:
            return self._drawn

    def show(self, result: WindowResult, latency_s: float = math.nan) -> None:
        """Take a window; returns at once, from any thread, also before start and after close.

        Args:
            result: of the pipeline; a refused window (without sets) changes nothing.
            latency_s: from the stamp of its images to its outputs; NaN when not known.
        """
        if not result.new_sets:
            return
        self._stats.event('windows', self._clock())
        with self._changed:
            if self._is_closing:
                return
            if result.alignment.method == 'first':
                self._forget()
            for posed in result.new_sets:
                self._trail.add(posed.world_from_base[:3, 3])
            if self._pending is not None and self._clients:
                self._dropped += 1
            self._pending = _Shown(result, latency_s)
            self._changed.notify_all()

    def reset(self) -> None:
        """Start a new world with the next result; the old one disappears."""
        with self._changed:
            self._forget()
            self._changed.notify_all()

    def close(self) -> None:
        """End the page and free the port; may be called more than once.

        Takes two seconds at most, whatever browsers do and however long a window takes to draw.
        """
        with self._changed:
            was_closing = self._is_closing
            self._is_closing = True
            self._pending = None
            self._changed.notify_all()
        if was_closing or self._server is None:
            return
        if self._thread.is_alive():
            self._thread.join(_DRAWING_END_S)
        close_server(self._server)

    def _forget(self) -> None:
        self._trail = Trail()
        self._pending = None
        self._starts_anew = True

    # ---- called from viser's threads

    def _count_clients(self) -> None:
        server = self._server
        count = 0 if server is None else len(server.get_clients())
        with self._changed:
            self._clients = count
            self._changed.notify_all()

    def _on_settings(self) -> None:
        with self._changed:
            self._settings_changed = True
            self._changed.notify_all()

    def _on_clear_map(self) -> None:
        with self._changed:
            self._map_cleared = True
            self._changed.notify_all()

    # ---- the drawing thread

    def _run(self) -> None:
        while (work := self._next_work()) is not None:
            start_s = self._clock()
            try:
                self._draw(work)
            except Exception as error:
                # Whatever goes wrong in the viewer must not end it, nor the node around it.
                _log.warning('the live viewer left out a window: %s', error, exc_info=error)
            rest_s = self._period_s - (self._clock() - start_s)
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing, max(0.0, rest_s))

    def _next_work(self) -> _Work | None:
        """Wait for something to do and return it; None at the end."""
        with self._changed:
            while not self._is_closing:
                is_due = self._changed.wait_for(self._has_work, _IDLE_S)
                if is_due or self._clients:
                    break
            if self._is_closing:
                return None
            # Without a browser the newest result stays for the first one that comes.
            pending = self._pending if self._clients else None
            work = _Work(pending, self._starts_anew, self._settings_changed, self._map_cleared)
            if pending is not None:
                self._pending = None
            self._starts_anew = self._settings_changed = self._map_cleared = False
            return work

    def _has_work(self) -> bool:
        if self._is_closing or self._starts_anew:
            return True
        is_due = self._pending is not None or self._settings_changed or self._map_cleared
        return self._clients > 0 and is_due

    def _draw(self, work: _Work) -> None:
        painter, panel = self._painter, self._panel
        if painter is None or panel is None:
            return
        if work.starts_anew:
            painter.clear()
            self._last = self._depth = None
        settings = panel.settings()
        if work.map_cleared:
            painter.clear_map()
        if work.settings_changed:
            painter.apply(settings)
        if work.pending is not None:
            with self._changed:
                path = self._trail.line()
            painter.draw(work.pending.result, path, settings)
            self._last = work.pending
        if work.pending is not None or work.settings_changed:
            self._depth = _depth_of(self._last, settings)
        if work.pending is not None:
            with self._changed:
                self._drawn += 1
        if self._last is not None and self.clients:
            panel.show(self._status(self._last, painter))

    def _status(self, shown: _Shown, painter: Painter) -> Status:
        snapshot = self._stats.snapshot(self._clock())
        return Status(
            window_index=shown.result.window_index,
            alignment=shown.result.alignment,
            rate_hz=snapshot.rates_hz.get('windows', 0.0),
            latency_s=shown.latency_s,
            estimate_s=shown.result.estimate_s,
            dropped=self.dropped,
            points=painter.points,
            depth=self._depth,
        )


def _depth_of(shown: _Shown | None, settings: ViewSettings) -> ColourImage | None:
    if shown is None or not settings.show_depth:
        return None
    unit = 'm' if shown.result.alignment.is_metric else 'scene units'
    return depth_picture(shown.result.new_sets[-1].views, unit)
