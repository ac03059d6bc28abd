"""Where checkpoints come from: local folders and the model hub.

A checkpoint is a folder with `config.json` and `model.safetensors`. Names that are not folders
are hub repositories; short names (`da3-small`) stand for the official ones, `da3-nano` for the
weights in this package. A file that is in the hub's cache is taken from there without asking the
network, so a robot starts without one.

The environment is read at every call: `HF_HUB_OFFLINE=1` forbids the network, `HF_ENDPOINT` names
a mirror, whose user and password are never printed; the cache folder is huggingface_hub's
(`HF_HOME`, `HF_HUB_CACHE`) unless given.
"""

from dataclasses import dataclass
import logging
import os
from pathlib import Path

from da3_ros.errors import CheckpointError, without_credentials
from da3_ros.foreign import expanded
from da3_ros.inference.hub_endpoint import HubEndpoint, hub_endpoint
from da3_ros.inference.runtimes.engine_files import is_engine
from da3_ros.model.presets import BUNDLED, preset_name

CONFIG_NAME = 'config.json'
WEIGHTS_NAME = 'model.safetensors'
PICKLE_SUFFIXES = ('.bin', '.pt', '.pth', '.ckpt')
CONNECT_TIMEOUT_S = 5.0

APACHE = 'Apache-2.0'
NON_COMMERCIAL = 'CC BY-NC 4.0 (no commercial use)'

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UpstreamModel:
    """An official checkpoint."""

    repository: str
    """Repository on the hub; the `-1.1` retraining where it exists."""

    licence: str
    """Licence of the weights."""

    size_mb: int
    """About what is downloaded, in megabytes."""


UPSTREAM: dict[str, UpstreamModel] = {
    'da3-small': UpstreamModel('depth-anything/DA3-SMALL', APACHE, 140),
    'da3-base': UpstreamModel('depth-anything/DA3-BASE', APACHE, 540),
    'da3-large': UpstreamModel('depth-anything/DA3-LARGE-1.1', NON_COMMERCIAL, 1640),
    'da3-giant': UpstreamModel('depth-anything/DA3-GIANT-1.1', NON_COMMERCIAL, 5420),
    'da3mono-large': UpstreamModel('depth-anything/DA3MONO-LARGE', APACHE, 1340),
    'da3metric-large': UpstreamModel('depth-anything/DA3METRIC-LARGE', APACHE, 1340),
    'da3nested-giant-large': UpstreamModel(
        'depth-anything/DA3NESTED-GIANT-LARGE-1.1', NON_COMMERCIAL, 6760
    ),
}
"""Official checkpoints by preset. The older trainings are reached by their repositories, e.g.
`depth-anything/DA3-LARGE`."""

BUNDLED_LICENCE = APACHE
BUNDLED_FOLDER = Path(__file__).resolve().parent.parent / 'weights'
"""Where the checkpoints of `presets.BUNDLED` are, each in a folder of its name."""


@dataclass(frozen=True, slots=True)
class CheckpointFiles:
    """The two files of a checkpoint on disk."""

    config: Path
    weights: Path


@dataclass(frozen=True, slots=True)
class HubOptions:
    """How the hub is asked."""

    revision: str | None = None
    """Branch, tag or commit; None for the repository's main branch."""

    token: str | bool | None = None
    """Access token; None for the one huggingface_hub has stored."""

    cache_dir: str | Path | None = None
    """Cache folder; None for huggingface_hub's."""

    local_files_only: bool = False
    """Never use the network."""

    force_download: bool = False
    """Download even what is cached."""


def find_checkpoint(source: str | Path, options: HubOptions | None = None) -> CheckpointFiles:
    """Return the files of a checkpoint, downloading them if need be.

    Args:
        source: Folder, hub repository (`owner/name`) or short name of `UPSTREAM` or `BUNDLED`.
        options: How the hub is asked.

    Raises:
        CheckpointError: The files are not there and cannot be had; the message says what to do.
    """
    options = options or HubOptions()
    here = _not_of_the_hub(source, options)
    if here is not None:
        return here
    repository = repository_of(str(source))
    config = _from_hub(repository, CONFIG_NAME, options)
    return CheckpointFiles(config, _from_hub(repository, WEIGHTS_NAME, options))


def find_config(source: str | Path, options: HubOptions | None = None) -> Path:
    """Return only the `config.json` of a checkpoint: a few kilobytes that tell its network.

    The folder of an engine (see `runtimes.engine_files`) has one too.

    Raises:
        CheckpointError: As of `find_checkpoint`.
    """
    options = options or HubOptions()
    if is_engine(expanded(source)):
        return expanded(source) / CONFIG_NAME
    here = _not_of_the_hub(source, options)
    if here is not None:
        return here.config
    return _from_hub(repository_of(str(source)), CONFIG_NAME, options)


def repository_of(name: str) -> str:
    """Return the hub repository of a short name (`-1.1` names included) or of itself.

    Raises:
        CheckpointError: It is neither, or comes with this package.
    """
    if name in BUNDLED:
        raise CheckpointError(f'{name} comes with this package, the hub has no repository of it')
    plain = preset_name(name)
    if plain is not None:
        return UPSTREAM[plain].repository
    if '/' in name:
        return name
    raise CheckpointError(
        f'{name!r} is neither a folder, nor a hub repository (owner/name), '
        f'nor one of {", ".join((*UPSTREAM, *BUNDLED))}'
    )


def licence_of(name: str) -> str:
    """Return the licence of the weights of a preset, `unknown` for other networks."""
    if name in BUNDLED:
        return BUNDLED_LICENCE
    return UPSTREAM[name].licence if name in UPSTREAM else 'unknown'


def licence_line(name: str) -> str:
    """Return the licence of the weights of a preset as a phrase that says whose weights."""
    whose = 'weights' if name in BUNDLED else 'upstream weights'
    return f'licence of the {whose}: {licence_of(name)}'


def is_cached(name: str, cache_dir: str | Path | None = None) -> bool:
    """Return whether a checkpoint is on this machine, so that it loads without a network."""
    options = HubOptions(cache_dir=cache_dir, local_files_only=True)
    try:
        find_checkpoint(name, options)
    except CheckpointError:
        return False
    return True


def _not_of_the_hub(source: str | Path, options: HubOptions) -> CheckpointFiles | None:
    """Return the files of a folder or of this package; None for what the hub may have."""
    if not str(source).strip():
        raise CheckpointError('expected the name of a model or a folder, got nothing')
    folder = expanded(source)
    if folder.is_dir():
        return _in_folder(folder)
    name = str(source)
    if isinstance(source, Path) or folder.is_file() or name.startswith(('.', '/', '~')):
        raise CheckpointError(
            f'{source}: expected a folder with {CONFIG_NAME} and {WEIGHTS_NAME}, '
            'but there is no such folder'
        )
    return _bundled(name, options) if name in BUNDLED else None


def _bundled(name: str, options: HubOptions) -> CheckpointFiles:
    if options.revision:
        raise CheckpointError(
            f'{name} comes with this package and has no revisions, got {options.revision!r}'
        )
    folder = BUNDLED_FOLDER / name.replace('-', '_')
    if not folder.is_dir():
        raise CheckpointError(f'{name}: {folder} is missing, so that the installation is broken')
    return _in_folder(folder)


def _in_folder(folder: Path) -> CheckpointFiles:
    files = CheckpointFiles(folder / CONFIG_NAME, folder / WEIGHTS_NAME)
    missing = [path.name for path in (files.config, files.weights) if not path.is_file()]
    if missing and is_engine(folder):
        raise CheckpointError(
            f'{folder}: expected a checkpoint, got a compiled engine, which holds no weights that '
            'torch reads; use the model that it was made of'
        )
    if missing:
        pickles = [path.name for path in sorted(folder.iterdir()) if _is_pickle(path)]
        hint = (
            f'; {", ".join(pickles)} is not read, because unpickling runs code: '
            'convert it to safetensors'
            if pickles
            else ''
        )
        raise CheckpointError(f'{folder}: {" and ".join(missing)} is missing{hint}')
    return files


def _is_pickle(path: Path) -> bool:
    return path.suffix in PICKLE_SUFFIXES


def unreachable_reason(repository: str, options: HubOptions) -> str:
    """Return why nothing of a repository can be downloaded now, empty where the hub answers.

    Raises:
        CheckpointError: `HF_ENDPOINT` is no address.
    """
    return _asked(repository, CONFIG_NAME, options).silence


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the hub says of a file before it is fetched."""

    silence: str = ''
    """Why there is no answer; empty where there is one."""
    size_bytes: int | None = None
    """None where the hub does not tell, or refuses."""


def _from_hub(repository: str, filename: str, options: HubOptions) -> Path:
    if not options.force_download or _is_offline(options):
        cached = _download(repository, filename, options, None)
        if cached is not None:
            return cached
    answer = _asked(repository, filename, options)
    if answer.silence:
        raise _unreachable(repository, filename, answer.silence)
    endpoint = hub_endpoint()
    if filename == WEIGHTS_NAME and answer.size_bytes is not None:
        size_mb = max(1.0, answer.size_bytes / 1e6)
        _logger.warning('downloading %s, %.0f MB, from %s', repository, size_mb, endpoint.url)
    downloaded = _download(repository, filename, options, endpoint)
    if downloaded is None:
        raise _unreachable(repository, filename, f'{endpoint.url} stopped answering')
    return downloaded


def _download(
    repository: str, filename: str, options: HubOptions, endpoint: HubEndpoint | None
) -> Path | None:
    """Return the file, None when it is not here and the hub was not or could not be asked.

    Args:
        repository: Of the hub.
        filename: In the repository.
        options: How the hub is asked.
        endpoint: The hub; None to look into the cache only.

    Raises:
        CheckpointError: There is no such file, or it may not be had; without the errors of the
            libraries below, which are long and may hold what is nobody's business.
    """
    from huggingface_hub import errors as hub_errors
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(
            repository,
            filename,
            revision=options.revision,
            token=options.token,
            cache_dir=options.cache_dir,
            force_download=options.force_download and endpoint is not None,
            local_files_only=endpoint is None,
            endpoint=None if endpoint is None else endpoint.url,
            headers=None if endpoint is None else dict(endpoint.headers),
        )
    except hub_errors.LocalEntryNotFoundError:
        return None
    except (hub_errors.EntryNotFoundError, hub_errors.HFValidationError, OSError) as error:
        revision = f' at revision {options.revision}' if options.revision else ''
        raise CheckpointError(
            f'{repository}{revision}: cannot get {filename}: {_first_line(error)}'
        ) from None
    return Path(path)


def _unreachable(repository: str, filename: str, reason: str) -> CheckpointError:
    return CheckpointError(
        f'{filename} of {repository} is not in the local cache and {reason}; '
        f'{" or ".join(BUNDLED)} comes with this package and is enough for a demo. '
        f'Give a folder with {CONFIG_NAME} and {WEIGHTS_NAME}, set HF_ENDPOINT to a mirror, or '
        f'run where there is a network: hf download {repository}'
    )


def _is_offline(options: HubOptions) -> bool:
    variable = os.environ.get('HF_HUB_OFFLINE', '').strip().upper()
    return options.local_files_only or variable in {'1', 'ON', 'YES', 'TRUE'}


def _asked(repository: str, filename: str, options: HubOptions) -> _Answer:
    """Ask the hub for a file's size, without the minute of retries where it does not answer.

    Asked by huggingface_hub itself, so through its proxies and with its certificates.
    """
    if _is_offline(options):
        return _Answer('the network may not be used (offline mode)')
    from huggingface_hub import errors as hub_errors
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    endpoint = hub_endpoint()
    try:
        url = hf_hub_url(repository, filename, revision=options.revision, endpoint=endpoint.url)
        found = get_hf_file_metadata(
            url, token=options.token, timeout=CONNECT_TIMEOUT_S, headers=dict(endpoint.headers)
        )
    except (hub_errors.HfHubHTTPError, hub_errors.HFValidationError):
        # It does; what it has against the request is said when the file is fetched.
        return _Answer()
    except Exception as error:
        # Of the library that it speaks HTTP with, which has changed and may change again.
        return _Answer(f'{endpoint.url} cannot be reached ({_first_line(error)})')
    return _Answer(size_bytes=found.size)


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return without_credentials(text.splitlines()[0])
