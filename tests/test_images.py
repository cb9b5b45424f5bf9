"""Reading photographs: every common form. What cannot be read is in test_images_refused.py."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from encoded import DEEP, FORMATS, HIGH, as_pillow_has_it, encoded, grey_png, idat, ihdr, png, pnm, tiff
from PIL import Image, ImageOps, PngImagePlugin

from edge_sam.errors import InputError
from edge_sam.imaging.images import decode_image, encode_png, evenly_spaced, pictures, read_image


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


# What is read.


@pytest.mark.parametrize(("form", "tolerance"), [("PNG", 0), ("TIFF", 0), ("JPEG", 12), ("WEBP", 12), ("AVIF", 12)])
def test_reads_the_common_formats_as_rgb(picture: Image.Image, form: str, tolerance: int, tmp_path: Path) -> None:
    path = tmp_path / "photo"
    path.write_bytes(encoded(picture, form, **({"quality": 95} if tolerance else {})))
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.flags["C_CONTIGUOUS"]
    assert image.flags["WRITEABLE"]
    difference = np.abs(image.astype(int) - np.asarray(picture))
    assert np.percentile(difference, 95) <= tolerance
    assert np.abs(image.astype(int) - as_pillow_has_it(path.read_bytes())).max() <= (form == "WEBP")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_respects_the_exif_orientation(small: Image.Image, form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode_image(encoded(small, form, exif=exif), "photo")
    turns = dict(
        zip(
            range(2, 9),
            (
                Image.Transpose.FLIP_LEFT_RIGHT,
                Image.Transpose.ROTATE_180,
                Image.Transpose.FLIP_TOP_BOTTOM,
                Image.Transpose.TRANSPOSE,
                Image.Transpose.ROTATE_270,
                Image.Transpose.TRANSVERSE,
                Image.Transpose.ROTATE_90,
            ),
            strict=True,
        )
    )
    upright = np.asarray(small.transpose(turns[orientation]) if orientation > 1 else small)
    assert image.shape == upright.shape
    assert image.flags["C_CONTIGUOUS"]
    assert np.abs(image.astype(int) - upright).mean() < (0.1 if form in ("PNG", "TIFF") else 10)


def test_respects_an_orientation_in_odd_places(small: Image.Image) -> None:
    turned = np.asarray(small.transpose(Image.Transpose.ROTATE_270))
    xmp = PngImagePlugin.PngInfo()
    xmp.add_itxt("XML:com.adobe.xmp", '<rdf:Description tiff:Orientation="6"/>')
    assert (decode_image(encoded(small, "PNG", pnginfo=xmp), "photo") == turned).all()
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(small, "WEBP", exif=exif, lossless=True)
    start = data.index(b"EXIF")
    body = b"Exif\0\0" + exif.tobytes()[6:]
    chunk = b"EXIF" + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)
    data = data[:start] + chunk
    data = data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:]
    assert (decode_image(data, "photo") == turned).all()


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0junk of another kind", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"])
def test_damaged_metadata_do_not_matter(small: Image.Image, exif: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    for form in ("PNG", "WEBP"):
        assert decode_image(encoded(small, form, exif=exif, lossless=True), "photo").shape == (40, 60, 3)
    assert capfd.readouterr().err == ""


def test_grey_palette_and_alpha_become_rgb(picture: Image.Image) -> None:
    grey = decode_image(encoded(picture.convert("L"), "PNG"), "photo")
    assert grey.shape == (400, 600, 3)
    assert (grey == np.asarray(picture.convert("L"))[..., None]).all()
    assert (decode_image(encoded(picture.convert("RGBA"), "PNG"), "photo") == np.asarray(picture)).all()
    assert decode_image(encoded(picture.convert("LA"), "PNG"), "photo").shape == (400, 600, 3)
    palette = picture.convert("P")
    assert (decode_image(encoded(palette, "PNG"), "photo") == np.asarray(palette.convert("RGB"))).all()


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_dropped_and_uncovers_what_is_below(coffee: np.ndarray, form: str) -> None:
    hidden = np.dstack([coffee[:40, :60], np.zeros((40, 60), np.uint8)])
    data = encoded(Image.fromarray(hidden), form, **({"lossless": True, "exact": True} if form == "WEBP" else {}))
    assert (decode_image(data, "photo") == coffee[:40, :60]).all()


def test_transparency_of_a_palette_says_nothing(small: Image.Image, capfd: pytest.CaptureFixture[str]) -> None:
    palette = small.convert("P")
    for transparency in (bytes(range(256)), 7):
        data = encoded(palette, "PNG", transparency=transparency)
        assert (decode_image(data, "photo") == np.asarray(palette.convert("RGB"))).all()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (grey_png(DEEP[..., 0], 16), grey(HIGH[..., 0])),
        (png(ihdr(30, 20, 16, 2), (b"IDAT", idat(DEEP[..., :3], 16)), (b"IEND", b"")), HIGH[..., :3]),
        (png(ihdr(30, 20, 16, 6), (b"IDAT", idat(DEEP, 16)), (b"IEND", b"")), HIGH[..., :3]),
        (tiff(DEEP[..., :3], 16, photometric=2), HIGH[..., :3]),
        (tiff(DEEP[..., :3], 16, photometric=2, order=">"), HIGH[..., :3]),
        (tiff(DEEP[..., :3], 16, photometric=2, planar=True), HIGH[..., :3]),
        (tiff(DEEP[..., :3], 16, photometric=2, planar=True, order=">"), HIGH[..., :3]),
        (tiff(HIGH[..., :3], 8, photometric=2, planar=True), HIGH[..., :3]),
        (tiff(DEEP[..., 0], 16, photometric=1), grey(HIGH[..., 0])),
        (tiff(DEEP[..., 0], 16, photometric=1, order=">"), grey(HIGH[..., 0])),
        (tiff(DEEP[..., 0], 16, photometric=0), grey(255 - HIGH[..., 0])),
        (tiff(HIGH[..., 0], 8, photometric=0), grey(255 - HIGH[..., 0])),
        (tiff(DEEP[..., 0] >> 4, 12, photometric=1), grey(HIGH[..., 0])),
        (tiff(DEEP[..., 0] >> 12, 4, photometric=1), grey((DEEP[..., 0] >> 12) * 17)),
        (tiff(DEEP[..., 0] >> 14, 2, photometric=0), grey(255 - (DEEP[..., 0] >> 14) * 85)),
        (grey_png(DEEP[..., 0] >> 14, 2), grey((DEEP[..., 0] >> 14) * 85)),
        (pnm(DEEP[..., 0], 65535), grey(HIGH[..., 0])),
    ],
)
def test_any_depth_becomes_eight_bits(data: bytes, expected: np.ndarray) -> None:
    """Of 16 bits a channel the higher 8 are kept; fewer are stretched; white is white."""
    assert (decode_image(data, "photo") == expected).all()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", [False, True])
def test_cmyk_of_sixteen_bits(order: str, planar: bool) -> None:
    expected = np.asarray(Image.frombytes("CMYK", (30, 20), HIGH.tobytes()).convert("RGB"))
    assert (decode_image(tiff(DEEP, 16, photometric=5, order=order, planar=planar), "photo") == expected).all()


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("maximum", [1, 7, 100, 256, 1023, 4095, 65535])
def test_pnm_is_stretched_from_its_own_maximum(maximum: int, plain: bool) -> None:
    stored = DEEP[..., :3].astype(int) % (maximum + 1)
    image = decode_image(pnm(stored, maximum, plain=plain), "photo")
    assert np.abs(image - stored * (255 / maximum)).max() <= 1
    image = decode_image(pnm(stored[..., 0], maximum, plain=plain), "photo")
    assert np.abs(image - grey(stored[..., 0] * (255 / maximum))).max() <= 1


def test_sixteen_bit_apng_with_an_offset_frame() -> None:
    def frame(number: int, width: int, height: int, left: int, top: int) -> tuple[bytes, bytes]:
        sides = b"".join(value.to_bytes(4, "big") for value in (number, width, height, left, top))
        return b"fcTL", sides + b"\0\1\0\x0a\0\0"

    later = (2).to_bytes(4, "big") + idat(DEEP[:5, :6, :3], 16)
    data = png(
        ihdr(30, 20, 16, 2),
        (b"acTL", b"\0\0\0\2\0\0\0\0"),
        frame(0, 30, 20, 0, 0),
        (b"IDAT", idat(DEEP[..., :3], 16)),
        frame(1, 6, 5, 10, 11),
        (b"fdAT", later),
        (b"IEND", b""),
    )
    assert (decode_image(data, "photo") == HIGH[..., :3]).all()


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_pictures_the_first_is_taken(small: Image.Image, form: str) -> None:
    others = [ImageOps.invert(small)] * 2
    data = encoded(small, form, save_all=True, append_images=others, **({"lossless": True} if form == "WEBP" else {}))
    assert (decode_image(data, "photo") == as_pillow_has_it(data)).all()
    assert np.abs(decode_image(data, "photo").astype(int) - np.asarray(small)).mean() < 8


def test_cmyk_and_odd_jpegs_are_read_as_pillow_reads_them(small: Image.Image) -> None:
    plain = encoded(small, "JPEG")
    for data in (
        encoded(small.convert("CMYK"), "JPEG"),
        encoded(small.convert("L"), "JPEG"),
        encoded(small, "JPEG", progressive=True, subsampling=2),
        plain[:20] + b"\0\1\2" + plain[20:],  # Stray bytes before a marker.
    ):
        assert (decode_image(data, "photo") == as_pillow_has_it(data)).all()
    assert np.abs(decode_image(plain[:20] + b"\0\1\2" + plain[20:], "photo").astype(int) - np.asarray(small)).mean() < 8


def test_reads_standard_input(picture: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(encoded(picture, "PNG")))
    monkeypatch.setattr(sys, "stdin", stream)
    assert (read_image("-") == np.asarray(picture)).all()
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="standard input: it is closed"):
        read_image("-")


def test_a_jpeg_with_more_after_its_end_is_whole(picture: Image.Image) -> None:
    """Phones append videos and depth maps; thumbnails put a whole JPEG before the real one."""
    whole = encoded(picture, "JPEG", progressive=True, exif=_exif_with_thumbnail(picture))
    assert decode_image(whole + b"\xff\xda trailer without an end", "photo").shape == (400, 600, 3)


def _exif_with_thumbnail(picture: Image.Image) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010E] = encoded(picture.resize((60, 40)), "JPEG").decode("latin-1")  # Any field will do as its place.
    return exif


def test_png_round_trip(coffee: np.ndarray) -> None:
    assert (decode_image(encode_png(coffee), "photo") == coffee).all()


# HEIC.


@pytest.fixture
def heic(picture: Image.Image) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    pillow_heif.from_pillow(picture).save(buffer, quality=90, exif=exif.tobytes())
    return buffer.getvalue()


def test_heic_is_read_with_its_extra(heic: bytes, picture: Image.Image) -> None:
    image = decode_image(heic, "photo.jpg")
    assert np.abs(image.astype(int) - np.asarray(picture.transpose(Image.Transpose.ROTATE_270))).mean() < 6
    assert "HEIF" not in Image.OPEN  # Pillow is as it was for the rest of the program.


def test_heic_without_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0\0\0\x08meta"
    with pytest.raises(InputError, match=r'photo.jpg is HEIC; to read it: pip install "edge-sam\[heif\]"'):
        decode_image(data, "photo.jpg")


# Folders.


def test_a_folder_s_pictures_are_what_is_not_hidden(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "._a.png", ".thumbnail.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    assert [path.name for path in pictures(tmp_path)] == ["a.png", "b.JPG"]
    with pytest.raises(InputError, match=r"cannot read .*nowhere"):
        pictures(tmp_path / "nowhere")


def test_a_few_of_many_are_spread_over_all() -> None:
    assert evenly_spaced(range(7), 4) == [0, 2, 4, 6]
    assert evenly_spaced("abc", 5) == ["a", "b", "c"]
    assert evenly_spaced([], 4) == []
