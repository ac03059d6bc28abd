"""The folder of a check: what was found, kept after every part, and the tables made of it."""

from collections.abc import Iterable, Mapping
import hashlib
import json
import os
from pathlib import Path
import tempfile
from typing import Any

from tools.gpu_check.part import Result
from tools.gpu_check.tables import markdown

JSON_NAME = 'gpu_check.json'
TABLES_NAME = 'gpu_check.md'
OLDER_NAME = 'gpu_check.before.json'

_ROOT = Path(__file__).resolve().parents[2]


class Report:
    """Results in a folder, written whole after each of them.

    Args:
        folder: Where the files are.
        key: Code, device and versions; results of another key are set aside.
        environment: What is known of the machine.
    """

    def __init__(self, folder: Path, key: str, environment: Mapping[str, Any]) -> None:
        self.notes: list[str] = []
        """What a reader should know about the files that were there before."""
        self._folder = folder
        self._key = key
        self._environment = environment
        self._results: dict[str, Result] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._read()

    def passed_before(self, name: str) -> Result | None:
        """Return the result of a part that has passed with the same key."""
        found = self._results.get(name)
        return found if found is not None and found.status == 'PASS' else None

    def add(self, result: Result) -> None:
        """Keep a result and write the files."""
        self._results[result.name] = result
        kept = [one.as_json() for one in self._results.values()]
        content = {'key': self._key, 'environment': dict(self._environment), 'results': kept}
        _write(self._folder / JSON_NAME, json.dumps(content, indent=1, allow_nan=False) + '\n')
        _write(self._folder / TABLES_NAME, markdown(self._results, self._environment))

    def _read(self) -> None:
        path = self._folder / JSON_NAME
        if not path.exists():
            return
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
            key = content['key']
            results = [Result(**entry) for entry in content['results']]
        except (ValueError, KeyError, TypeError) as error:
            key, results = None, []
            self.notes.append(f'{path} cannot be read ({error})')
        if key == self._key:
            self._results = {result.name: result for result in results}
            return
        path.replace(self._folder / OLDER_NAME)
        self.notes.append(
            f'{path} is of other code, another device or another version of torch; it is now '
            f'{OLDER_NAME}'
        )


def code_key(folders: Iterable[Path]) -> str:
    """Return a short hash of all files of folders, names included, caches left out."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob('*')):
            if path.is_file() and '__pycache__' not in path.parts:
                digest.update(f'{path.relative_to(folder)}\0'.encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def source_folders() -> tuple[Path, Path]:
    """Return the folders whose files decide what a check finds."""
    return _ROOT / 'da3_ros', _ROOT / 'tools'


def _write(path: Path, text: str) -> None:
    """Replace a file as a whole: a reader sees the old or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
    try:
        with os.fdopen(handle, 'w', encoding='utf-8') as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
