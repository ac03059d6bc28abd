"""Documents name what there is."""

from dataclasses import fields
from pathlib import Path
import re

from da3_ros.export.gs_options import GsVideoOptions
from da3_ros.export.registry import FORMATS
from da3_ros.options.export import GlbOptions, GsPlyOptions

ROOT = Path(__file__).resolve().parents[1]


def rows(heading: str) -> dict[str, str]:
    """Return first cell to the rest of the rows of the table whose first heading is given."""
    text = (ROOT / 'docs' / 'exports.md').read_text(encoding='utf-8')
    table = next(part for part in text.split('\n\n') if part.startswith(f'| format | {heading}'))
    cells = [line.strip('| ').split(' | ', 1) for line in table.splitlines()[2:]]
    return {name.strip('`'): rest for name, rest in cells}


def test_every_format_is_described() -> None:
    assert set(rows('files')) == set(FORMATS)


def test_every_option_of_a_format_is_named_and_exists() -> None:
    described = rows('options')
    # What the caller cannot give by name: `render_exts` and the device decide those.
    inner = {'cameras', 'backend'}
    for name, group in (
        ('glb', GlbOptions), ('gs_ply', GsPlyOptions), ('gs_video', GsVideoOptions),
    ):  # fmt: skip
        named = set(re.findall(r'`(\w+)`', described[name]))
        own = {field.name for field in fields(group)} - inner
        assert own <= named
        shared = {'conf_thresh_percentile', 'num_max_points', 'gs_views_interval'}
        assert named - own <= shared | {'render_exts', 'render_ixts', 'render_hw'}
