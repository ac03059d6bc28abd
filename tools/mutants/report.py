"""What came of the changes: a line for each, a table by room, and a file with all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

from tools.mutants.bench import Outcome, Verdict


def line_of(outcome: Outcome) -> str:
    """Say what came of a change, in a line that editors can follow."""
    change = outcome.change
    what = f'{change.file}:{change.line}: {outcome.verdict.value}: {change.name}'
    more = f' ({outcome.by})' if outcome.by else ''
    shown = f'\n    {change.text}' if outcome.verdict is Verdict.NOT_NOTICED else ''
    return f'{what}{more}{shown}'


def share(outcomes: Sequence[Outcome]) -> float | None:
    """Return the share of noticed changes among those that change behaviour."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    noticed = counts[Verdict.NOTICED] + counts[Verdict.TIMED_OUT]
    counted = noticed + counts[Verdict.NOT_NOTICED]
    return noticed / counted if counted else None


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the counts by room."""
    rows = [('room', 'changes', *(verdict.value for verdict in Verdict), 'share', 's per change')]
    for room in dict.fromkeys(outcome.room for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.room == room]
        counts = Counter(outcome.verdict for outcome in own)
        tried = [outcome.took_s for outcome in own if outcome.took_s]
        part = share(own)
        rows.append(
            (
                room,
                str(len(own)),
                *(str(counts[verdict]) for verdict in Verdict),
                '-' if part is None else f'{part:.1%}',
                f'{sum(tried) / len(tried):.1f}' if tried else '-',
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return '\n'.join(
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def write_json(path: Path, seeds: Sequence[int], outcomes: Sequence[Outcome]) -> None:
    """Write all outcomes."""
    rows: list[dict[str, Any]] = [
        {
            'room': outcome.room,
            'file': outcome.change.file,
            'line': outcome.change.line,
            'text': outcome.change.text,
            'change': outcome.change.name,
            'verdict': outcome.verdict.value,
            'by': outcome.by,
            'took_s': round(outcome.took_s, 2),
        }
        for outcome in outcomes
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({'seeds': seeds, 'outcomes': rows}, indent=1), encoding='utf-8')
