"""What depth images come to beside the true ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from da3_ros.cli.eval_depth_hints import hints
from da3_ros.cli.eval_depth_pairs import Pairing, PairReader, Rule, loads_beside, pair_maps
from da3_ros.cli.eval_depth_sources import CONFIDENCE, DepthSource, Load, named_depth
from da3_ros.errors import SourceError
from da3_ros.foreign import expanded, plain_line
from da3_ros.metrics.calibration import NORMAL_SHARES
from da3_ros.metrics.depth import DepthFigures
from da3_ros.metrics.depth_set import (
    DepthPair,
    DepthSetFigures,
    Variant,
    measure_depth,
)

SCHEMA = 'da3.eval.depth/1'
"""Name and version of the JSON object."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is compared, and how."""

    truth: str
    """As a user names it, as the next."""
    estimate: str
    rule: Rule | None
    """Of pairing; None tries them all."""
    max_difference_s: float
    """Of stamps in a pair."""
    truth_step_m: float | None
    """Metres of a step in images of whole numbers; None for millimetres, as the next."""
    estimate_step_m: float | None
    edges: tuple[float, ...]
    """Of ranges of true depth, metres."""
    sigma: str | None
    """Source or key of stated spreads; None for none."""
    confidence: str | None
    """Source or key of confidence; None for what lies beside depth as `conf`."""


@dataclass(frozen=True, slots=True, eq=False)
class ComparedDepth:
    """Depth of two sources."""

    question: Question
    pairing: Pairing
    figures: DepthSetFigures
    notes: tuple[str, ...]
    content: dict[str, Any]
    """The JSON object."""


def compare_depth(question: Question, say: Callable[[str], None]) -> ComparedDepth:
    """Read and compare depth.

    Args:
        question: what and how.
        say: tells what goes on.

    Raises:
        SourceError: a source cannot be read, or nothing pairs.
        GeometryError: no pixel is known in both images of any pair.
    """
    with ExitStack() as stack:
        truth = named_depth(question.truth, question.truth_step_m, stack)
        estimate = named_depth(question.estimate, question.estimate_step_m, stack)
        pairing = pair_maps(truth, estimate, question.rule, question.max_difference_s)

        def beside(named: str | None, default: str) -> tuple[Load, ...] | None:
            return _beside(pairing, named, default, question, stack)

        reader = PairReader(pairing, beside(question.sigma, ''), _confidence(question, beside))
        say(f'comparing {len(pairing.pairs)} images')
        figures = measure_depth(lambda: _with_progress(reader), question.edges)
    notes = (
        *(f'truth: {note}' for note in truth.notes),
        *(f'estimate: {note}' for note in estimate.notes),
        *hints(pairing, reader, figures),
    )
    content = _content(question, truth, estimate, pairing, figures, notes)
    return ComparedDepth(question, pairing, figures, notes, content)


def _confidence(
    question: Question, beside: Callable[[str | None, str], tuple[Load, ...] | None]
) -> tuple[Load, ...] | None:
    return beside(question.confidence, CONFIDENCE)


def _beside(
    pairing: Pairing, named: str | None, default: str, question: Question, stack: ExitStack
) -> tuple[Load, ...] | None:
    """Return what reads spreads or confidence: of a source of their own, or by a key."""
    if named is None:
        return loads_beside(pairing, default, None) if default else None
    estimate, step_m = question.estimate, question.estimate_step_m
    if '#' in named or expanded(named).exists():
        if named == estimate or expanded(named).resolve() == expanded(estimate).resolve():
            raise SourceError(
                f'{plain_line(named)}: it is the depth itself; expected the spread or confidence '
                'of it, or the key of these in the same files'
            )
        source = named_depth(named, None, stack)
        if step_m is not None and source.has_steps:
            source = named_depth(named, step_m, stack)
        return loads_beside(pairing, '', source)
    found = loads_beside(pairing, named, None)
    if found is None:
        there = ', '.join(sorted(pairing.pairs[0][1].beside)) or 'nothing'
        raise SourceError(
            f'{plain_line(named)}: expected a folder, BAG#/TOPIC, or a key beside the depth of '
            f'the estimates; beside the first lies {there}'
        )
    return found


def _with_progress(reader: PairReader) -> Iterator[DepthPair]:
    from tqdm import tqdm

    total = len(reader.pairing.pairs)
    yield from tqdm(reader(), total=total, unit='image', desc='comparing', disable=None)


def _content(
    question: Question,
    truth: DepthSource,
    estimate: DepthSource,
    pairing: Pairing,
    figures: DepthSetFigures,
    notes: Sequence[str],
) -> dict[str, Any]:
    content: dict[str, Any] = {
        'schema': SCHEMA,
        'truth': {'source': question.truth, 'images': len(truth.maps)},
        'estimate': {'source': question.estimate, 'images': len(estimate.maps)},
        'pairs': len(pairing.pairs),
        'paired_by': pairing.by,
        'without_partner': {
            'truth': list(pairing.truth_alone),
            'estimate': list(pairing.estimate_alone),
        },
        'notes': list(notes),
        'scale': figures.scale,
        'scale_spread': figures.scale_spread,
        'mean': _variants(figures.mean),
        'pooled': _variants(figures.pooled),
        'ranges': [
            {'near': one.near, 'far': one.far, **_variants(one.figures)} for one in figures.ranges
        ],
    }
    if figures.calibration:
        content['calibration'] = {
            'normal_shares': list(NORMAL_SHARES),
            **{variant: asdict(found) for variant, found in figures.calibration.items()},
        }
    if figures.confidence:
        content['confidence'] = [asdict(one) for one in figures.confidence]
    content['images'] = [
        {
            'name': image.name,
            'scale': image.scale,
            'known_share': image.known_share,
            **_variants(image.figures),
        }
        for image in figures.images
    ]
    return content


def _variants(figures: dict[Variant, DepthFigures]) -> dict[str, Any]:
    return {variant: asdict(one) for variant, one in figures.items()}
