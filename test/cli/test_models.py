"""The list of networks with short names."""

import json

import pytest
from typer.testing import CliRunner

from da3_ros.cli.app import app
from da3_ros.inference.hub import UPSTREAM
from da3_ros.model import presets
from da3_ros.model.build import build_network

# Parameters stored in the upstream files.
PARAMETERS = {
    'da3-small': 34_299_463,
    'da3-base': 135_366_599,
    'da3-large': 410_941_767,
    'da3-giant': 1_355_674_125,
    'da3mono-large': 334_171_394,
    'da3metric-large': 334_171_394,
    'da3nested-giant-large': 1_689_845_519,
    # Not published: the preset's own size.
    'da3-nano': 2_912_083,
}


def test_what_is_written_down_is_what_is_built() -> None:
    for name, config in presets.NETWORKS.items():
        built = sum(value.numel() for value in build_network(config).parameters())
        assert built == presets.PARAMETERS[name], name


@pytest.fixture(autouse=True)
def empty_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        'huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path_factory.mktemp('cache'))
    )


def test_json_says_everything_of_every_network() -> None:
    result = CliRunner().invoke(app, ['models', '--json'])
    assert result.exit_code == 0
    rows = {row['preset']: row for row in json.loads(result.stdout)}
    assert {name: row['parameters'] for name, row in rows.items()} == PARAMETERS
    nano = rows.pop('da3-nano')
    assert {name: row['repository'] for name, row in rows.items()} == {
        name: model.repository for name, model in UPSTREAM.items()
    }
    assert nano['capabilities'] == ['confidence', 'poses', 'conditioning']
    assert nano['repository'] == 'comes with this package'
    assert nano['licence'] == 'Apache-2.0'
    assert nano['cached']
    assert rows['da3nested-giant-large']['capabilities'] == [
        'confidence',
        'poses',
        'conditioning',
        'gaussians',
        'sky',
        'metric',
    ]
    assert rows['da3metric-large']['capabilities'] == ['sky', 'metric']
    assert rows['da3-small']['capabilities'] == ['confidence', 'poses', 'conditioning']
    assert not any(row['cached'] for row in rows.values())


def test_the_table_names_licences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('COLUMNS', '120')
    result = CliRunner().invoke(app, ['models'])
    assert result.exit_code == 0
    assert all(name in result.stdout for name in PARAMETERS)
    assert result.stdout.count('CC BY-NC 4.0') == 3
    # On any terminal: every name is on one line.
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert all(model.repository in result.stdout for model in UPSTREAM.values())
