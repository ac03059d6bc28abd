"""What docs/evaluation.md says of the JSON objects of `da3 eval`."""

from collections.abc import Iterator
from pathlib import Path
import re
from typing import Any

_PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'evaluation.md'
_OF_ALL_COMMANDS = {'command', 'status'}


def assert_described(content: dict[str, Any]) -> None:
    """Assert that the page names every key of an object, and its schema."""
    text = _PAGE.read_text(encoding='utf-8')
    assert content['schema'] in text
    missing = {key for key in _keys(content) if not re.search(rf'\b{key}\b', text)}
    assert missing <= _OF_ALL_COMMANDS, missing


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)
