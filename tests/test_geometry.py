"""Geometry and preprocessing against the reference implementation's arithmetic."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_sam.errors import InputError
from edge_sam.imaging.geometry import Geometry
from edge_sam.imaging.preprocess import encoder_input, resize_bilinear

SIZES = [(480, 854), (854, 480), (321, 481), (512, 512), (3000, 4000), (1, 1), (1, 3000), (3000, 1), (37, 1001)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("long_side", [1024, 768, 512])
def test_sizes(size: tuple[int, int], long_side: int) -> None:
    geometry = Geometry(size, long_side=long_side)
    height, width = geometry.scaled_size
    assert max(height, width) == long_side
    assert min(height, width) >= 1
    rows, columns = geometry.token_size
    assert geometry.input_size == (rows * 16, columns * 16)
    assert 0 <= rows * 16 - height < 16
    assert 0 <= columns * 16 - width < 16
    assert Geometry(size, long_side=long_side, square=True).input_size == (1024, 1024)


def test_points_scale_by_each_axis_as_in_the_reference() -> None:
    geometry = Geometry((321, 481))
    assert geometry.scaled_size == (683, 1024)
    moved = geometry.to_frame(np.array([[480.0, 320.0]]))
    np.testing.assert_allclose(moved, [[480 * 1024 / 481, 320 * 683 / 321]], rtol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("long_side", [1024, 512])
def test_upsampling_samples_where_it_should(size: tuple[int, int], long_side: int) -> None:
    """A ramp over the frame must come back as the same ramp over the photograph, up to the last cell of its tokens."""
    geometry = Geometry(size, long_side=long_side)
    centres = (np.arange(256, dtype=np.float32) + 0.5) * 4
    x = geometry.upsample(np.tile(centres, (256, 1)))
    y = geometry.upsample(np.tile(centres[:, None], (1, 256)))
    assert x.shape == y.shape == size
    height, width = geometry.scaled_size
    expected_x = (np.arange(size[1]) + 0.5) * width / size[1]
    expected_y = (np.arange(size[0]) + 0.5) * height / size[0]
    last_y, last_x = (16 * tokens - 2 for tokens in geometry.token_size)
    np.testing.assert_allclose(x[0], np.clip(expected_x, 2, last_x), atol=0.01)
    np.testing.assert_allclose(y[:, 0], np.clip(expected_y, 2, last_y), atol=0.01)


@pytest.mark.parametrize("size", [size for size in SIZES if min(size) > 100])
@pytest.mark.parametrize("long_side", [1024, 256])
def test_a_mask_covers_tokens_as_its_logits_do(size: tuple[int, int], long_side: int) -> None:
    geometry = Geometry(size, long_side=long_side)
    logits = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(256, 256)), (0, 0), 12).astype(np.float32)
    rows, columns = (side // 4 for side in geometry.scaled_size)
    logits[rows:], logits[:, columns:] = -1, -1
    cover = geometry.cover_of(geometry.upsample(logits) > 0)
    assert cover.shape == geometry.token_size
    assert np.abs(cover - geometry.cover(logits)).max() < 0.3
    assert np.abs(cover - geometry.cover(logits)).mean() < 0.03


def test_cells_touching_covers_the_region_and_little_more() -> None:
    geometry = Geometry((480, 854))
    region = np.zeros((480, 854), dtype=bool)
    region[100:200, 300:500] = True
    cells = geometry.cells_touching(region)
    back = geometry.upsample(cells.astype(np.float32))
    assert (back[region] > 0).all()
    grown = cv2.dilate(region.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    assert not (back[~grown] > 0).any()


@pytest.mark.parametrize("long_side", [0, 8, 1000, 1040, -16])
def test_refuses_an_impossible_long_side(long_side: int) -> None:
    with pytest.raises(InputError, match="multiple of 16"):
        Geometry((10, 10), long_side=long_side)


def test_refuses_an_empty_image() -> None:
    with pytest.raises(InputError, match="empty"):
        Geometry((0, 10))


def triangle(length: int, onto: int) -> np.ndarray:
    """Weights (onto, length) of a triangle filter, widened where it reduces."""
    scale = length / onto
    centres = (np.arange(onto) + 0.5) * scale
    weights = np.maximum(1 - np.abs(np.arange(length) + 0.5 - centres[:, None]) / max(scale, 1), 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("size", [(683, 1024), (1024, 1536), (341, 512), (200, 300), (57, 86), (400, 600), (1, 1)])
def test_resizing_is_a_triangle_filter(coffee: np.ndarray, size: tuple[int, int]) -> None:
    exact = np.einsum("yh,hwc,xw->yxc", triangle(400, size[0]), coffee, triangle(600, size[1]), optimize=True)
    assert np.abs(resize_bilinear(coffee, size) - exact).max() <= 1.01  # Each of the two passes rounds.


def test_resizing_takes_any_view(coffee: np.ndarray) -> None:
    view = coffee[::-2, 3:400, ::-1]
    assert (resize_bilinear(view, (100, 300)) == resize_bilinear(view.copy(), (100, 300))).all()


def test_encoder_input_is_normalised_and_padded_with_zero(coffee: np.ndarray) -> None:
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    geometry = Geometry(coffee.shape[:2], square=True)
    tensor = encoder_input(coffee, geometry, mean, std)
    assert tensor.shape == (1, 3, 1024, 1024)
    assert tensor.dtype == np.float32
    assert not tensor[:, :, 683:].any()
    resized = resize_bilinear(coffee, (683, 1024))
    np.testing.assert_allclose(tensor[0, :, :683].transpose(1, 2, 0), (resized - mean) / np.array(std), atol=1e-5)


@pytest.mark.parametrize("size", [(37, 37), (64, 64), (100, 250), (200, 200), (400, 600), (3000, 4000), (1, 300)])
def test_the_whole_photograph_touches_every_cell(size: tuple[int, int]) -> None:
    assert Geometry(size).cells_touching(np.ones(size, dtype=bool)).all()


@pytest.mark.parametrize("size", [(37, 64), (480, 854), (3000, 4000)])
def test_cells_touching_against_brute_force(size: tuple[int, int]) -> None:
    geometry = Geometry(size)
    region = np.random.default_rng(0).random(size) > 0.999 if min(size) > 100 else np.eye(*size) > 0
    cells = geometry.cells_touching(region)
    height, width = geometry.scaled_size
    scale_y, scale_x = size[0] / height * 4, size[1] / width * 4
    for row, column in np.random.default_rng(1).integers(0, 256, (300, 2)):
        top, left = int(row * scale_y), int(column * scale_x)
        under = region[top : int(np.ceil((row + 1) * scale_y)), left : int(np.ceil((column + 1) * scale_x))]
        if top < size[0] and left < size[1]:
            assert cells[row, column] == under.any()
    assert not geometry.cells_touching(np.zeros(size, dtype=bool)).any()


def test_whole_frame_fills_up_with_background() -> None:
    logits = np.ones((2, 4, 144, 256), np.float32)
    whole = Geometry((338, 600)).whole_frame(logits)
    assert whole.shape == (2, 4, 256, 256)
    assert (whole[:, :, :144] == 1).all()
    assert (whole[:, :, 144:] < -10).all()
    square = np.zeros((1, 4, 256, 256), np.float32)
    assert Geometry((338, 600), square=True).whole_frame(square) is square


@pytest.mark.parametrize("long_side", [1024, 768, 512])
@pytest.mark.parametrize("size", [(480, 854), (854, 480), (321, 481)])
def test_tokens_to_the_photograph_and_back(size: tuple[int, int], long_side: int) -> None:
    geometry = Geometry(size, long_side=long_side)
    rows, columns = geometry.token_size
    logits = np.full((256, 256), -1, np.float32)
    logits[16:28, 8:24] = 1  # 3 rows of tokens from the 5th, 4 columns from the 3rd
    cover = geometry.cover(logits)
    assert cover.shape == (rows, columns)
    assert cover.sum() == 12
    assert (cover[4:7, 2:6] == 1).all()
    pixels = max(size) / long_side * 16
    box = geometry.box_of_tokens((slice(1, rows), slice(1, columns)), cover[1:, 1:] - np.float32(0.5))
    assert box is not None
    np.testing.assert_allclose(box, np.array([2, 4, 6, 7]) * pixels, atol=pixels / 4)
    np.testing.assert_allclose(geometry.tokens_of_box(box), [2, 4, 6, 7], atol=0.25)
    centres = geometry.centres_of_tokens(np.array([[4, 2], [rows - 1, columns - 1]]))
    np.testing.assert_allclose(centres[0], np.array([2.5, 4.5]) * pixels, atol=pixels / 16)
    assert (centres < size[::-1]).all()


def test_no_token_no_box() -> None:
    assert (
        Geometry((480, 854), long_side=512).box_of_tokens(
            (slice(0, 18), slice(0, 32)), np.full((18, 32), -1, np.float32)
        )
        is None
    )


def test_masks_reach_the_edge_of_a_photograph_of_whole_tokens() -> None:
    geometry = Geometry((1080, 1920))
    logits = np.full(geometry.logit_size, -18, np.float32)
    logits[:144, :100] = 5
    assert (geometry.upsample(logits)[-3:, :700] > 0).all()
