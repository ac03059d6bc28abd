"""The official code and ours side by side: time, memory, operations, and whether they agree.

Usage: python benchmarks/compare_official.py --out FOLDER
           [--official REPOSITORY] [--official-python PYTHON] [--cpp PROGRAM --cpp-model NAME=GGUF]

The official code is no dependency: it is a clone of its repository, or installed where another
interpreter finds it (torch, numpy, safetensors, omegaconf, einops, addict and tqdm are all that
its network needs). Contenders run in processes of their own, on the same weights and images, with
the same number of threads, in turns: every round each computes once. Weights come from a rule
(`tools.parity`), or from the folders of `--checkpoint`. Results are `results.json`,
`performance.md` and a picture for each network; `--docs` writes them into `docs/performance.md`,
also from an earlier run (`--results`). Without the official code ours in float32 is the
reference. A contender that cannot run says why in the results. All sizes and windows are measured
of the first network, of the others the largest size and the first window.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys
import tempfile
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# After the path of the source tree.
from benchmarks.compare import cases, contenders, machine, page, plots, tables
from benchmarks.compare.run import Plan, compare

PAGE = contenders.ROOT / 'docs' / 'performance.md'


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('--out', type=Path, required=True, help='folder for the results')
    parser.add_argument('--official', default='', help='clone of the official repository')
    parser.add_argument('--official-python', default=sys.executable, help='interpreter for it')
    parser.add_argument('--cpp', default='', help='program of depth-anything.cpp')
    parser.add_argument('--cpp-model', action='append', default=[], metavar='NAME=GGUF')
    parser.add_argument('--presets', nargs='+', default=['da3-small', 'da3-base'])
    parser.add_argument('--checkpoint', action='append', default=[], metavar='NAME=FOLDER')
    parser.add_argument('--contenders', nargs='+', choices=list(contenders.ENTRIES))
    parser.add_argument('--sizes', nargs='+', type=_size, metavar='WxH',
                        default=[cases.SMALL_SIZE, cases.USUAL_SIZE])  # fmt: skip
    parser.add_argument('--views', nargs='*', type=int, default=list(cases.VIEWS))
    parser.add_argument('--windows', nargs='*', type=_window, metavar='LENGTH,STRIDE',
                        default=list(cases.WINDOWS))  # fmt: skip
    parser.add_argument('--threads', type=int, default=machine.cores())
    parser.add_argument('--rounds', type=int, default=9, help='most rounds of a case')
    parser.add_argument('--starts', type=int, default=3, help='fresh processes of each; 0: none')
    parser.add_argument('--minutes', type=float, default=13.0, help='about how long it may take')
    parser.add_argument('--limit', type=float, default=300.0, help='seconds of one answer')
    parser.add_argument('--docs', action='store_true', help='write into docs/performance.md')
    parser.add_argument('--results', type=Path, help='write an earlier results.json again')
    return parser


def main() -> None:
    """Measure, or read what was measured, and write it."""
    parser = _parser()
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.results is None:
        results = _measured(parser, options)
        (options.out / 'results.json').write_text(json.dumps(results, indent=1), encoding='utf-8')
    else:
        results = json.loads(options.results.read_text(encoding='utf-8'))
    text = tables.markdown(results)
    (options.out / 'performance.md').write_text(text, encoding='utf-8')
    pictures = plots.draw(results, options.out)
    if options.docs:
        page.refresh(PAGE, tables.blocks(results), pictures)
    print(text)


def _measured(parser: argparse.ArgumentParser, options: argparse.Namespace) -> dict[str, Any]:
    warning = machine.warning(machine.describe(1)['load'][0], machine.cores())
    if warning is not None:
        print(f'warning: {warning}', file=sys.stderr)
    given, models = _pairs(parser, options.checkpoint), _pairs(parser, options.cpp_model)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        folders = {
            preset: Path(given[preset]) if preset in given else _by_rule(preset, scratch)
            for preset in options.presets
        }
        setting = contenders.Setting(
            options.threads, options.official, options.official_python, options.limit,
            options.out.resolve() / 'engines', options.cpp, models,
        )  # fmt: skip
        plan = Plan(
            _entries(options),
            tuple(cases.plan(options.presets, options.sizes, options.views, options.windows)),
            options.rounds,
            options.starts,
            options.minutes,
        )
        results = compare(plan, setting, folders, scratch, lambda line: print(line, flush=True))
    weights = [f'{name} from {Path(path).name}' for name, path in given.items()]
    rest = 'by the rule of tools/parity/synthetic_weights.py'
    return {**results, 'weights': ', '.join([*weights, rest][: len(weights) or 1])}


def _entries(options: argparse.Namespace) -> tuple[contenders.Entry, ...]:
    keys = list(options.contenders or contenders.USUAL)
    if not options.official and options.official_python == sys.executable:
        keys = [key for key in keys if not key.startswith(contenders.OFFICIAL)]
    found = [entry for key, entry in contenders.ENTRIES.items() if key in keys]
    return (*found, contenders.CPP) if options.cpp else tuple(found)


def _by_rule(preset: str, scratch: Path) -> Path:
    """Write a checkpoint with weights by the rule."""
    from da3_ros.inference.checkpoint import save_checkpoint
    from da3_ros.model.presets import preset as config_of
    from tools.parity.synthetic_weights import synthetic_network

    save_checkpoint(synthetic_network(config_of(preset), machine.cores()), scratch / preset)
    return scratch / preset


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition('x')
    return int(height), int(width)


def _window(text: str) -> tuple[int, int]:
    length, _, stride = text.partition(',')
    return int(length), int(stride)


def _pairs(parser: argparse.ArgumentParser, words: list[str]) -> dict[str, str]:
    for word in words:
        if '=' not in word:
            parser.error(f'expected NAME=PATH, got {word!r}')
    return dict(word.split('=', 1) for word in words)


if __name__ == '__main__':
    main()
