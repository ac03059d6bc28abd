"""Command line: make the best weights of a run those that ship with the package.

Writes `config.json`, `model.safetensors` and `MODEL_CARD.md` with the figures measured here:

    python -m tools.train_nano.bundle --run RUN --commit HASH --command 'python -m ...' \
        --hardware 'two cores of a CPU' --real FOLDER
"""

import argparse
from collections.abc import Sequence
import hashlib
import json
from pathlib import Path
import shutil
from string import Template
from typing import Any

import torch

from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.checkpoint import load_network
from da3_ros.inference.hub import BUNDLED_FOLDER, CONFIG_NAME, WEIGHTS_NAME
from da3_ros.inference.network_file import config_content
from da3_ros.model.presets import NANO
from da3_ros.synthetic.family_scene import Split
from tools.train_nano.accuracy import SCENES, accuracy, markdown
from tools.train_nano.curve import read_log
from tools.train_nano.real import RealRow, measure_set, sets_in
from tools.train_nano.real import markdown as real_markdown
from tools.train_nano.trainer import BEST_NAME, LOG_NAME, compute_views_together

CARD_NAME = 'MODEL_CARD.md'
MAX_BYTES = 8_000_000
"""Of the weights, so that the package stays small."""

_TEMPLATE = Path(__file__).with_name('model_card.md')


def main() -> None:
    """Parse the command line and write the checkpoint."""
    parser = argparse.ArgumentParser(prog='python -m tools.train_nano.bundle', description=__doc__)
    parser.add_argument('--run', type=Path, required=True, help='folder of the run')
    parser.add_argument('--command', required=True, help='what started it')
    parser.add_argument('--commit', required=True, help='of the sources that it ran from')
    parser.add_argument('--hardware', required=True, help='what it ran on, in words')
    parser.add_argument('--out', type=Path, default=BUNDLED_FOLDER / 'da3_nano')
    parser.add_argument('--scenes', type=int, help='per row of the table; for trials')
    parser.add_argument('--real', type=Path, nargs='+', default=[], help='sets of real pictures')
    parser.add_argument('--threads', type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    compute_views_together()
    copy_weights(options.run / BEST_NAME, options.out)
    scenes = SCENES if options.scenes is None else dict.fromkeys(SCENES, options.scenes)
    folders = sets_in(options.real)
    facts = {
        'command': options.command,
        'commit': options.commit,
        'hardware': options.hardware,
        **best_of_run(options.run),
        **measured(options.out, scenes),
        'real': real_text(measured_on(options.out, folders)),
    }
    text = Template(_TEMPLATE.read_text(encoding='utf-8')).substitute(facts)
    (options.out / CARD_NAME).write_text(text, encoding='utf-8')
    print(f'{options.out}: weights of {facts["views"]} views\n\n{facts["table"]}')


def copy_weights(source: Path, folder: Path) -> None:
    """Write a checkpoint that stands for the preset.

    Raises:
        CheckpointError: the weights do not fit it.
        ValueError: the file is too large for the package.
    """
    load_network(source)
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / (WEIGHTS_NAME + '.part')
    shutil.copyfile(source / WEIGHTS_NAME, scratch)
    if scratch.stat().st_size > MAX_BYTES:
        raise ValueError(f'{source}: expected at most {MAX_BYTES} bytes')
    scratch.chmod(0o644)
    scratch.replace(folder / WEIGHTS_NAME)
    content = json.dumps(config_content(NANO)) + '\n'
    (folder / CONFIG_NAME).write_text(content, encoding='utf-8')


def best_of_run(run: Path) -> dict[str, str]:
    """Return how long the best weights of a run were trained."""
    best = [line for line in read_log(run / LOG_NAME) if line['best']][-1]
    return {
        'views': f'{best["views"]:,}',
        'seconds_text': f'{best["seconds"] / 60:.0f} minutes',
    }


def measured(folder: Path, scenes: dict[int, int]) -> dict[str, Any]:
    """Return size, hash and accuracy of a checkpoint."""
    weights = (folder / WEIGHTS_NAME).read_bytes()
    network = load_network(folder).any_view
    assert network is not None
    count = sum(parameter.numel() for parameter in network.parameters())
    return {
        'bytes': f'{len(weights):,}',
        'sha256': hashlib.sha256(weights).hexdigest(),
        'parameters': f'{count / 1e6:.1f}',
        'table': markdown(accuracy(network, (Split.TEST, Split.UNSEEN), scenes)),
    }


def measured_on(folder: Path, sets: Sequence[Path]) -> list[RealRow]:
    """Return the accuracy of a checkpoint on sets of real pictures."""
    model = DepthAnything3.from_pretrained(folder)
    return [row for one in sets for row in measure_set(model, one)]


def real_text(rows: Sequence[RealRow]) -> str:
    """Return what the card says of real pictures."""
    return real_markdown(rows) if rows else 'Not measured for these weights.'


if __name__ == '__main__':
    main()
