"""Commands and code in the documentation, as a reader would copy them."""

from pathlib import Path
import re
import shlex

ROOT = Path(__file__).resolve().parents[2]
PAGES = tuple(sorted({*ROOT.glob('*.md'), *(ROOT / 'docs').glob('*.md')}))
_FENCE = re.compile(r'^```(\w*)\n(.*?)^```', re.M | re.S)


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the texts of the fenced blocks of these languages."""
    found = _FENCE.findall(page.read_text(encoding='utf-8'))
    return [text for language, text in found if language in languages]


def commands(page: Path) -> list[list[str]]:
    """Return the words of every line of the shell blocks of a page, without comments."""
    lines = '\n'.join(blocks(page, 'sh', 'bash')).splitlines()
    parts = (part for line in lines for part in re.split(r'\s+&&\s+|;\s', line))
    return [words for part in parts if (words := shlex.split(part, comments=True))]
