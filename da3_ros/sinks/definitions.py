"""Message definitions: the text that makes a bag readable without the sender's installation.

Standard messages come with `rosbags`; all others are read from the .msg files that every ROS
installation carries, and for its own ones the source tree and the wheel of this package.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
import os
from pathlib import Path
import sys

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from da3_ros.errors import SinkError

_OWN = 'da3_ros'


class MessageDefinitions:
    """Knows the definition of every message type that a bag may hold.

    Args:
        folders: installation prefixes to search for `share/<package>/msg`, before those of
            AMENT_PREFIX_PATH and of the running Python.
    """

    def __init__(self, folders: tuple[Path, ...] = ()) -> None:
        self.typestore: Typestore = get_typestore(Stores.ROS2_JAZZY)
        self._folders = folders

    def require(self, msgtype: str) -> None:
        """Make a type and all it is made of known to `typestore`.

        Raises:
            SinkError: no definition was found; names the type and where it was looked for.
        """
        if msgtype in self.typestore.fielddefs:
            return
        text = self._text(msgtype)
        found = get_types_from_msg(text, msgtype)
        # A definition may refer to others of its kind: those first.
        for field_type in _referenced(found[msgtype]):
            self.require(field_type)
        self.typestore.register(found)

    def _text(self, msgtype: str) -> str:
        parts = msgtype.split('/')
        if len(parts) != 3 or parts[1] != 'msg' or not all(p.isidentifier() for p in parts):
            raise SinkError(f'message type {msgtype}: expected the form package/msg/Name')
        tried = []
        for folder in self._search(parts[0]):
            file = folder / f'{parts[2]}.msg'
            if file.is_file():
                return file.read_text(encoding='utf-8')
            tried.append(str(folder))
        raise SinkError(
            f'message type {msgtype}: no definition found; looked in '
            f'{", ".join(tried) or "no folder"}. Source the workspace that has it '
            '(AMENT_PREFIX_PATH)'
        )

    def _search(self, package: str) -> Iterator[Path]:
        prefixes = [*self._folders]
        prefixes += [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(':') if p]
        prefixes.append(Path(sys.prefix))
        for prefix in prefixes:
            yield prefix / 'share' / package / 'msg'
        if package == _OWN:
            yield from _own_folders()


def _own_folders() -> Iterator[Path]:
    """Yield where this package itself has its definitions: source tree, wheel."""
    around = Path(__file__).parents[2]
    yield around / 'msg'
    # As `pip install --target` puts it.
    yield around / 'share' / _OWN / 'msg'
    with suppress(metadata.PackageNotFoundError):
        for file in metadata.files(_OWN) or ():
            if file.match(f'share/{_OWN}/msg/*.msg'):
                yield Path(str(file.locate())).parent
                return


def _referenced(definition: object) -> set[str]:
    """Return the names of message types in a parsed definition, at any depth."""
    if isinstance(definition, str):
        return {definition} if '/msg/' in definition else set()
    if isinstance(definition, (tuple, list)):
        return {name for part in definition for name in _referenced(part)}
    return set()


@lru_cache(maxsize=1)
def shared_definitions() -> MessageDefinitions:
    """Return the definitions of this process; loading the standard ones takes a while."""
    return MessageDefinitions()
