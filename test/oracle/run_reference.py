"""Run the upstream implementation on stored inputs, in an environment of its own.

Usage: python run_reference.py REQUEST.npz RESULT.npz

This file is no test and imports nothing of this project: `test_oracle.py` starts it with the
interpreter that `DA3_REFERENCE_PYTHON` names.
"""

import json
from pathlib import Path
import sys
from typing import Any

import numpy as np
import torch


def run_network(request: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Run a preset's network on given weights."""
    from depth_anything_3.cfg import create_object, load_config
    from safetensors.torch import load_file

    network = create_object(load_config(f'depth_anything_3.configs.{options["preset"]}')).eval()
    state = load_file(options['weights'])
    state = {name.removeprefix('model.'): value for name, value in state.items()}
    missing, unexpected = network.load_state_dict(state, strict=False)
    # Tied tensors are stored once.
    if unexpected or not all('output_conv2_aux' in name for name in missing):
        raise SystemExit(f'weights do not fit: missing {missing}, unexpected {unexpected}')
    cameras = [
        torch.from_numpy(request[name]) if name in request else None
        for name in ('extrinsics', 'intrinsics')
    ]
    output = network(
        torch.from_numpy(request['images']),
        *cameras,
        export_feat_layers=options.get('layers', []),
        ref_view_strategy=options.get('strategy', 'saddle_balanced'),
    )
    names = ('depth', 'depth_conf', 'sky', 'extrinsics', 'intrinsics')
    return {name: output[name].numpy() for name in names if name in output}


def run_adapter(request: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Place raw Gaussians in the world."""
    from depth_anything_3.model.gs_adapter import GaussianAdapter

    adapter = GaussianAdapter(sh_degree=2, pred_offset_depth=True, pred_offset_xy=True)
    tensors = {
        name: torch.from_numpy(request[name]) for name in request.files if name != 'options'
    }
    given = tensors.get('given')
    gaussians = adapter(
        extrinsics=tensors['extrinsics'],
        intrinsics=tensors['intrinsics'],
        depths=tensors['depth'],
        opacities=tensors['opacity'],
        raw_gaussians=tensors['raw'],
        image_shape=tuple(options['size']),
        gt_extrinsics=given,
    )
    names = ('means', 'scales', 'rotations', 'harmonics', 'opacities')
    return {name: getattr(gaussians, name).numpy() for name in names}


def main() -> None:
    """Read the request, run it, write the result."""
    request_path, result_path = (Path(argument) for argument in sys.argv[1:])
    torch.set_num_threads(1)
    with np.load(request_path) as request, torch.no_grad():
        options = json.loads(str(request['options']))
        run = run_adapter if options['kind'] == 'adapter' else run_network
        np.savez(result_path, **run(request, options))


if __name__ == '__main__':
    main()
