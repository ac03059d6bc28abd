"""Images that a command makes of its input, kept beside the results as `input_images/`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
import tempfile

from da3_ros.errors import ExportError
from da3_ros.export.files import make_folder, staging_folder
from da3_ros.types import ColourImage

FOLDER = 'input_images'


@contextmanager
def staged_images(export_dir: Path, *, keep: bool = True) -> Iterator[Path]:
    """Yield a folder for images; it becomes `<export_dir>/input_images` when the body succeeds.

    When the body raises, nothing is left, and an earlier `input_images` stays.

    Args:
        export_dir: folder of the results; made when missing.
        keep: whether the images shall stay at all.

    Raises:
        ExportError: the folder cannot be written.
    """
    with ExitStack() as undo:
        try:
            if keep:
                # What was made of it goes again only if it is empty in the end.
                make_folder(export_dir, undo)
                staging = undo.enter_context(staging_folder(export_dir))
            else:
                staging = Path(undo.enter_context(tempfile.TemporaryDirectory()))
            made = staging / FOLDER
            made.mkdir()
        except OSError as error:
            raise ExportError(f'{export_dir}: cannot be written: {error}') from error
        yield made
        if not keep:
            return
        try:
            target = export_dir / FOLDER
            if target.exists():
                target.rename(staging / 'replaced')
            made.rename(target)
        except OSError as error:
            raise ExportError(f'{export_dir}: cannot be written: {error}') from error


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
        raise ExportError(f'{path}: cannot be written: {error}') from error
