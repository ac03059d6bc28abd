"""config/da3.yaml and docs/parameters.md against the declarations."""

from pathlib import Path

import pytest
import yaml

from da3_ros.options import NodeOptions, from_flat, option_specs
from tools.parameter_docs import OUTPUTS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize('name', OUTPUTS)
def test_generated_files_are_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text(encoding='utf-8') == OUTPUTS[name](), (
        'run python tools/parameter_docs.py'
    )


def test_the_yaml_file_gives_the_defaults_with_their_types() -> None:
    content = yaml.safe_load((ROOT / 'config' / 'da3.yaml').read_text(encoding='utf-8'))
    values = content['/**']['ros__parameters']
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    assert from_flat(plain) == NodeOptions()
    # ROS distinguishes 1 from 1.0.
    assert {k: type(v) for k, v in plain.items()} == {
        spec.name: type(spec.default) for spec in option_specs()
    }


def test_every_option_is_documented_with_its_meaning() -> None:
    text = (ROOT / 'docs' / 'parameters.md').read_text(encoding='utf-8')
    for spec in option_specs():
        assert f'| `{spec.name}` |' in text
        assert spec.help.replace('|', r'\|') in text
