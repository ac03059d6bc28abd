"""The controls beside the scene, and the numbers above them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from da3_ros.notes import joined
from da3_ros.types import METRES_FROM, AlignmentReport, ColourImage
from da3_ros.web.settings import MAX_PAST_SETS, MAX_POINTS_PER_VIEW, ViewSettings

if TYPE_CHECKING:
    import viser

_SWITCHES = {
    'show_clouds': ('Newest clouds', 'The whole clouds of the newest frame sets.'),
    'show_map': ('Map', 'One point for every voxel seen so far; the oldest give way.'),
    'show_depth': ('Depth', 'Depth of the newest frame set, in colours, above these controls.'),
    'show_cameras': ('Cameras', 'Where the cameras were at the newest frame set.'),
    'show_images': ('Images', 'What the cameras saw, in their frames.'),
    'show_trajectory': ('Trajectory', 'The path of the robot.'),
    'show_grid': ('Grid', 'The plane of the ground.'),
    'follow': ('Follow robot', 'Move the view along with the robot.'),
    'turn': ('Turn with it', 'Also turn the view that follows.'),
}


# The labels of viser are grey on grey, its letters overlap, and marks of sliders are 9 px high.
_STYLE = """<style>
:root[data-mantine-color-scheme="dark"] { --mantine-color-dimmed: #dcdcdc !important; }
label[for] { letter-spacing: -0.2px !important; }
td:first-child { white-space: nowrap; padding-right: 0.8em; }
.mantine-Slider-markLabel { font-size: 11px !important; }
</style>"""


@dataclass(frozen=True, slots=True)
class Status:
    """What the panel says."""

    window_index: int
    alignment: AlignmentReport
    rate_hz: float
    """Windows per second."""
    latency_s: float
    """From the images' stamp to the outputs; NaN when unknown."""
    estimate_s: float
    dropped: int
    """Windows that were not drawn because a newer one was there."""
    points: int
    """In the scene."""
    depth: ColourImage | None = None
    """Picture of depth with its range (`depth_picture`); None for none."""


class Panel:
    """Controls and status of one server.

    Args:
        server: whose panel it is.
        initial: what the controls show first.
        on_change: called from viser's threads after any control changed.
        on_clear_map: called from viser's threads when the map is to start anew.
        notice: stands above everything; empty for nothing.
    """

    def __init__(
        self,
        server: viser.ViserServer,
        initial: ViewSettings,
        on_change: Callable[[], None],
        on_clear_map: Callable[[], None],
        notice: str = '',
    ) -> None:
        self._initial = initial
        gui = server.gui
        gui.configure_theme(
            dark_mode=True, show_logo=False, show_share_button=False, control_width='medium'
        )
        gui.add_html(_STYLE)
        if notice:
            gui.add_markdown(f'**{_plain(notice)}**')
        self._status = gui.add_markdown('Waiting for the first window.')
        self._depth = gui.add_image(np.zeros((1, 1, 3), np.uint8), format='png', visible=False)
        self._controls: dict[str, Any] = {}
        with gui.add_folder('Show'):
            for name, (label, hint) in _SWITCHES.items():
                value = bool(getattr(initial, name))
                self._controls[name] = gui.add_checkbox(label, value, hint=hint)
        with gui.add_folder('Points'):
            self._add_point_controls(gui, initial)
            clear = gui.add_button('Clear map', hint='Start the map anew.')
        for control in self._controls.values():
            control.on_update(lambda _: on_change())
        clear.on_click(lambda _: on_clear_map())

    def _add_point_controls(self, gui: viser.GuiApi, initial: ViewSettings) -> None:
        add = self._controls
        add['point_size'] = gui.add_slider(
            'Point size', 0.1, max(5.0, initial.point_size), 0.1, initial.point_size
        )
        add['points_per_view'] = gui.add_number(
            'Per view',
            initial.points_per_view,
            min=1,
            max=MAX_POINTS_PER_VIEW,
            step=1,
            hint='Points taken of one view at most, for sets that come from now on.',
        )
        add['past_sets'] = gui.add_slider(
            'Sets kept',
            1,
            MAX_PAST_SETS,
            1,
            initial.past_sets,
            hint='Newest frame sets whose whole clouds are drawn.',
        )
        add['min_confidence'] = gui.add_number(
            'Confidence',
            initial.min_confidence,
            min=1.0,
            step=0.1,
            hint="Least confidence (DA3's raw value, 1 or more). The map takes it for new points.",
        )
        add['max_depth'] = gui.add_number(
            'Max depth',
            initial.max_depth,
            min=0.0,
            step=0.1,
            hint='Greatest distance from the camera in the unit above, 0 for any. The map '
            'takes it for new points.',
        )
        add['max_height'] = gui.add_number(
            'Max height',
            initial.max_height,
            min=0.0,
            step=0.1,
            hint="Hide what is higher above the robot's base (a ceiling), in the unit above; 0 "
            'shows everything.',
        )

    def settings(self) -> ViewSettings:
        """Return the state of the controls; what a browser sent and makes no sense counts not."""
        settings = self._initial
        for name, control in self._controls.items():
            wanted = type(getattr(self._initial, name))
            try:
                settings = replace(settings, **{name: wanted(control.value)})
            except Exception:
                # Browsers send what they like: any value that is none keeps the first one.
                continue
        return settings

    def show(self, status: Status) -> None:
        """Say how things are."""
        if status.depth is not None and status.depth is not self._depth.image:
            self._depth.image = status.depth
        self._depth.visible = status.depth is not None
        self._status.content = status_text(status)


def status_text(status: Status) -> str:
    """Return the status in Markdown."""
    a = status.alignment
    spread = '' if math.isnan(a.scale_log_sigma) else f' ± {100 * a.scale_log_sigma:.1f} %'
    metres = f'metres {METRES_FROM.get(a.scale_source, "")}'.strip()
    rows = [
        ('Unit', metres if a.is_metric else '**scene units, not metres**'),
        ('Scale', f'{a.scale:.4g}{spread}, from {a.scale_source}'),
        ('Placed by', a.method.replace('_', ' ')),
        (
            'Latency',
            f'{_milliseconds(status.latency_s)}, network {_milliseconds(status.estimate_s)}',
        ),
        ('Points', f'{status.points:,}'.replace(',', ' ')),
        ('Not drawn', f'{status.dropped} windows'),
    ]
    lines = [f'**Window {status.window_index}**, {status.rate_hz:.1f} per second', '']
    lines += ['| | |', '| --- | --- |', *(f'| {name} | {value} |' for name, value in rows)]
    if a.notes:
        lines += ['', f'*{_plain(joined(a.notes))}*']
    return '\n'.join(lines)


def _plain(text: str) -> str:
    """Return text without what Markdown takes for markup."""
    return ''.join(f'\\{c}' if c in '\\`*_{}[]<>#|!' else c for c in text)


def _milliseconds(seconds: float) -> str:
    return 'unknown' if math.isnan(seconds) else f'{1000 * seconds:.0f} ms'
