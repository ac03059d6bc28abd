"""A folder full of files that are not ours, and whether they are what they were."""

from __future__ import annotations

from pathlib import Path
import stat

TEXT = b'mine, and there is no copy\n'
OF_OURS = (
    'scene.glb', 'scene.jpg', 'points.ply', 'da3.json', 'cameras.bin', 'images.txt',
    'depth_vis/0000.jpg', 'depth_vis/0007.jpg', 'exports/mini_npz/results.npz', 'conf/0000.npy',
    'input_images/000000.png', 'input_images/holiday.png', 'tum/camera_front.txt',
    'log/build.log', 'input.mcap', 'output.mcap', 'sheet.png', 'first_look.png',
)  # fmt: skip
"""Names that our commands use."""
OF_OTHERS = (
    'thesis.tex', '.hidden', 'src/main.cpp', '.partial-photos/a.jpg',
    '.partial-da3_ros-stranger/a.jpg', 'bag.mcap.unfinished.stranger/bag/bag.mcap',
    'bag.unfinished.stranger/x', 'depth_vis_old/0000.jpg', 'scene_0000/scene.glb',
)  # fmt: skip
"""Names that look like ours, and others."""


class ForeignFiles:
    """Files, links and hard links in a folder, and the files outside that they lead to.

    Args:
        folder: where; made when missing.
        names: of plain files in it.
        with_links: whether some of them are links to files and folders outside, or other names
            of these.
    """

    def __init__(
        self, folder: Path, names: tuple[str, ...] = OF_OTHERS, *, with_links: bool = True
    ) -> None:
        self.folder = folder
        self.outside = folder.parent / f'outside_{folder.name}'
        self.outside.mkdir(parents=True)
        for index, name in enumerate(names):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            target = self.outside / f'{index}_{path.name}'
            target.write_bytes(TEXT)
            if with_links and index % 3 == 1:
                path.symlink_to(target)
            elif with_links and index % 3 == 2:
                path.hardlink_to(target)
            else:
                path.write_bytes(TEXT)
        if with_links:
            (folder / 'linked').symlink_to(self.outside, target_is_directory=True)
            (folder / 'dangling').symlink_to(self.outside / 'nowhere')
        self._before = self._now()

    def changed(self, *, only_outside: bool = False) -> set[str]:
        """Return what differs now: gone, another content, kind, time or target.

        Args:
            only_outside: leave out the folder itself, whose files may be replaced.
        """
        now = self._now()
        beginning = str(self.outside) if only_outside else ''
        return {
            name
            for name, state in self._before.items()
            if name.startswith(beginning) and now.get(name) != state
        }

    def _now(self) -> dict[str, tuple[object, ...]]:
        found = [*self.folder.rglob('*'), *self.outside.rglob('*')]
        return {str(path): state for path in found if (state := _state(path))}


def _state(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode):
        # Others may write into it, which changes its time.
        return ()
    if stat.S_ISLNK(status.st_mode):
        return ('link', str(path.readlink()), status.st_mtime_ns)
    return ('file', path.read_bytes(), status.st_mtime_ns, status.st_mode, status.st_ino)
