"""The look of all pictures of `da3 eval`; matplotlib is loaded when one is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from da3_ros.cli.demo_top_view import ESTIMATE, TRUTH
from da3_ros.export.picture_text import INK, PAPER, Rgb

RUN_COLOURS: tuple[Rgb, ...] = (
    ESTIMATE, (38, 98, 178), (232, 145, 20), (126, 70, 160), (0, 152, 170), (120, 94, 60),
    (220, 90, 150), (90, 90, 90),
)  # fmt: skip
"""Of the runs in their order, again from the first when there are more."""
_SIZE_INCH = (8.0, 5.0)
_DPI = 120
_GREY = '#d9d9d4'
# So many letters have room beside one another, below one of two axes and below the whole.
_LETTERS_BELOW_AXES, _LETTERS_BELOW = 36, 100


def hex_colour(rgb: Rgb) -> str:
    """Return a colour as matplotlib reads it."""
    red, green, blue = rgb
    return f'#{red:02x}{green:02x}{blue:02x}'


TRUTH_COLOUR, INK_COLOUR = hex_colour(TRUTH), hex_colour(INK)


def run_colour(place: int) -> str:
    """Return the colour of a run."""
    return hex_colour(RUN_COLOURS[place % len(RUN_COLOURS)])


@contextmanager
def picture(
    path: Path, rows: int = 1, columns: int = 1, *, share_x: bool = False
) -> Iterator[Any]:
    """Yield axes (rows, columns) to draw on; the PNG is written at the end.

    Args:
        path: of the file.
        rows: of axes.
        columns: of axes.
        share_x: whether all have one x axis.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    look = {
        'axes.facecolor': hex_colour(PAPER),
        'figure.facecolor': hex_colour(PAPER),
        'axes.edgecolor': INK_COLOUR,
        'axes.labelcolor': INK_COLOUR,
        'text.color': INK_COLOUR,
        'xtick.color': INK_COLOUR,
        'ytick.color': INK_COLOUR,
        'axes.grid': True,
        'grid.color': _GREY,
        'axes.axisbelow': True,
        'axes.spines.top': False,
        'axes.spines.right': False,
        'legend.frameon': False,
        'font.size': 10,
    }
    # No display is asked for, and nothing of pyplot stays behind.
    with rc_context(look):
        figure = Figure(figsize=_SIZE_INCH, dpi=_DPI, layout='constrained')
        FigureCanvasAgg(figure)
        yield figure.subplots(rows, columns, squeeze=False, sharex=share_x)
        # Without the version of the library equal figures are equal bytes for longer.
        figure.savefig(path, format='png', metadata={'Software': None})


def legend(axes: Any) -> None:
    """Write the names of what axes show below the whole picture, where nothing is drawn."""
    handles, names = axes.get_legend_handles_labels()
    # A column has its line and some air beside the longest name.
    columns = max(1, _LETTERS_BELOW // (max(map(len, names), default=0) + 8))
    axes.figure.legend(
        handles, names, loc='outside lower center', ncols=min(columns, len(names) or 1)
    )


def plain_numbers(*axes: Any) -> None:
    """Write the numbers of logarithmic axes as 0.04, not as a power of ten."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f'{x:g}' if super().__call__(x, pos) else ''

    for axis in axes:
        axis.set_major_formatter(Plain())
        axis.set_minor_formatter(Plain(minor_thresholds=(1.5, 0.6)))


def boxes(axes: Any, values: Sequence[Any], names: Sequence[str]) -> None:
    """Draw one box for each run, from quartile to quartile, whiskers over 1.5 of their distance.

    Args:
        axes: to draw on.
        values: errors of each run.
        names: of the runs.
    """
    drawn = axes.boxplot(values, patch_artist=True, showfliers=False, widths=0.5)
    for place, (box, middle) in enumerate(zip(drawn['boxes'], drawn['medians'], strict=True)):
        box.set_facecolor(run_colour(place))
        box.set_alpha(0.6)
        middle.set_color(INK_COLOUR)
    is_wide = sum(len(name) + 2 for name in names) > _LETTERS_BELOW_AXES
    look = {'rotation': 20, 'ha': 'right'} if is_wide else {}
    axes.set_xticks(range(1, len(names) + 1), names, **look)
    axes.set_ylim(bottom=0)
