"""Photographs that cannot be read: each is refused in one clear line, whatever is wrong with it."""

from __future__ import annotations

import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from encoded import DEEP, FORMATS, HIGH, as_pillow_has_it, encoded, ihdr, png, pnm, read_or_why, tiff
from PIL import Image

from edge_sam.errors import InputError
from edge_sam.imaging import decoding
from edge_sam.imaging.images import decode_image, read_image

CASES = ROOT.parent / "shared" / "data" / "cases"


@pytest.mark.parametrize("form", [*FORMATS, "GIF", "BMP"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_refuses_a_truncated_file(small: Image.Image, form: str, kept: float) -> None:
    data = encoded(small, form)
    with pytest.raises(InputError, match=r"(?i)truncated|not an image|AVIF: Failed"):
        decode_image(data[: int(len(data) * kept)], "photo")


def twelve_bits(small: Image.Image) -> bytes:
    data = encoded(small, "JPEG")
    frame = data.index(b"\xff\xc0")
    return data[: frame + 4] + b"\x0c" + data[frame + 5 :]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"hello, world", "is not an image"),
        (b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n\0", "is not an image"),
        (png(ihdr(0, 10, 8, 2), (b"IDAT", b""), (b"IEND", b"")), r"no pixels.*\(0×10, 8 bits"),
        (png(ihdr(32, 32, 0, 2), (b"IDAT", b""), (b"IEND", b"")), r"no known kind \(32×32, 0 bits, colour type 2\)"),
        (png((b"IEND", b"")), "cannot be opened as PNG: it is truncated"),
        (b"\x89PNG\r\n\x1a\n", "PNG: it is truncated"),
        (b"MM\0*", "TIFF: its header is truncated"),
        (b"GIF89a\0\0\x20\0\0\0\0" + b"\x2c" + b"\0" * 20, r"no pixels.*\(0×32\)"),
        (png(ihdr(60_000, 60_000, 8, 2), (b"IEND", b"")), "60000×60000; the limit is 128 million"),
        (png(ihdr(11_000, 11_000, 8, 2), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")), "is truncated"),
        (png(ihdr(30, 20, 8, 2), (b"IDAT", b"\x78\x9c\xff\xff"), (b"IEND", b"")), "is damaged.*: broken data stream"),
        (tiff(DEEP[..., 0].astype(np.float32), 32, photometric=1, t339=3), "has floating-point pixels"),
        (tiff(DEEP[..., 0].astype(np.float16), 16, photometric=1, t339=3), "floating-point samples of 16 bits"),
        (tiff(DEEP[..., :3].astype(np.float32), 32, photometric=2, t339=3), r"RGB, floating-point samples of 32\+32"),
        (tiff(np.dstack([HIGH, HIGH[..., 0]]), 8, photometric=1), r"unsigned samples of 8\+8\+8\+8\+8 bits"),
        (tiff(HIGH[..., 0], 8, photometric=3), "tag or value 320 is missing or unknown"),
        (tiff(np.zeros((1, 1, 9), np.uint8), 8, photometric=1), r"samples of (8\+){7}8 bits"),
        (tiff(DEEP[..., 0].astype(np.int16), 16, photometric=1, t339=2), "has 16-bit signed pixels"),
        (tiff(DEEP[..., 0].astype(np.uint32), 32, photometric=1), "has 32-bit pixels"),
        (tiff(HIGH[..., 0], 8, photometric=1, t259=50001), r"TIFF \(webp\) of a kind that Pillow cannot decode"),
        (b"Pf\n2 1\n-1.0\n" + bytes(8), "has floating-point pixels"),
        (pnm(DEEP[..., :3] % 7, 7)[:-1], "is truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "is EPS, a drawing"),
    ],
)
def test_refuses_what_is_no_photograph(data: bytes, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=message) as caught:
        decode_image(data, "photo")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_refuses_a_jpeg_of_twelve_bits(small: Image.Image) -> None:
    with pytest.raises(InputError, match="JPEG: cannot handle 12-bit layers"):
        decode_image(twelve_bits(small), "photo")


def test_refuses_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read image .*No such file"):
        read_image(tmp_path / "absent.jpg")
    with pytest.raises(InputError, match="cannot read image"):
        read_image(tmp_path)
    with pytest.raises(InputError, match="cannot read image"):
        read_image("a\0b")


# Damage.


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """Cut it short, change some bytes, or leave some out."""
    broken, way = bytearray(data), random.integers(3)
    if way == 0:
        del broken[random.integers(len(broken)) :]
    elif way == 1:
        for place in random.integers(0, min(len(broken), random.choice([100, 1 << 30])), 4):
            broken[place] = random.integers(256)
    else:
        start = random.integers(len(broken))
        del broken[start : start + random.integers(1, 100)]
    return bytes(broken)


SORTS: dict[str, Callable[[Image.Image], bytes]] = {
    "jpeg": lambda image: encoded(image, "JPEG"),
    "progressive": lambda image: encoded(image, "JPEG", progressive=True),
    "png": lambda image: encoded(image, "PNG"),
    "palette": lambda image: encoded(image.convert("P"), "PNG", transparency=bytes(256)),
    "webp": lambda image: encoded(image, "WEBP"),
    "avif": lambda image: encoded(image, "AVIF"),
    "gif": lambda image: encoded(image, "GIF"),
    "bmp": lambda image: encoded(image, "BMP"),
    "jp2": lambda image: encoded(image, "JPEG2000"),
    "tiff": lambda image: encoded(image, "TIFF"),
    "tiff lzw": lambda image: encoded(image, "TIFF", compression="tiff_lzw"),
    "tiff jpeg": lambda image: encoded(image, "TIFF", compression="jpeg"),
    "tiff fax": lambda image: encoded(image.convert("1"), "TIFF", compression="group4"),
    "pgm": lambda image: pnm(np.asarray(image.convert("L")) // 2, 127),
}


@pytest.mark.parametrize("sort", SORTS)
def test_damage_is_one_clear_error_and_nothing_else(
    sort: str, small: Image.Image, capfd: pytest.CaptureFixture[str]
) -> None:
    data, random = SORTS[sort](small), np.random.default_rng(len(sort))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        results = [read_or_why(damaged(data, random)) for _ in range(60)]
    reasons = [result for result in results if isinstance(result, str)]
    assert len(reasons) > 10
    assert not [reason for reason in reasons if "\n" in reason]
    assert {result.shape[2] for result in results if isinstance(result, np.ndarray)} <= {3}
    assert capfd.readouterr().err == ""


def test_warnings_of_others_are_left_alone(small: Image.Image) -> None:
    """Threads that read at the same time put Python's filters back as they were, and mute nobody else's."""
    data, before = encoded(small, "PNG"), warnings.filters[:]
    threads = [threading.Thread(target=lambda: [decode_image(data, "photo") for _ in range(50)]) for _ in range(4)]
    with decoding.open_picture(data, "photo"):
        with pytest.warns(UserWarning, match="mine"):
            warnings.warn("mine", UserWarning, stacklevel=1)
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before


@pytest.mark.skipif(not CASES.is_dir(), reason="no shared/data/cases beside the project")
@pytest.mark.parametrize("path", sorted(CASES.glob("*")), ids=lambda path: path.name)
@pytest.mark.filterwarnings("ignore")
def test_files_that_break_readers(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each opens as Pillow opens it, or Pillow does not open it either; in one line, and all else is silent."""
    data = path.read_bytes()
    result = read_or_why(data)
    assert capfd.readouterr().err == ""
    try:
        expected = as_pillow_has_it(data)
    except Exception:
        expected = None
    if isinstance(result, str):
        assert expected is None
        assert "\n" not in result
    elif path.suffix == ".heic":  # Which Pillow alone does not know.
        assert result.shape == (720, 1280, 3)
    else:
        np.testing.assert_array_equal(result, expected)


def test_a_large_picture_that_pillow_decodes_in_python_is_refused() -> None:
    header = struct.pack("<IiiHHIIiiII", 40, 3000, 2000, 1, 8, 1, 4, 0, 0, 1, 0)  # Run lengths of 8 bits.
    data = b"BM" + struct.pack("<IHHI", 62, 0, 0, 58) + header + bytes(4) + bytes([0, 1, 0, 1])
    with pytest.raises(InputError, match="3000×2000 BMP of a kind that is slow to decode"):
        decode_image(data, "runs.bmp")
