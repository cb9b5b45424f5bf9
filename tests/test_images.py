"""Reading photographs: every common form, and every common fault."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edge_sam.errors import InputError
from edge_sam.images import decode_image, encode_png, pictures, read_image, spread


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.fixture
def picture(coffee: np.ndarray) -> Image.Image:
    return Image.fromarray(coffee)


@pytest.mark.parametrize(("form", "tolerance"), [("PNG", 0), ("TIFF", 0), ("JPEG", 12), ("WEBP", 12)])
def test_reads_the_common_formats_as_rgb(picture: Image.Image, form: str, tolerance: int, tmp_path: Path) -> None:
    path = tmp_path / "photo"
    path.write_bytes(encoded(picture, form, **({"quality": 95} if form in ("JPEG", "WEBP") else {})))
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.flags["C_CONTIGUOUS"]
    difference = np.abs(image.astype(int) - np.asarray(picture))
    assert np.percentile(difference, 95) <= tolerance


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_respects_the_exif_orientation(picture: Image.Image, form: str, orientation: int) -> None:
    if form == "WEBP" and tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 13):
        pytest.skip("this OpenCV does not apply the orientation in WebP")
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode_image(encoded(picture, form, exif=exif), "photo")
    turns = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90}
    upright = np.asarray(picture.transpose(turns[orientation]))
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).mean() < 6


def test_grey_palette_and_alpha_become_rgb(picture: Image.Image) -> None:
    grey = decode_image(encoded(picture.convert("L"), "PNG"), "photo")
    assert grey.shape == (400, 600, 3)
    assert (grey == np.asarray(picture.convert("L"))[..., None]).all()
    assert (decode_image(encoded(picture.convert("RGBA"), "PNG"), "photo") == np.asarray(picture)).all()
    assert decode_image(encoded(picture.convert("LA"), "PNG"), "photo").shape == (400, 600, 3)
    palette = picture.convert("P")
    assert (decode_image(encoded(palette, "PNG"), "photo") == np.asarray(palette.convert("RGB"))).all()


@pytest.mark.parametrize("form", [".png", ".tiff"])
def test_sixteen_bits_become_eight(coffee: np.ndarray, form: str) -> None:
    deep = cv2.imencode(form, coffee[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    assert (decode_image(deep, "photo") == coffee).all()


def test_reads_standard_input(picture: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(encoded(picture, "PNG")))
    monkeypatch.setattr(sys, "stdin", stream)
    assert (read_image("-") == np.asarray(picture)).all()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_refuses_a_truncated_file(picture: Image.Image, form: str, kept: float) -> None:
    data = encoded(picture, form)
    with pytest.raises(InputError, match=r"truncated|not an image"):
        decode_image(data[: int(len(data) * kept)], "photo")


def test_a_jpeg_with_more_after_its_end_is_whole(picture: Image.Image) -> None:
    """Phones append videos and depth maps; thumbnails put a whole JPEG before the real one."""
    whole = encoded(picture, "JPEG", progressive=True, exif=_exif_with_thumbnail(picture))
    assert decode_image(whole + b"\xff\xda trailer without an end", "photo").shape == (400, 600, 3)
    with pytest.raises(InputError, match="truncated"):
        decode_image(whole[:-2], "photo")


def _exif_with_thumbnail(picture: Image.Image) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010E] = encoded(picture.resize((60, 40)), "JPEG").decode("latin-1")  # Any field will do as its place.
    return exif


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"hello, world", "is not an image"),
        (png_header(0, 10), r"no pixels \(0×10\)"),
        (png_header(60_000, 60_000), "60000×60000; the limit is 200 million"),
        (png_header(3000, 3000), "truncated or damaged"),
    ],
)
def test_refuses_what_is_no_photograph(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode_image(data, "photo")


def test_refuses_floating_point_pixels(coffee: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "float.tiff"
    cv2.imwrite(str(path), coffee.astype(np.float32))
    with pytest.raises(InputError, match="float32 pixels"):
        read_image(path)
    cv2.imwrite(str(path), coffee[..., 0].astype(np.float32))
    with pytest.raises(InputError, match="float32 pixels"):
        read_image(path)


def test_refuses_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read image .*No such file"):
        read_image(tmp_path / "absent.jpg")
    with pytest.raises(InputError, match="cannot read image"):
        read_image(tmp_path)
    with pytest.raises(InputError, match="cannot read image"):
        read_image("a\0b")


def test_png_round_trip(coffee: np.ndarray) -> None:
    assert (decode_image(encode_png(coffee), "photo") == coffee).all()


# Folders.


def test_a_folder_s_pictures_are_what_is_not_hidden(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "._a.png", ".thumbnail.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    assert [path.name for path in pictures(tmp_path)] == ["a.png", "b.JPG"]
    with pytest.raises(InputError, match=r"cannot read .*nowhere"):
        pictures(tmp_path / "nowhere")


def test_a_few_of_many_are_spread_over_all() -> None:
    assert spread(range(7), 4) == [0, 2, 4, 6]
    assert spread("abc", 5) == ["a", "b", "c"]
    assert spread([], 4) == []
