"""What a command finds before weights are loaded, and which network it takes."""

from pathlib import Path

import pytest

from da3_ros.errors import CheckpointError
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.default_model import VARIABLE
from helpers.cli import SMALL, da3, da3_json, failure, invoke


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a hub nor a cache: configurations of presets are all there is."""

    def loaded(*_: object, **__: object) -> None:
        raise AssertionError('weights were loaded')

    monkeypatch.setattr(DepthAnything3, 'from_pretrained', loaded)
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path / 'cache'))


@pytest.mark.usefixtures('no_weights')
@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (('--model', 'da3-small', '--export-format', 'gs_ply'), 'no Gaussians'),
        (('--model', 'da3-small', '--infer-gs'), 'no Gaussians'),
        (('--model', 'da3mono-large', '--export-format', 'colmap'), 'predicts no poses'),
        (('--model', 'da3metric-large', '--save-conf'), 'no confidence'),
        (('--model', 'da3-small', '--export-feat', '3,12'), r'layers [12] do not exist'),
        (('--device', 'cuda:99'), 'cuda:99'),
    ],
)
def test_what_the_network_or_the_machine_cannot_do(
    photos: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    assert words in failure('images', photos, '--export-dir', tmp_path / 'out', *arguments)
    assert not (tmp_path / 'out').exists()


@pytest.mark.usefixtures('no_weights')
def test_a_broken_image_in_a_folder(photos: Path, tmp_path: Path) -> None:
    (photos / '1.png').write_bytes(b'no image')
    message = failure('images', photos, '--model', 'da3-small', '--export-dir', tmp_path / 'out')
    assert str(photos / '1.png') in message


@pytest.mark.usefixtures('no_weights')
@pytest.mark.parametrize('command', ['image', 'images', 'auto'])
def test_no_network_to_be_had_is_one_short_line(
    photos: Path, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    source = photos / '0.png' if command == 'image' else photos
    result = invoke(command, source, '--export-dir', tmp_path / 'out')
    assert isinstance(result.exception, CheckpointError)
    assert str(result.exception).endswith('hf download depth-anything/DA3-SMALL')
    assert not (tmp_path / 'out').exists()


def test_the_environment_names_the_network_and_the_summary_says_so(
    photos: Path, tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(checkpoint))
    small = ('--export-format', 'npz', *SMALL)
    said = da3('images', photos, '--export-dir', tmp_path / 'a', *small)
    assert f'note: {checkpoint}: named by {VARIABLE}' in said
    given = ('--model', 'da3-nano', '--export-dir', tmp_path / 'b', *small)
    content = da3_json('images', photos, *given)
    assert content['checkpoint'] == content['model'] == 'da3-nano'


@pytest.mark.usefixtures('no_weights')
@pytest.mark.parametrize('flags', [(), ('--each',)])
def test_a_folder_that_cannot_be_made_or_written(photos: Path, flags: tuple[str, ...]) -> None:
    arguments: list[str | Path] = [photos, *flags, '--model', 'da3-small', '--export-dir']
    below = failure('images', *arguments, photos / '0.png' / 'out')
    assert 'expected a folder, it is none' in below
    # Not even root can write there.
    assert 'cannot be written' in failure('images', *arguments, Path('/proc/out'))
