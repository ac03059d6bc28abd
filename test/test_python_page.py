"""The page about Python does what it says."""

from __future__ import annotations

from pathlib import Path
import re

import cv2
import numpy as np
import pytest

from da3_ros.inference.sequence import ImageSequence, SequencePrediction

PAGE = Path(__file__).resolve().parents[1] / 'docs' / 'python.md'
COUNT = 5


def test_the_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    video = cv2.VideoWriter('video.mp4', cv2.VideoWriter.fourcc(*'mp4v'), 10, (96, 64))
    assert video.isOpened()
    for picture in np.random.default_rng(0).integers(0, 256, (COUNT, 64, 96, 3), np.uint8):
        video.write(picture)
    video.release()
    (example,) = re.findall(r'```python\n(.*?)```', PAGE.read_text(encoding='utf-8'), re.DOTALL)
    exec(compile(example, str(PAGE), 'exec'), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(':')[0] for line in lines] == [f'image {n}' for n in range(COUNT)]


def test_the_names_of_the_table_exist() -> None:
    text = PAGE.read_text(encoding='utf-8')
    for owner, known in (('frames', ImageSequence), ('found', SequencePrediction)):
        named = set(re.findall(rf'`{owner}\.(\w+)', text))
        assert len(named) >= 2
        assert all(hasattr(known, name) for name in named)
