"""Options of what a run over a bag writes."""

from __future__ import annotations

from dataclasses import dataclass

from da3_ros.errors import ConfigError
from da3_ros.options.choices import BAG_COMPRESSIONS, BagCompression
from da3_ros.options.table import Entrance, check_group, option

OUTPUTS = (
    'depth',
    'camera_info',
    'confidence',
    'color',
    'tf',
    'odometry',
    'points',
    'window',
    'camera_points',
    'debug',
    'sky_mask',
)
"""Names of what can be written; the first eight are, unless others are asked for."""
_DEFAULT = ','.join(OUTPUTS[:8])
_EVERY = 'all'
_COPIED = '/tf,/tf_static'
_NOTHING = 'none'


@dataclass(frozen=True, slots=True)
class OutputChoice:
    """What a run over a bag writes, and how.

    Raises:
        ConfigError: on construction, when a name is unknown or there is none.
    """

    outputs: str = option(
        _DEFAULT,
        'What is written, joined by commas; all for everything.',
        entrances=(Entrance.BAG,),
        details='depth, camera_info, confidence, color, sky_mask, debug (depth in colours) and '
        'camera_points (a cloud) are of each camera; tf, odometry, points (the merged cloud) and '
        'window (the report) are of the whole.',
    )
    copy: str = option(
        _COPIED,
        'Input topics that are written unchanged, joined by commas; none for nothing.',
        entrances=(Entrance.BAG,),
        details='With their own log times, beside our own transforms on /tf, so that the bag is '
        'complete by itself. Those of the default are copied where the recording has them; one '
        'that is named has to be there. Transforms that an earlier run of this package published '
        'are left out.',
    )
    compression: BagCompression = option(
        'zstd',
        'Compression of the bag that is written.',
        entrances=(Entrance.BAG,),
        choices=BAG_COMPRESSIONS,
    )

    def __post_init__(self) -> None:
        """Check the names."""
        check_group(self)
        unknown = sorted(self.names - set(OUTPUTS))
        if unknown or not self.names:
            raise ConfigError(
                f'outputs: expected some of {", ".join(OUTPUTS)}, or {_EVERY}, joined by commas; '
                f'got {self.outputs!r}'
            )
        odd = [name for name in self.copied if not name.startswith('/')]
        if odd or not (self.copied or self.copy.strip() == _NOTHING):
            raise ConfigError(
                'copy: expected names of topics with their leading slash, joined by commas, or '
                f'{_NOTHING}; got {self.copy!r}'
            )

    @property
    def names(self) -> frozenset[str]:
        """Those of `OUTPUTS` that are asked for."""
        found = frozenset(name for part in self.outputs.split(',') if (name := part.strip()))
        return frozenset(OUTPUTS) if found == {_EVERY} else found

    @property
    def copied(self) -> tuple[str, ...]:
        """Names of input topics that are copied, each once."""
        found = dict.fromkeys(name for part in self.copy.split(',') if (name := part.strip()))
        return () if tuple(found) == (_NOTHING,) else tuple(found)

    @property
    def names_copied(self) -> bool:
        """Whether topics to copy were asked for by name, rather than by default."""
        return self.copy != _COPIED


CHOICE = OutputChoice()
"""The defaults, for signatures that need one."""
