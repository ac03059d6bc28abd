"""Images that a command makes of its input, kept beside the results as `input_images/`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
import tempfile

from da3_ros.errors import ExportError
from da3_ros.export.files import listed, move_into
from da3_ros.export.ledger import read_ledger
from da3_ros.export.staging import make_folder, staging_folder
from da3_ros.types import ColourImage

FOLDER = 'input_images'


@contextmanager
def staged_images(export_dir: Path, *, keep: bool = True) -> Iterator[Path]:
    """Yield a folder for images; they come to `<export_dir>/input_images` when the body succeeds.

    When the body raises, nothing is left, and earlier images stay. Else those of an earlier run
    that are not among the new ones go, where the record of `export_dir` says that they are ours.

    Args:
        export_dir: folder of the results; made when missing.
        keep: whether the images shall stay at all.

    Raises:
        ExportError: the folder cannot be written, or holds files that we did not write.
    """
    with ExitStack() as undo:
        try:
            if keep:
                # What was made of it goes again only if it is empty in the end.
                make_folder(export_dir, undo)
                _check_own(export_dir)
                staging = undo.enter_context(staging_folder(export_dir))
            else:
                staging = Path(undo.enter_context(tempfile.TemporaryDirectory()))
            made = staging / FOLDER
            made.mkdir()
        except OSError as error:
            raise ExportError(
                f'{export_dir}: cannot be written: {error.strerror or error}'
            ) from error
        yield made
        if not keep:
            return
        try:
            files = sorted(path for path in made.rglob('*') if path.is_file())
            names = [path.relative_to(staging).as_posix() for path in files]
            _check_own(export_dir)
            move_into(staging, export_dir, names, overwrite=True, owned=_earlier(export_dir))
        except OSError as error:
            raise ExportError(
                f'{export_dir}: cannot be written: {error.strerror or error}'
            ) from error


def save_image(path: Path, image: ColourImage) -> None:
    """Write an image without loss.

    Raises:
        ExportError: it cannot be written.
    """
    from da3_ros.export.images import write_colour

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_colour(path, image)
    except OSError as error:
        raise ExportError(f'{path}: cannot be written: {error.strerror or error}') from error


def _earlier(export_dir: Path) -> list[str]:
    """Return globs of the files that earlier runs left."""
    from glob import escape

    beginning = f'{FOLDER}/'
    return [escape(n) for n in read_ledger(export_dir).own() if n.startswith(beginning)]


def _check_own(export_dir: Path) -> None:
    folder = export_dir / FOLDER
    if folder.is_symlink():
        raise ExportError(
            f'{folder}: expected a folder or nothing, it is a symbolic link; links inside '
            f'{export_dir} are not followed: remove it or choose another --export-dir'
        )
    ledger = read_ledger(export_dir)
    found = sorted(p for p in folder.rglob('*') if p.is_symlink() or not p.is_dir())
    names = [path.relative_to(export_dir).as_posix() for path in found]
    foreign = [name for name in names if not ledger.owns(name)]
    if foreign:
        raise ExportError(
            f'{export_dir}: {listed(foreign)} was not written by da3, or was changed since; the '
            f'images of the input go to {FOLDER}/: move it away or choose another --export-dir'
        )
