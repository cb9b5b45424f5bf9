"""Hypothesis: what holds for every geometry, prompt, RLE and manifest, and not only for the examples of other tests."""

from __future__ import annotations

import json
import pickle
import string
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from edge_sam import InputError, Prompt
from edge_sam.bundles import manifest
from edge_sam.bundles.bundle import BUNDLED
from edge_sam.bundles.contract import Role
from edge_sam.bundles.manifest import MANIFEST, Manifest, parse_manifest
from edge_sam.imaging.geometry import BACKGROUND, CELL, LOGITS, Geometry
from edge_sam.imaging.masks import decode_rle, encode_rle, run_lengths, uncompress_rle
from edge_sam.imaging.view import FRAME, TOKEN, Fit
from edge_sam.prompts import combine, decoder_points

T = TypeVar("T")
LONG_SIDES = st.integers(1, FRAME // TOKEN).map(lambda tokens: tokens * TOKEN)


def geometries(largest: int) -> st.SearchStrategy[Geometry]:
    sides = st.integers(1, largest)
    padded = st.builds(Geometry, st.tuples(sides, sides), long_side=LONG_SIDES, square=st.booleans())
    return padded | st.builds(
        Geometry,
        st.tuples(sides, sides),
        long_side=st.integers(1, 32).map(lambda units: 32 * units),
        square=st.booleans(),
        fit=st.just(Fit(padded=False, multiple=32)),
    )


ANY, SMALL = geometries(8000), geometries(120)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


def accepted(make: Callable[[], T]) -> T | None:
    """What `make` returns, or None where it raises an `InputError` of one line."""
    message = ""
    try:
        return make()
    except InputError as error:
        message = str(error)
    assert len(message.splitlines()) == 1
    return None


def pixels_of(geometry: Geometry) -> st.SearchStrategy[tuple[int, int]]:
    """XY of a pixel of the photograph."""
    height, width = geometry.image_size
    return st.tuples(st.integers(0, width - 1), st.integers(0, height - 1))


def intervals(length: int) -> st.SearchStrategy[tuple[int, int]]:
    """Two different edges, in order."""
    return st.tuples(st.integers(0, length), st.integers(0, length)).filter(lambda ends: ends[0] < ends[1])


# Geometry.


@given(ANY)
def test_the_photograph_fills_the_long_side_and_keeps_its_shape(geometry: Geometry) -> None:
    (height, width), (high, wide) = geometry.image_size, geometry.scaled_size
    unit, whole = (1, geometry.square) if geometry.fit.padded else (32, False)
    assert max(high, wide) == geometry.long_side
    exact = geometry.long_side / max(height, width)
    for length, scaled in ((height, high), (width, wide)):
        if geometry.square and not geometry.fit.padded:
            assert scaled == geometry.long_side
        else:
            assert scaled % unit == 0
            assert scaled == unit or abs(scaled - length * exact) <= unit / 2
    for scaled, cells, tokens in zip(geometry.scaled_size, geometry.cell_size, geometry.token_size, strict=True):
        assert 0 <= cells * CELL - scaled < CELL
        assert tokens == FRAME // TOKEN if whole else 0 <= tokens * TOKEN - scaled < TOKEN
    assert geometry.input_size == tuple(tokens * TOKEN for tokens in geometry.token_size)
    frame = (FRAME, FRAME) if geometry.fit.padded else geometry.input_size
    assert geometry.grid_size == tuple(side // TOKEN for side in frame)
    assert geometry.logit_size == tuple(side // CELL for side in frame)


@given(ANY, st.data())
def test_points_keep_their_place_in_the_frame(geometry: Geometry, data: st.DataObject) -> None:
    (height, width), (high, wide) = geometry.image_size, geometry.scaled_size
    points = np.array(data.draw(st.lists(pixels_of(geometry), min_size=1, max_size=5)), np.float64)
    framed = geometry.to_frame(points)
    assert framed.dtype == np.float32
    np.testing.assert_allclose(framed, points * (wide / width, high / height), rtol=1e-6)
    np.testing.assert_allclose(geometry.to_frame(np.array([width, height], np.float64)), (wide, high), rtol=1e-6)
    for side, limit in ((CELL, geometry.cell_size), (TOKEN, geometry.token_size)):
        rows, columns = geometry.squares_at(points, side)
        for squares, place, end in ((rows, framed[:, 1], limit[0]), (columns, framed[:, 0], limit[1])):
            assert (squares < end).all()
            assert (squares * side <= place).all()
            assert (place < (squares + 1) * side).all()


@given(ANY, st.data())
def test_the_centre_of_a_token_lies_in_that_token(geometry: Geometry, data: st.DataObject) -> None:
    rows, columns = geometry.token_size
    token = np.array([data.draw(st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1)))], np.intp)
    (height, width), centre = geometry.image_size, geometry.centres_of_tokens(token)
    assert (centre >= 0).all()
    assert (centre <= (width - 1, height - 1)).all()
    inside = centre[0] < (width - 1, height - 1)  # Not moved there from beyond the photograph.
    found = np.concatenate(geometry.squares_at(centre, TOKEN))
    assert (found == token[0])[inside[::-1]].all()


@given(ANY, st.data())
def test_a_box_of_tokens_comes_back(geometry: Geometry, data: st.DataObject) -> None:
    rows, columns = (-(-scaled // TOKEN) for scaled in geometry.scaled_size)  # Those that see the photograph.
    (top, bottom), (left, right) = data.draw(intervals(rows)), data.draw(intervals(columns))
    first_row, first_column = data.draw(st.integers(0, top)), data.draw(st.integers(0, left))
    shares = np.full((rows - first_row, columns - first_column), -0.5, np.float32)
    shares[top - first_row : bottom - first_row, left - first_column : right - first_column] = 0.5
    box = geometry.box_of_tokens((slice(first_row, rows), slice(first_column, columns)), shares)
    assert box is not None
    assert (box >= 0).all()
    assert (box.reshape(2, 2) <= geometry.image_size[::-1]).all()
    high, wide = (scaled / TOKEN for scaled in geometry.scaled_size)
    expected = [left, top, min(right, wide), min(bottom, high)]
    np.testing.assert_allclose(geometry.tokens_of_box(box), expected, atol=1e-4)


@given(SMALL, st.data())
def test_every_pixel_touches_its_cell_and_is_covered_by_it(geometry: Geometry, data: st.DataObject) -> None:
    x, y = data.draw(pixels_of(geometry))
    region = np.zeros(geometry.image_size, np.bool_)
    region[y, x] = True
    cells = geometry.cells_touching(region)
    (row,), (column,) = geometry.squares_at(np.array([[x + 0.5, y + 0.5]]), CELL)
    assert cells.shape == geometry.logit_size
    assert cells[row, column]
    assert geometry.upsample(cells.astype(np.float32))[y, x] > 0


@given(SMALL, st.floats(-20, 20, width=32))
def test_a_flat_map_stays_flat(geometry: Geometry, value: float) -> None:
    upsampled = geometry.upsample(np.full(geometry.logit_size, value, np.float32))
    assert upsampled.shape == geometry.image_size
    np.testing.assert_allclose(upsampled, value, rtol=1e-6)


@given(SMALL)
def test_a_mask_of_everything_covers_the_photograph(geometry: Geometry) -> None:
    cover = geometry.cover_of(np.ones(geometry.image_size, np.bool_))
    assert cover.shape == geometry.token_size
    assert cover.sum() * TOKEN**2 == pytest.approx(np.prod(geometry.scaled_size), rel=1e-5)
    assert cover.max() <= 1


@given(SMALL, st.data())
def test_logits_survive_in_the_whole_frame(geometry: Geometry, data: st.DataObject) -> None:
    rows, columns = (tokens * TOKEN // CELL for tokens in geometry.token_size)
    seed, leading = data.draw(st.integers(0, 99)), data.draw(st.sampled_from([(), (1,), (2, 3)]))
    logits = np.random.default_rng(seed).normal(size=(*leading, rows, columns)).astype(np.float32)
    whole = geometry.whole_frame(logits)
    assert whole.shape == (*leading, *geometry.logit_size)
    np.testing.assert_array_equal(whole[..., :rows, :columns], logits)
    assert (whole[..., rows:, :] == BACKGROUND).all()
    assert (whole[..., columns:] == BACKGROUND).all()
    one = whole.reshape(-1, *geometry.logit_size)[-1]
    assert geometry.cover(one).sum() * (TOKEN // CELL) ** 2 == np.count_nonzero(one > 0)


# Prompts.

IMAGE = Geometry((480, 854))
POINTS = st.lists(pixels_of(IMAGE), max_size=4)
COORDINATE = st.floats(-1e6, 1e6)
NUMBERS = st.integers(-3, 900) | st.floats(-3, 900)
ALMOST_A_PROMPT = st.fixed_dictionaries(
    {},
    optional={
        "points": JSON | st.lists(st.lists(NUMBERS, min_size=1, max_size=3), max_size=4),
        "labels": JSON | st.lists(st.integers(-1, 2), max_size=4),
        "box": JSON | st.lists(NUMBERS, min_size=3, max_size=5),
        "mask": JSON,
    },
)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, float, float, float]:
    """A box that has a part in the photograph."""
    height, width = IMAGE.image_size
    x0, y0 = draw(st.integers(-50, width - 1)), draw(st.integers(-50, height - 1))
    return x0, y0, draw(st.integers(max(x0, 0) + 1, 2 * width)), draw(st.integers(max(y0, 0) + 1, 2 * height))


@st.composite
def prompts(draw: st.DrawFn) -> Prompt:
    points, box = draw(POINTS), draw(st.none() | boxes())
    labels = draw(st.none() | st.lists(st.integers(0, 1), min_size=len(points), max_size=len(points)))
    mask = draw(st.none() | st.just(np.zeros((LOGITS, LOGITS), np.float32)))
    assume(points or box or mask is not None)
    return Prompt(points, labels, box, mask)


@given(ALMOST_A_PROMPT)
def test_anything_is_a_prompt_or_an_input_error(values: dict[str, Any]) -> None:
    prompt = accepted(lambda: Prompt(**values))
    if prompt is None:
        return
    assert pickle.loads(pickle.dumps(prompt)) == prompt
    tensors = accepted(lambda: decoder_points([prompt], IMAGE))
    assert tensors is None or tensors[1].shape == (1, prompt.size)


@given(st.lists(prompts(), max_size=4))
def test_a_prompt_s_tensors_do_not_depend_on_its_neighbours(several: list[Prompt]) -> None:
    coords, labels = decoder_points(several, IMAGE)
    longest = max((prompt.size for prompt in several), default=1)
    assert (coords.shape, labels.shape) == ((len(several), longest, 2), (len(several), longest))
    assert coords.dtype == np.float32
    assert labels.dtype == np.int64
    assert (coords >= 0).all()
    assert (coords <= IMAGE.scaled_size[::-1]).all()
    for prompt, points, kinds in zip(several, coords, labels, strict=True):
        (alone,), (own,) = decoder_points([prompt], IMAGE)
        np.testing.assert_array_equal(points[: prompt.size], alone)
        np.testing.assert_array_equal(kinds[: prompt.size], own)
        assert not points[prompt.size :].any()
        assert (kinds[prompt.size :] == -2).all()
        given_points = 0 if prompt.points is None else len(prompt.points)
        assert (kinds >= 2).sum() == (0 if prompt.box is None else 2)
        assert (kinds == -1).sum() == (given_points > 0 and prompt.box is None)
        assert np.isin(kinds, (0, 1)).sum() == given_points


@given(prompts())
def test_a_prompt_without_a_mask_can_be_read_from_its_repr(prompt: Prompt) -> None:
    assume(prompt.mask is None)
    again = eval(repr(prompt), {"Prompt": Prompt})
    assert again == prompt
    assert hash(again) == hash(prompt)


@given(st.tuples(COORDINATE, COORDINATE))
def test_a_point_is_accepted_on_the_photograph_only(point: tuple[float, float]) -> None:
    height, width = IMAGE.image_size
    inside = 0 <= point[0] < width and 0 <= point[1] < height
    assert (accepted(lambda: decoder_points([Prompt(points=[point])], IMAGE)) is not None) == inside


@given(POINTS, st.lists(boxes(), max_size=3))
def test_what_is_combined_is_all_there(points: list[Sequence[float]], given_boxes: list[Sequence[float]]) -> None:
    if points and len(given_boxes) > 1:
        with pytest.raises(InputError, match="several boxes"):
            combine(points, None, given_boxes)
        return
    made = combine(points, None, given_boxes)
    assert len(made) == max(len(given_boxes), bool(points))
    assert [prompt.box.tolist() for prompt in made if prompt.box is not None] == [list(box) for box in given_boxes]
    assert [list(point) for prompt in made if prompt.points is not None for point in prompt.points] == [
        list(point) for point in points
    ]


# RLE.

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40))
COUNTS = (
    st.text(max_size=12)
    | st.binary(max_size=12)
    | st.text("0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmno", max_size=12)
    | st.lists(st.integers(-3, 60) | st.integers(), max_size=6)
)


@given(MASKS)
def test_a_mask_comes_back_from_its_rle(mask: np.ndarray) -> None:
    rle = encode_rle(mask)
    np.testing.assert_array_equal(decode_rle(rle), mask)
    np.testing.assert_array_equal(decode_rle(uncompress_rle(rle)), mask)
    np.testing.assert_array_equal(decode_rle({**rle, "counts": rle["counts"].encode()}), mask)
    np.testing.assert_array_equal(coco.decode(rle), mask)
    lengths = run_lengths(rle)
    assert lengths.sum() == mask.size
    assert lengths[1::2].sum() == mask.sum()
    assert (lengths[1:] > 0).all()


@given(COUNTS, st.tuples(st.integers(-2, 12), st.integers(-2, 12)))
def test_counts_fill_the_picture_or_are_an_input_error(counts: Any, size: tuple[int, int]) -> None:
    lengths = accepted(lambda: run_lengths({"size": size, "counts": counts}))
    if lengths is None:
        return
    assert lengths.min() >= 0
    assert lengths.sum() == size[0] * size[1] > 0
    mask = decode_rle({"size": size, "counts": counts})
    assert mask.shape == size
    assert mask.sum() == lengths[1::2].sum()


# Manifests.

BUNDLED_MANIFEST: dict[str, Any] = json.loads((BUNDLED / "mobile-sam" / MANIFEST).read_bytes())
"""The manifest of the model that comes with the package."""
WORD = st.text(max_size=6)
FIGURE = st.floats(allow_nan=False, allow_infinity=False)
COUNT = st.integers(1, 2**53)
DIGEST = st.text("0123456789abcdef", min_size=64, max_size=64)
FILE = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)
SPECS = st.lists(
    st.builds(manifest.TensorSpec, WORD, WORD, st.lists(st.integers(0, 2**31) | WORD, max_size=4).map(tuple)),
    max_size=2,
).map(tuple)
COMPONENTS = st.builds(
    manifest.Component,
    role=st.sampled_from(get_args(Role)),
    precision=WORD,
    format=WORD,
    file=FILE,
    sha256=DIGEST,
    bytes=COUNT,
    opset=st.none() | COUNT,
    inputs=SPECS,
    outputs=SPECS,
    companion=st.none() | st.builds(manifest.Companion, FILE, DIGEST, COUNT),
)
MANIFESTS = st.builds(
    Manifest,
    schema=st.just(manifest.SCHEMA),
    name=WORD,
    family=st.from_regex(r"\A[a-z0-9]{1,4}(-[a-z0-9]{1,4}){0,2}\Z"),
    source=st.builds(manifest.CheckpointSource, WORD, DIGEST, WORD, WORD),
    made_by=st.builds(manifest.MadeBy, WORD, st.dictionaries(WORD, WORD, max_size=2)),
    frame=st.just(FRAME),
    pixel_mean=st.tuples(*[st.floats(0, 255)] * 3),
    pixel_std=st.tuples(*[st.floats(0, 255, exclude_min=True)] * 3),
    components=st.lists(COMPONENTS, max_size=3, unique_by=lambda c: (c.role, c.precision, c.format)).map(tuple),
    measured=st.lists(
        st.builds(manifest.Measured, WORD, WORD, WORD, st.dictionaries(WORD, FIGURE, max_size=2)), max_size=2
    ).map(tuple),
    calibrations=st.lists(
        st.builds(manifest.Calibration, WORD, WORD, WORD, WORD, st.integers(-9, 9), COUNT, DIGEST), max_size=2
    ).map(tuple),
)


def read(text: bytes) -> Manifest | None:
    """Parse a manifest; None where it is refused."""
    return accepted(lambda: parse_manifest(text, "b"))


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to every value of a document."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in pairs for place in places(inner, (*path, key)))]


PLACES = [place for place in places(BUNDLED_MANIFEST) if place]


@given(MANIFESTS)
def test_a_manifest_comes_back(manifest: Manifest) -> None:
    assert read(msgspec.json.encode(manifest)) == manifest
    twice = msgspec.structs.replace(manifest, components=manifest.components * 2)
    assert (read(msgspec.json.encode(twice)) is None) == bool(manifest.components)


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_manifest_is_an_input_error(text: bytes) -> None:
    assert read(text) is None


@given(st.sampled_from(PLACES), JSON)
def test_a_manifest_with_anything_in_one_place_is_read_or_refused(place: tuple[Any, ...], value: Any) -> None:
    document = json.loads(json.dumps(BUNDLED_MANIFEST))
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    manifest = read(json.dumps(document).encode())
    if manifest is not None:
        assert read(msgspec.json.encode(manifest)) == manifest
