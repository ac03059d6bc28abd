"""Flights through Gaussians as video, read by PyAV: frames, sizes, content, faults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
import os
from pathlib import Path
import resource
import subprocess
import sys
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
import pytest

from da3_ros.errors import ExportCancelledError, ExportError
from da3_ros.export import gs_video
from da3_ros.export import video_file as video_file_module
from da3_ros.export.gaussians import GaussianCloud
from da3_ros.export.gs_options import GsVideoOptions
from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import export_scene
from da3_ros.export.scene import ExportScene
from da3_ros.export.spectral import spectral
from da3_ros.export.splat_render import cpu_backend
from da3_ros.export.splat_types import PosedCamera, SplatImage, SplatRenderer
from da3_ros.export.video_file import VideoCoding, video_file
from da3_ros.geometry.camera import ImageSize
from da3_ros.synthetic import make_world
from da3_ros.types import ColourImage
from helpers.export_scenes import make_view, synthetic_scene
from helpers.gaussian_scenes import pixel_gaussians, with_gaussians

HEIGHT, WIDTH = 36, 48


def world_scene(size: ImageSize = ImageSize(HEIGHT, WIDTH)) -> ExportScene:
    """Return all six views of a small world, with Gaussians."""
    return with_gaussians(synthetic_scene(make_world(size=size)))


def exported(scene: ExportScene, folder: Path, **options: Any) -> Path:
    choice = ExportOptions(gs_video=GsVideoOptions(**{'trj_mode': 'original', **options}))
    (path,) = export_scene(scene, 'gs_video', folder, options=choice).files
    assert path.parent == folder.resolve() / 'gs_video'
    return path


def decoded(path: Path) -> list[ColourImage]:
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert stream.codec_context.name == 'h264'
        frames = list(container.decode(video=0))
        assert stream.average_rate == 24
        assert {frame.format.name for frame in frames} == {'yuv420p'}
        return [frame.to_ndarray(format='rgb24') for frame in frames]


def psnr_db(image: NDArray[Any], expected: NDArray[Any]) -> float:
    error = np.mean((image.astype(float) - expected.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / error))


def plain_backend(brightness: float = 1.0, depth: float = 2.0) -> Any:
    """Return a backend whose pictures are of one brightness and one depth."""

    def backend(cloud: GaussianCloud) -> SplatRenderer:
        def render(cameras: Sequence[PosedCamera]) -> list[SplatImage]:
            return [
                SplatImage(
                    np.full(
                        (c.camera.size.height, c.camera.size.width, 3), brightness, np.float32
                    ),
                    np.full((c.camera.size.height, c.camera.size.width), depth, np.float32),
                    np.ones((c.camera.size.height, c.camera.size.width), np.float32),
                )
                for c in cameras
            ]

        return render

    return backend


@pytest.mark.parametrize(
    ('place', 'height', 'width'),
    [(None, HEIGHT, WIDTH), ('hcat', HEIGHT, 2 * WIDTH + 8), ('vcat', 2 * HEIGHT + 8, WIDTH)],
)
def test_frames_have_the_layout_asked_for(
    tmp_path: Path, place: Any, height: int, width: int
) -> None:
    frames = decoded(exported(world_scene(), tmp_path, vis_depth=place))
    assert len(frames) == 6
    assert {frame.shape for frame in frames} == {(height, width, 3)}
    if place == 'hcat':
        assert frames[0][:, WIDTH + 2 : WIDTH + 6].min() > 235
    if place == 'vcat':
        assert frames[0][HEIGHT + 2 : HEIGHT + 6].min() > 235


def test_frames_show_what_the_cameras_saw(tmp_path: Path) -> None:
    scene = world_scene(ImageSize(72, 96))
    frames = decoded(exported(scene, tmp_path, vis_depth=None))
    for frame, view in zip(frames, scene.views, strict=True):
        camera = PosedCamera(view.world_from_camera, view.camera)
        (image,) = cpu_backend(pixel_gaussians(scene))([camera])
        drawn = np.clip(image.colour, 0, 1) * 255
        assert psnr_db(frame.mean(axis=2), drawn.mean(axis=2)) > 30
        # And that is the picture that was taken, blurred by the width of the Gaussians.
        assert psnr_db(frame[4:-4, 4:-4], view.image[4:-4, 4:-4]) > 18


@pytest.mark.parametrize(
    ('limit', 'shares'), [(16_000_000, (0.0, 0.5, 1.0)), (HEIGHT * WIDTH, (0.0, 1.0, 1.0))]
)
def test_depth_is_coloured_over_the_whole_video_by_its_logarithm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, shares: tuple[float, ...]
) -> None:
    """Depths 1, 2 and 4 take both ends and the middle, unless only the first one is asked."""
    monkeypatch.setattr(gs_video, '_MAX_VALUES', limit)
    remaining = iter((1.0, 2.0, 4.0))

    def backend(cloud: GaussianCloud) -> SplatRenderer:
        def render(cameras: Sequence[PosedCamera]) -> Iterator[SplatImage]:
            for camera in cameras:
                yield from plain_backend(0.5, next(remaining))(cloud)([camera])

        return render

    scene = world_scene()
    scene = with_gaussians(replace(scene, views=scene.views[:3]))
    frames = decoded(exported(scene, tmp_path, backend=backend))
    for frame, share in zip(frames, shares, strict=True):
        colour = frame[8:-8, WIDTH + 16 : -8].reshape(-1, 3).mean(axis=0)
        np.testing.assert_allclose(colour, spectral(np.array(share)), atol=6)
        np.testing.assert_allclose(frame[8:-8, 8 : WIDTH - 8].mean(), 127, atol=3)


def half_covered(cloud: GaussianCloud) -> SplatRenderer:
    """Depth 2 everywhere, of Gaussians that cover all on the left and half on the right."""

    def render(cameras: Sequence[PosedCamera]) -> Iterator[SplatImage]:
        for image in plain_backend()(cloud)(cameras):
            alpha = image.alpha.copy()
            alpha[:, WIDTH // 2 :] = 0.5
            yield replace(image, alpha=alpha)

    return render


@pytest.mark.parametrize(('mode', 'shares'), [('RGB+ED', (0.0, 0.0)), ('RGB+D', (1.0, 0.0))])
def test_depth_is_expected_or_accumulated(
    tmp_path: Path, mode: Any, shares: tuple[float, float]
) -> None:
    """Accumulated depth is 2 and 1; of one expected depth all is near."""
    frames = decoded(exported(world_scene(), tmp_path, backend=half_covered, color_mode=mode))
    shown = frames[0][:, WIDTH + 8 :]
    for part, share in zip((shown[:, : WIDTH // 2], shown[:, WIDTH // 2 :]), shares, strict=True):
        colour = part[4:-4, 4:-4].reshape(-1, 3).mean(axis=0)
        np.testing.assert_allclose(colour, spectral(np.array(share)), atol=6)


def test_a_progress_bar_is_shown_only_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for shown in (False, True):
        exported(world_scene(), tmp_path / str(shown), backend=plain_backend(), enable_tqdm=shown)
        assert ('6/6' in capsys.readouterr().err) == shown


def test_a_video_carries_the_caution_below_every_picture(tmp_path: Path) -> None:
    scene = replace(world_scene(), caution='random weights')
    frames = decoded(exported(scene, tmp_path, backend=plain_backend(), vis_depth=None))
    assert {frame.shape[0] > HEIGHT for frame in frames} == {True}
    assert frames[0][:HEIGHT].min() > 240


def test_pixels_without_gaussians_are_black(tmp_path: Path) -> None:
    for name, depth in (('none', 0.0), ('one', 2.0)):
        frames = decoded(
            exported(world_scene(), tmp_path / name, backend=plain_backend(0.0, depth))
        )
        right = frames[0][:, WIDTH + 12 :]
        assert (right.max() < 8) == (depth == 0)


@pytest.mark.parametrize(
    ('mode', 'frames', 'name'),
    [
        ('extend', 41 + 74, '0000_extend.mp4'),
        ('smooth', 6, '0000_smooth.mp4'),
        ('wander', 122, '0000_wander.mp4'),
        ('wobble', 30, '0000_wobble.mp4'),
    ],
)
def test_the_name_says_how_the_camera_moves(
    tmp_path: Path, mode: Any, frames: int, name: str
) -> None:
    # Six views: nine frames from each to the next, and twice 36 + 1 in the middle.
    path = exported(world_scene(), tmp_path, trj_mode=mode, backend=plain_backend())
    assert path.name == name
    assert len(decoded(path)) == frames


def test_a_single_view_wanders(tmp_path: Path) -> None:
    scene = world_scene()
    alone = replace(scene, views=scene.views[:1])
    alone = replace(alone, gaussians=pixel_gaussians(alone))
    report = export_scene(
        alone,
        'gs_video',
        tmp_path,
        options=ExportOptions(gs_video=GsVideoOptions(backend=plain_backend())),
    )
    assert [f.name for f in report.files] == ['0000_wander.mp4']
    assert len(decoded(report.files[0])) == 122


def test_given_cameras_and_size_are_used(tmp_path: Path) -> None:
    scene = world_scene()
    view = scene.views[3]
    camera = PosedCamera(view.world_from_camera, view.camera)
    path = exported(
        scene,
        tmp_path,
        cameras=(camera, camera),
        out_image_hw=(2 * HEIGHT, 2 * WIDTH),
        vis_depth=None,
        output_name='flight',
    )
    assert path.name == 'flight.mp4'
    frames = decoded(path)
    assert [frame.shape for frame in frames] == [(2 * HEIGHT, 2 * WIDTH, 3)] * 2
    (image,) = cpu_backend(pixel_gaussians(scene))(
        [camera.resized(ImageSize(2 * HEIGHT, 2 * WIDTH))]
    )
    assert psnr_db(frames[0].mean(axis=2), 255 * np.clip(image.colour, 0, 1).mean(axis=2)) > 30


@pytest.mark.parametrize('place', [None, 'hcat', 'vcat'])
def test_odd_sizes_get_one_row_and_one_column_more(tmp_path: Path, place: Any) -> None:
    path = exported(
        world_scene(), tmp_path, vis_depth=place, out_image_hw=(33, 45), backend=plain_backend()
    )
    expected = {None: (34, 46), 'hcat': (34, 98), 'vcat': (74, 46)}[place]
    assert {frame.shape[:2] for frame in decoded(path)} == {expected}


def test_better_quality_makes_larger_files_of_the_same_pictures(tmp_path: Path) -> None:
    scene = world_scene(ImageSize(72, 96))
    files = [
        exported(scene, tmp_path / quality, video_quality=quality)
        for quality in ('low', 'medium', 'high')
    ]
    sizes = [path.stat().st_size for path in files]
    assert sizes[0] < sizes[1] < sizes[2]
    low, _, high = (decoded(path)[0] for path in files)
    assert psnr_db(low, high) > 25


def test_the_chunk_size_and_a_second_run_change_nothing(tmp_path: Path) -> None:
    scene = world_scene()
    files = [
        exported(scene, tmp_path / str(size), chunk_size=size).read_bytes() for size in (1, 4, 99)
    ]
    assert files[0] == files[1] == files[2]


def test_memory_of_before_does_not_get_into_the_file(tmp_path: Path) -> None:
    """The C library fills fresh memory with what the variable says; the file must not show it."""
    code = (
        'import sys, numpy as np\n'
        'from pathlib import Path\n'
        'from da3_ros.export.video_file import VideoCoding, video_file\n'
        'from cv2 import GaussianBlur\n'
        'random = np.random.default_rng(0)\n'
        'with video_file(Path(sys.argv[1]), 24, VideoCoding(18, "slow")) as video:\n'
        '    for _ in range(6):\n'
        '        noise = random.integers(0, 255, (48, 96, 3), np.uint8)\n'
        '        video.add(GaussianBlur(noise, (0, 0), 2))\n'
    )
    contents = set()
    for fill in ('0', '85', '170'):
        path = tmp_path / f'{fill}.mp4'
        environment = {**os.environ, 'MALLOC_PERTURB_': fill}
        subprocess.run([sys.executable, '-c', code, str(path)], env=environment, check=True)
        contents.add(path.read_bytes())
    assert len(contents) == 1


def test_progress_tells_every_frame(tmp_path: Path) -> None:
    shares: list[float] = []
    export_scene(
        world_scene(),
        'gs_video',
        tmp_path,
        options=ExportOptions(
            gs_video=GsVideoOptions(trj_mode='original', backend=plain_backend(), chunk_size=2)
        ),
        progress=lambda share, name: shares.append(share),
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(set(shares)) == 1 + 6 + 1


def test_nothing_stays_of_a_video_cancelled_half_way(tmp_path: Path) -> None:
    rendered: list[int] = []

    def backend(cloud: GaussianCloud) -> SplatRenderer:
        render = plain_backend()(cloud)

        def counted(cameras: Sequence[PosedCamera]) -> Any:
            for camera in cameras:
                rendered.append(1)
                yield from render([camera])

        return counted

    with pytest.raises(ExportCancelledError):
        export_scene(
            world_scene(),
            'gs_video',
            tmp_path / 'out',
            options=ExportOptions(gs_video=GsVideoOptions(backend=backend)),
            cancelled=lambda: len(rendered) == 57,
        )
    assert len(rendered) == 57
    assert not (tmp_path / 'out').exists()


def test_a_disk_that_takes_no_more_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    """The kernel refuses every file beyond 64 bytes, as it refuses them on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        with pytest.raises(ExportError, match=r'cannot be written'):
            exported(world_scene(), tmp_path / 'out', backend=plain_backend())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / 'out').exists()


def test_a_failing_renderer_leaves_nothing(tmp_path: Path) -> None:
    def backend(cloud: GaussianCloud) -> SplatRenderer:
        def render(cameras: Sequence[PosedCamera]) -> list[SplatImage]:
            raise RuntimeError('out of memory')

        return render

    with pytest.raises(RuntimeError, match='out of memory'):
        exported(world_scene(), tmp_path / 'out', backend=backend)
    assert not (tmp_path / 'out').exists()


def test_a_scene_without_gaussians_says_who_has_them(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r'da3-giant and da3nested-giant-large .* infer_gs'):
        exported(ExportScene((make_view(),), is_metric=True), tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_a_library_without_the_encoder_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_file_module, '_ENCODER', 'libx264_of_nobody')
    with pytest.raises(ExportError, match=r'no encoder libx264_of_nobody.*pip install'):
        exported(world_scene(), tmp_path / 'out', backend=plain_backend())
    assert not (tmp_path / 'out').exists()


def test_a_video_needs_pictures_of_one_size(tmp_path: Path) -> None:
    coding = VideoCoding(23, 'medium')
    with video_file(tmp_path / 'a.mp4', 24, coding) as video:
        video.add(np.zeros((16, 16, 3), np.uint8))
        with pytest.raises(ExportError, match='expected pictures of'):
            video.add(np.zeros((16, 18, 3), np.uint8))
    with (
        pytest.raises(ExportError, match='at least one picture'),
        video_file(tmp_path / 'b.mp4', 24, coding),
    ):
        pass


@pytest.mark.parametrize(
    'wrong',
    [
        {'trj_mode': 'loop'}, {'vis_depth': 'left'}, {'video_quality': 'best'}, {'cameras': ()},
        {'out_image_hw': (0, 10)}, {'out_image_hw': (10, 100_000)}, {'out_image_hw': (10,)},
        {'chunk_size': 0}, {'output_name': ''}, {'output_name': '../up'}, {'output_name': '.x'},
        {'output_name': 'a/b'}, {'output_name': 'a\n'}, {'output_name': 'x' * 200},
    ],
)  # fmt: skip
def test_options_have_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ExportError, match=next(iter(wrong))):
        GsVideoOptions(**wrong)
