"""Make the CMake exports of the ROS 2 wheels point at this virtual environment.

The wheels' exported targets carry two absolute folders of the machine that built them: the
include folder and the site-packages of its Python. CMake refuses imported targets whose include
folders do not exist, so both are replaced, once, by those of the environment the wheels are in.
"""

from pathlib import Path
import re
import sys
import sysconfig

# Where the images that build public Linux wheels keep their Pythons.
_BUILDER = r'/opt/(?:_internal|python)/[A-Za-z0-9_.+-]+'
_INCLUDE = re.compile(_BUILDER + r'/include/python3\.\d+')
_SITE_PACKAGES = re.compile(_BUILDER + r'/lib/python3\.\d+/site-packages')


def repaired(text: str, include: str, site_packages: str) -> str:
    """Return the text of a CMake file with the builder's folders replaced.

    Args:
        text: Content of the file.
        include: Folder that holds Python.h here.
        site_packages: Folder of compiled Python packages here.

    Returns:
        The new content; the same text when there was nothing to replace.
    """
    text = _INCLUDE.sub(lambda _: include, text)
    return _SITE_PACKAGES.sub(lambda _: site_packages, text)


def repair(share: Path, include: str, site_packages: str) -> int:
    """Repair every CMake file below a folder, in place.

    Args:
        share: The `share` folder of the environment.
        include: Folder that holds Python.h here.
        site_packages: Folder of compiled Python packages here.

    Returns:
        How many files were changed; 0 on the second run.
    """
    changed = 0
    for file in sorted(share.rglob('*.cmake')):
        # Decoded without loss: a foreign encoding in a comment and line ends must survive.
        old = file.read_bytes().decode('utf-8', 'surrogateescape')
        new = repaired(old, include, site_packages)
        if new != old:
            file.write_bytes(new.encode('utf-8', 'surrogateescape'))
            changed += 1
    return changed


def main() -> int:
    """Repair the environment of the Python that runs this."""
    count = repair(
        Path(sys.prefix) / 'share', sysconfig.get_path('include'), sysconfig.get_path('platlib')
    )
    print(f'repaired the paths of {count} CMake files')
    return 0


if __name__ == '__main__':
    sys.exit(main())
