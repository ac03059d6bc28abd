"""What an interrupted stream left is believed whole or not at all."""

from pathlib import Path

import pytest

from da3_ros.sinks import stream_part
from da3_ros.sinks.stream_part import StreamPart

SETTINGS = {'model': 'da3-nano'}
STATE = {'frames': 12, 'scale': 0.25, 'pipeline': 'YWJj'}


def committed(out: Path) -> object:
    with StreamPart(out, SETTINGS, restart=False) as part:
        return part.committed


def test_a_state_with_any_bit_changed_begins_anew(tmp_path: Path) -> None:
    out = tmp_path / 'out'
    with StreamPart(out, SETTINGS, restart=False) as part:
        part.commit(STATE)
        state = part.path / 'state.json'
    assert committed(out) == STATE
    whole = state.read_bytes()
    for index in range(len(whole)):
        with StreamPart(out, SETTINGS, restart=True) as part:
            part.commit(STATE)
            state = part.path / 'state.json'
        state.write_bytes(whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :])
        assert committed(out) is None, index


def test_nobody_goes_on_from_a_folder_that_was_being_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(folder: Path) -> None:
        (folder / 'frames.bin').unlink()
        raise KeyboardInterrupt

    out = tmp_path / 'out'
    with StreamPart(out, SETTINGS, restart=False) as part:
        (part.path / 'frames.bin').touch()
        part.commit(STATE)
        with monkeypatch.context() as patched:
            patched.setattr(stream_part, 'remove_staging', killed)
            with pytest.raises(KeyboardInterrupt):
                part.remove()
    assert committed(out) is None
