"""Rows 21 to 36, 45 to 47 of the official documentation: its commands, and what is right.

The model is named where the documentation names one; else it is that of the one rule.
"""

from __future__ import annotations

import re
import runpy
import sys

import pytest

from helpers.cli import da3, da3_json, failure, invoke
from helpers.official_places import SOH, VIDEO, Place, infer, model, row, small

CPU = ('--device', 'cpu')


@row(21)
def default_model(place: Place) -> None:
    said = da3_json('auto', SOH, '--export-format', 'glb', '--export-dir', 'output', *CPU)
    assert (said['model'], said['views']) == ('da3-small', 3)
    place.patch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(place.folder / 'empty'))
    message = failure('auto', SOH, '--export-dir', 'other', *CPU)
    assert re.search(r'hf download depth-anything/DA3-SMALL\W*$', message)
    assert len(message.splitlines()) == 1


@row(22)
def image_and_images(place: Place) -> None:
    da3('image', f'{SOH}/000.png', '--export-dir', 'output/', *CPU)
    assert 'scene.glb' in place.written()
    # The official tool asks whether to overwrite; a script cannot answer.
    assert '--overwrite' in failure('images', SOH, '--export-dir', 'output/', *CPU)
    da3('images', SOH, '--export-dir', 'output/', '--overwrite', *CPU)


@row(23, 32)
def video(place: Place) -> None:
    options = ('--fps', '15', '--export-format', 'glb', '--export-dir', 'output')
    assert da3_json('video', VIDEO, *options, *CPU)['views'] == 4
    assert 'scene.glb' in place.written()


LATER = {
    24: ('backend', '--model-dir', 'models', '--gallery-dir', 'gallery'),
    25: ('gradio',),
    31: ('auto', SOH, '--use-backend'),
    34: ('gradio', '--model-dir', 'm', '--workspace-dir', 'w', '--gallery-dir', 'g'),
    35: ('streaming', '--image_dir', SOH, '--config', 'c.yaml', '--output_dir', 'output'),
    47: ('app', '--model-dir', 'models', '--port', '7860'),
}


def refused(result_text: str) -> None:
    """Check the line that says what to use instead."""
    (line,) = result_text.strip().splitlines()
    assert re.search('no such (command|option)', line, re.I) is None
    assert 'da3' in line


@row(24)
def backend(place: Place) -> None:
    answered(24, place)


@row(25)
def gradio(place: Place) -> None:
    answered(25, place)


@row(31)
def use_backend(place: Place) -> None:
    answered(31, place)


@row(34)
def gradio_and_gallery(place: Place) -> None:
    answered(34, place)
    answered(34, place, ('gallery', '--gallery-dir', 'gallery'))


@row(35)
def streaming(place: Place) -> None:
    answered(35, place)


@row(36)
def bench(place: Place) -> None:
    arguments = ['model.path=m', 'eval.datasets=[eth3d]', 'eval.modes=[pose]']
    place.patch.setattr(sys, 'argv', ['evaluator', *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module('da3_ros.bench.evaluator', run_name='__main__')
    assert ended.value.code == 2
    refused(place.screen.readouterr().err)


@row(47)
def app(place: Place) -> None:
    answered(47, place)


def answered(number: int, place: Place, arguments: tuple[str, ...] = ()) -> None:
    """Check that a command of a later issue ends with 2 and one line, and writes nothing."""
    before = place.written('.')
    result = invoke(*(arguments or LATER[number]))
    assert result.exit_code == 2
    # Of a command it is printed by itself, of an option by the runner.
    refused(result.stderr or place.screen.readouterr().err)
    assert place.written('.') == before


@row(26)
def mirror(place: Place) -> None:
    place.patch.delenv('HF_HUB_OFFLINE')
    place.patch.setenv('HF_ENDPOINT', 'http://127.0.0.1:9')
    with pytest.raises(Exception, match=r'http://127\.0\.0\.1:9') as caught:
        model('-ELSEWHERE')
    assert type(caught.value).__name__ == 'CheckpointError'


@row(28)
def out_of_memory(place: Place) -> None:
    """The official advice makes images larger; ours is an estimate, and smaller parts."""
    network = small()
    large, few = (network.estimate_memory(n, (504, 504)).total_bytes for n in (100, 2))
    assert large > few > 0
    infer(network, place, process_res_method='lower_bound_resize', allow_smaller=True)
    da3('images', SOH, '--export-dir', 'output', '--allow-smaller', *CPU)


@row(30)
def auto(place: Place) -> None:
    da3('auto', SOH, '--export-dir', './output', *CPU)
    assert 'scene.glb' in place.written()


@row(33)
def colmap(place: Place) -> None:
    da3('colmap', './colmap_data', '--sparse-subdir', '0', '--export-dir', 'output', *CPU)
    assert 'scene.glb' in place.written()
    assert da3_json('auto', './colmap_data', '--export-dir', 'auto', *CPU)['views'] == 3


@row(45)
def confidence_too(place: Place) -> None:
    small().save_pretrained('models')
    options = ('--model-dir', 'models', '--export-dir', 'output', '--export-format', 'glb')
    da3('auto', SOH, *options, '--save-conf', *CPU)
    assert {'scene.glb', 'conf/0000.npy'} <= place.written()


@row(46)
def features_of_a_video(place: Place) -> None:
    model('-GIANT').save_pretrained('models')
    command = (
        *('video', VIDEO, '--fps', '15', '--export-format', 'glb-feat_vis'),
        *('--feat-vis-fps', '15', '--process-res-method', 'lower_bound_resize'),
        *('--export-feat', '11,21,31', '--export-dir', 'output', *CPU),
    )
    da3(*command, '--model-dir', 'models')
    assert {
        'scene.glb',
        *(f'feat_vis/feat_layer_{n}.mp4' for n in (11, 21, 31)),
    } <= place.written()
    assert re.search(r'\[21, 31\].*0\.\.11', failure(*command[:-3], 'other', *CPU))
