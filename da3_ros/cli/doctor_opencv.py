"""What `da3 doctor` looks at of OpenCV: several distributions share one folder."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
import re

from da3_ros.cli.doctor_checks import Check
from da3_ros.cli.doctor_ros import import_failure

_NAME = re.compile(r'opencv[-_.](contrib[-_.])?python([-_.]headless)?', re.IGNORECASE)
_HEADLESS = 'opencv-python-headless'


def check_opencv() -> Iterator[Check]:
    """Look for distributions of OpenCV that overwrite one another; nothing where there is one.

    pip cannot express that any of them will do, so that installing this package beside
    opencv-python brings the headless one too.
    """
    found = _installed()
    if len(found) < 2:
        return
    names = sorted(found)
    keep = next((name for name in names if 'contrib' in name), _HEADLESS)
    detail = f'{" and ".join(f"{name} {found[name]}" for name in names)} share the folder cv2'
    failure = import_failure('cv2')
    yield Check(
        'OpenCV',
        'warning' if failure is None else 'problem',
        f'{detail}: the one that was installed last is imported'
        if failure is None
        else f'{detail}, and it cannot be imported: {failure}',
        # Removing one takes files of the other along.
        f'pip uninstall -y {" ".join(names)} && pip install {keep}',
    )


def _installed() -> dict[str, str]:
    """Return name and version of every distribution of OpenCV."""
    found = {}
    for distribution in metadata.distributions():
        name = distribution.metadata['Name'] or ''
        if _NAME.fullmatch(name):
            found[re.sub(r'[-_.]+', '-', name).lower()] = distribution.version
    return found
