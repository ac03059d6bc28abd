"""The process that runs parts: `python -m tools.gpu_check.worker REQUEST`, see `supervisor`.

One line of JSON per part goes to standard output; whatever libraries print there goes to standard
error. The process ends when its standard input is closed, so that none is left behind.
"""

from importlib import import_module
import json
import os
import sys
import threading
import time
import traceback
from typing import Any

from tools.gpu_check.part import Part, Result, Settings, Skipped, one_line, result_of

_OWN = ('da3_ros', 'tools')


def run_part(part: Part, settings: Settings) -> tuple[Result, bool]:
    """Return the result of a part, and whether the process should not be used any more.

    After an exception on CUDA nothing that the device answers can be relied on.
    """
    start = time.monotonic()
    try:
        module, function = part.run.split(':')
        outcome = getattr(import_module(module), function)(settings, part.subject)
    except Skipped as reason:
        return Result(part.name, 'SKIP', str(reason), time.monotonic() - start), False
    except Exception as error:
        seconds = time.monotonic() - start
        missing = _missing_package(error)
        if missing is not None:
            return Result(part.name, 'SKIP', f'{missing} is not installed', seconds), False
        text = traceback.format_exc()
        failed = Result(part.name, 'FAIL', one_line(error), seconds, traceback=text)
        return failed, settings.device == 'cuda'
    return result_of(part, outcome, time.monotonic() - start), False


def _missing_package(error: BaseException) -> str | None:
    """Return the package that an exception says is not there; one of our own is a failure."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    package = error.name.partition('.')[0]
    return None if package in _OWN else package


def _end_with_parent() -> None:
    # Not through sys.stdin, whose lock would be held when the interpreter ends.
    while os.read(0, 1):
        pass
    os._exit(1)


def main(request: dict[str, Any]) -> None:
    """Run the parts of a request in its order."""
    channel = os.fdopen(os.dup(1), 'w', encoding='utf-8')
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    parts = {part.name: part for part in import_module(request['plan']).PARTS}
    settings = Settings(**request['settings'])
    for name in request['parts']:
        result, is_spoilt = run_part(parts[name], settings)
        channel.write(json.dumps(result.as_json()) + '\n')
        channel.flush()
        if is_spoilt:
            break


if __name__ == '__main__':
    main(json.loads(sys.argv[1]))
