"""A mirror named by HF_ENDPOINT serves a checkpoint, over real HTTP on this machine."""

from base64 import b64encode
from collections.abc import Iterator
import logging
from pathlib import Path
import traceback

import pytest

from da3_ros.errors import CheckpointError, without_credentials
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.checkpoint import save_checkpoint
from da3_ros.inference.hub import HubOptions, find_checkpoint, find_config
from da3_ros.inference.hub_endpoint import hub_endpoint
from helpers.hub_mirror import HubMirror, serving

REPOSITORY = 'someone/weights'
TOKEN = 'hf_secret'
USER, PASSWORD = 'alice', 'p@ss:w0rd'


@pytest.fixture
def mirror(
    tmp_path: Path, model: DepthAnything3, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HubMirror]:
    folder = tmp_path / 'served'
    save_checkpoint(model.model, folder)
    with serving(HubMirror(folder, REPOSITORY, 'stable')) as found:
        monkeypatch.setenv('HF_ENDPOINT', f'http://127.0.0.1:{found.port}')
        monkeypatch.setenv('NO_PROXY', '127.0.0.1')
        monkeypatch.delenv('HF_HUB_OFFLINE', raising=False)
        yield found


def test_download_by_revision_and_token_then_from_the_cache(
    mirror: HubMirror, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = HubOptions(revision='stable', token=TOKEN, cache_dir=tmp_path / 'cache')
    files = find_checkpoint(REPOSITORY, options)
    weights = mirror.folder / 'model.safetensors'
    assert files.weights.read_bytes() == weights.read_bytes()
    # Versions of huggingface_hub ask the hub for more when they are loaded: no file of ours.
    files_asked = [request for request in mirror.seen if REPOSITORY in request[1]]
    assert {authorization for _, _, authorization in files_asked} == {f'Bearer {TOKEN}'}
    # Said once, with the size, before it begins.
    [line] = [r.getMessage() for r in caplog.records if r.name == 'da3_ros.inference.hub']
    assert line.startswith(f'downloading {REPOSITORY}, ')
    assert f'{weights.stat().st_size / 1e6:.0f} MB' in line
    asked = len(mirror.seen)
    assert find_checkpoint(REPOSITORY, options) == files
    assert len(mirror.seen) == asked


def test_the_configuration_comes_without_the_weights(mirror: HubMirror, tmp_path: Path) -> None:
    options = HubOptions(revision='stable', cache_dir=tmp_path / 'cache')
    config = find_config(REPOSITORY, options)
    assert config.read_bytes() == (mirror.folder / 'config.json').read_bytes()
    assert not any('safetensors' in path for _, path, _ in mirror.seen)


def test_a_file_that_the_repository_lacks_is_named(mirror: HubMirror, tmp_path: Path) -> None:
    (mirror.folder / 'model.safetensors').unlink()
    options = HubOptions(revision='stable', cache_dir=tmp_path / 'cache')
    with pytest.raises(
        CheckpointError, match=r'someone/weights at revision stable: cannot get model\.safetensors'
    ):
        find_checkpoint(REPOSITORY, options)


def test_user_and_password_of_the_mirror_count_and_are_never_said(
    mirror: HubMirror,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whatever happens, of whatever library the words are."""
    mirror.authorization = 'Basic ' + b64encode(f'{USER}:{PASSWORD}'.encode()).decode()
    address = f'127.0.0.1:{mirror.port}'
    escaped = PASSWORD.replace('@', '%40').replace(':', '%3A')
    said = []
    with caplog.at_level(logging.DEBUG):
        monkeypatch.setenv('HF_ENDPOINT', f'http://{USER}:{escaped}@{address}')
        options = HubOptions(revision='stable', cache_dir=tmp_path / 'cache')
        assert find_checkpoint(REPOSITORY, options).weights.is_file()
        for number, endpoint in enumerate(
            (
                f'http://{USER}:wrong-{escaped}@{address}',
                f'http://{USER}:{escaped}@127.0.0.1:9',
                f'http://{USER}:{escaped}@127.0.0.1:none',
                f'http://{USER}:{PASSWORD}/x@{address}',
                f'{USER}:{escaped}@{address}',
            )
        ):
            monkeypatch.setenv('HF_ENDPOINT', endpoint)
            options = HubOptions(revision='stable', cache_dir=tmp_path / f'cache{number}')
            with pytest.raises(CheckpointError) as caught:
                find_checkpoint(REPOSITORY, options)
            said += traceback.format_exception(caught.value)
    everything = ''.join(said) + caplog.text + ''.join(capfd.readouterr())
    assert f'downloading {REPOSITORY}' in everything
    for secret in (PASSWORD, escaped, 'w0rd'):
        assert secret not in everything
    assert USER not in everything


def test_an_endpoint_is_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, url in (
        ('https://hf-mirror.com', 'https://hf-mirror.com'),
        ('http://[::1]:8080/hub/', 'http://[::1]:8080/hub'),
        (' ', 'https://huggingface.co'),
    ):
        monkeypatch.setenv('HF_ENDPOINT', given)
        assert (hub_endpoint().url, hub_endpoint().headers) == (url, {})
    monkeypatch.setenv('HF_ENDPOINT', 'hf-mirror.com')
    with pytest.raises(CheckpointError, match=r"HF_ENDPOINT: .* got 'hf-mirror.com'"):
        hub_endpoint()


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('see http://a:b@h/x and rtsp://u@cam:554/1', 'see http://h/x and rtsp://cam:554/1'),
        ('https://u:p@w@host/p@q', 'https://host/p@q'),
        ('mail a@b.c about http://host:80/a', 'mail a@b.c about http://host:80/a'),
        ("'http://host' or 'a@b'", "'http://host' or 'a@b'"),
    ],
)
def test_addresses_lose_their_users(text: str, expected: str) -> None:
    assert without_credentials(text) == expected
