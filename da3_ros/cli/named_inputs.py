"""What users name as input: files, folders and patterns, and what belongs to other commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
import glob
import os
from pathlib import Path
import re
import shlex

import typer

from da3_ros.cli.scene_sources import ImageFiles
from da3_ros.errors import SourceError

_DEVICE = re.compile(r'/dev/(video\d+|v4l/.+)|\d+')
_STREAM = re.compile(r'(?P<protocol>[a-z][a-z0-9+.-]+):/.+', re.IGNORECASE)
_PATTERN = re.compile(r'[*?[]')


@dataclass(frozen=True, slots=True)
class NamedInputs:
    """Image files and folders of images."""

    files: tuple[Path, ...]
    folders: tuple[Path, ...]
    repeated: tuple[Path, ...]
    """Files that were named more than once; each is taken once."""

    @property
    def everything(self) -> tuple[Path, ...]:
        """Files and folders."""
        return (*self.files, *self.folders)


def named_inputs(names: Sequence[Path]) -> NamedInputs:
    """Return what the arguments of a command stand for.

    Patterns that the shell left as they are, in quotes, stand for what they match.

    Raises:
        SourceError: one of them is nothing, matches nothing, or is for another command.
    """
    files: dict[Path, None] = {}
    folders: dict[Path, None] = {}
    repeated: dict[Path, None] = {}
    for path in _matches(names):
        refuse_other_kinds(path)
        if not path.exists():
            raise SourceError(f'{path}: expected a file or a folder, there is nothing')
        if path.is_dir():
            folders[path] = None
        elif path in files:
            repeated[path] = None
        else:
            files[path] = None
    return NamedInputs(_as_in_folder(tuple(files)), tuple(folders), tuple(repeated))


def _matches(names: Sequence[Path]) -> Iterator[Path]:
    from da3_ros.sources.images import natural_order

    for name in names:
        if name.exists() or not _PATTERN.search(str(name)):
            yield name
            continue
        # Not Path.glob, whose * matches hidden files as no shell does.
        found = [Path(path) for path in glob.glob(str(name))]  # noqa: PTH207
        if not found:
            raise SourceError(f'{name}: expected a pattern of images or folders, nothing matches')
        yield from sorted(found, key=lambda path: [natural_order(part) for part in path.parts])


def _as_in_folder(files: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return files in the order that their folder has, where a shell has sorted them.

    It puts 10.jpg before 2.jpg. What is in no order of a shell is in that of the user.
    """
    from da3_ros.sources.images import list_images

    names = [path.name for path in files]
    is_of_a_shell = names in (sorted(names), sorted(names, key=str.casefold))
    if not is_of_a_shell or len({path.parent for path in files}) != 1:
        return files
    try:
        listed = list_images(files[0].parent, [path.suffix.lower() for path in files])
    except SourceError:
        return files
    place = {path.name: number for number, path in enumerate(listed)}
    if not place.keys() >= set(names):
        return files
    return tuple(sorted(files, key=lambda path: place[path.name]))


class FilesSource(ImageFiles):
    """Image files that were named one by one, in this order.

    Args:
        inputs: without folders.
        allow_damaged: whether images that cannot be read, by their names, are taken as well.

    Raises:
        SourceError: one of them is missing or no image.
    """

    def __init__(self, inputs: NamedInputs, *, allow_damaged: bool = False) -> None:
        from da3_ros.sources.images import IMAGE_SUFFIXES

        for path in inputs.files:
            if not (allow_damaged and path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES):
                _check_image(path)
        files = inputs.files
        repeated = ', '.join(map(str, inputs.repeated))
        super().__init__(
            files[0] if len(files) == 1 else _common_folder(files),
            files,
            (f'named more than once, taken once: {repeated}',) if repeated else (),
        )


def _check_image(path: Path) -> None:
    """Refuse what is no image, such as the other files that `photos/*` matches.

    Raises:
        SourceError: says how to take images only.
    """
    from da3_ros.sources.images import IMAGE_SUFFIXES, read_header

    try:
        read_header(path)
    except SourceError as error:
        if not path.is_file() or path.suffix.lower() in IMAGE_SUFFIXES:
            raise
        folder = shlex.quote(str(path.parent))
        raise SourceError(f'{error}; `da3 images {folder}` takes the images of that folder') from (
            error
        )


def one_scene(inputs: NamedInputs) -> bool:
    """Return whether files are one scene, rather than folders one each.

    Raises:
        BadParameter: there are both.
    """
    if inputs.files and inputs.folders:
        raise typer.BadParameter(
            'expected images (one scene) or folders (one scene each), got both: '
            f'{inputs.files[0]} is an image, {inputs.folders[0]} a folder'
        )
    return bool(inputs.files)


def _common_folder(files: Sequence[Path]) -> Path:
    parents = {path.parent for path in files}
    if len(parents) == 1:
        return parents.pop()
    return Path(os.path.commonpath([parent.absolute() for parent in parents]))


def refuse_other_kinds(path: Path) -> None:
    """Refuse what is neither images nor a video, but something that is known.

    Raises:
        SourceError: says what it is and what to do with it.
    """
    text = str(path)
    if path.is_char_device() or (_DEVICE.fullmatch(text) and not path.exists()):
        raise SourceError(_device(text))
    stream = _STREAM.fullmatch(text)
    if stream is not None and not path.exists():
        # The address itself may hold a password.
        raise SourceError(
            f'{stream["protocol"]}:// addresses are not read: save the file, or 20 s of a stream '
            'by `ffmpeg -i ADDRESS -t 20 clip.mp4`, then `da3 video clip.mp4`'
        )
    if path.exists():
        _refuse_known_files(path)


def _refuse_known_files(path: Path) -> None:
    from da3_ros.sources.bag_files import looks_like_bag

    name = shlex.quote(str(path))
    if looks_like_bag(path):
        raise SourceError(
            f'{path}: a ROS 2 bag is for `da3 demo --bag {name}` (through the node to a scene), '
            f'`da3 play {name}` (publishes it) and `da3 info {name}` (what is in it)'
        )
    if path.suffix.lower() == '.npz':
        raise SourceError(
            f'{path}: saved results are for `da3 export {name} --export-dir OUT` (other formats) '
            f'and `da3 info {name}`'
        )
    if path.suffix.lower() in ('.glb', '.ply', '.safetensors'):
        raise SourceError(
            f'{path}: expected images or a video; `da3 info {name}` says what is in it'
        )


def _device(name: str) -> str:
    device = f'/dev/video{name}' if name.isdigit() else name
    return (
        f'{name}: a camera is read live by the node: ros2 run usb_cam usb_cam_node_exe --ros-args '
        f'-p video_device:={device} -p frame_id:=front_optical_frame, and ros2 launch da3_ros '
        f'rig.launch.py rig:=usb_cam; or record it: ffmpeg -f v4l2 -i {device} -t 20 clip.mp4, '
        'then da3 video clip.mp4'
    )
