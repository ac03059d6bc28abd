"""Write docs/troubleshooting.md from the table of reasons, da3_ros/reasons/table.py.

Usage: python tools/reason_docs.py [--check]
With --check nothing is written; the exit status is 1 when the page is out of date.
"""

from __future__ import annotations

from pathlib import Path
import re
import sys

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from da3_ros.reasons import Reason, Severity  # noqa: E402 - after the path of the source tree

PAGE = ROOT / 'docs' / 'troubleshooting.md'

_HEAD = """\
# When something does not come

Written by `tools/reason_docs.py` from the table of reasons, `da3_ros/reasons/table.py`: edit it
there.

For every cause known to the node there is one text. It stands in the log within five seconds,
again every thirty seconds while it holds, and once more, after `over after`, when it ends. On
`/diagnostics` it stands for as long as it holds: that of a camera in the status
`<node>: camera <name>`, all others in `<node>: stream`. What was measured is in braces here.

```bash
ros2 topic echo /diagnostics          # what holds now
ros2 topic echo /rosout               # what was said
da3 doctor                            # installation, transport, model cache
```

A node that could not be configured says why in the log and on `/diagnostics`, and with `autostart`
its process ends with status 1.
"""

_TITLES = {
    Severity.ERROR: ('Errors', 'No depth comes, or none of one camera.'),
    Severity.WARN: ('Warnings', 'Depth comes, with a loss.'),
    Severity.INFO: ('Notices', 'Nothing is wrong. Said once.'),
}


def render() -> str:
    """Return the content of docs/troubleshooting.md."""
    parts = [_HEAD]
    for severity in (Severity.ERROR, Severity.WARN, Severity.INFO):
        title, meaning = _TITLES[severity]
        parts.append(f'## {title}\n\n{meaning}\n')
        rows = [reason for reason in Reason if reason.severity is severity]
        parts += [_section(reason) for reason in rows]
    return '\n'.join(parts)


def _section(reason: Reason) -> str:
    row = reason.value
    # Of a number only its name: how many digits it has is no news.
    text = re.sub(r'\{(\w+)(:[^}]*)?\}', r'{\1}', row.text)
    name = reason.name.replace('_', ' ').capitalize()
    return f'### {name}\n\n> {text}\n\n{row.cause}\n\n**What to do:** {row.remedy}\n'


def main() -> int:
    """Write the page, or compare it; return the exit status."""
    if '--check' not in sys.argv[1:]:
        PAGE.write_text(render(), encoding='utf-8')
    elif not PAGE.is_file() or PAGE.read_text(encoding='utf-8') != render():
        print(f'{PAGE.name} is out of date: run python tools/reason_docs.py')
        return 1
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
