"""Parts of a GPU check that do what parts should not do."""

from importlib import import_module
import os
import sys
import time

from tools.gpu_check.part import Outcome, Part, Settings, Skipped


def good(settings: Settings, subject: str) -> Outcome:
    sys.stdout.write('libraries print what they like\n')
    return Outcome(f'{subject} on {settings.device}', figures={'pid': os.getpid()})


def fail(settings: Settings, subject: str) -> Outcome:
    return Outcome('', ('first thing wrong', 'second thing wrong'), {'number': float('nan')})


def hang(settings: Settings, subject: str) -> Outcome:
    sys.stderr.write('hanging now\n')
    time.sleep(600)
    return Outcome('never')


def crash(settings: Settings, subject: str) -> Outcome:
    sys.stderr.write('last words\n')
    os._exit(3)


def refuse(settings: Settings, subject: str) -> Outcome:
    raise ValueError('not like this\nsecond line')


def skip(settings: Settings, subject: str) -> Outcome:
    raise Skipped('not today')


def miss(settings: Settings, subject: str) -> Outcome:
    import_module('nothing_of_the_kind.inner')
    return Outcome('never')


def miss_own(settings: Settings, subject: str) -> Outcome:
    import_module('tools.nothing_of_the_kind')
    return Outcome('never')


def _part(function: str, subject: str, limit_s: float = 60.0) -> Part:
    return Part(function, subject, 'group', limit_s, f'helpers.gpu_parts:{function}')


PARTS = (
    *(_part(name, 'x') for name in ('good', 'fail', 'crash', 'refuse', 'skip')),
    _part('miss', 'x'),
    _part('miss_own', 'x'),
    _part('good', 'y'),
    _part('hang', 'x', limit_s=4.0),
    _part('hang', 'long'),
)
