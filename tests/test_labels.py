"""Label images: the numbers in the file, whatever it is and wherever it is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scenes
from encoded import encoded, grey_png, idat, ihdr, png, pnm, tiff
from PIL import Image
from scenes import CUP, SIZE, SPOON

from edge_sam import InputError
from edge_sam.cli.prompts import masks
from edge_sam.evaluation.datasets import open_dataset
from edge_sam.imaging.images import encode_png
from edge_sam.imaging.labels import read_labels
from edge_sam.imaging.region import read_region

RANDOM = np.random.default_rng(0)


def numbers(bits: int) -> np.ndarray:
    return RANDOM.integers(0, 1 << bits, (20, 31)).astype(
        np.uint32 if bits > 16 else np.uint16 if bits > 8 else np.uint8
    )


def palette_png(labels: np.ndarray, bits: int) -> bytes:
    """Colours say nothing: all are black."""
    height, width = labels.shape
    chunks = (b"PLTE", bytes(3 << bits)), (b"IDAT", idat(labels, bits)), (b"IEND", b"")
    return png(ihdr(width, height, bits, 3), *chunks)


def stored() -> dict[str, tuple[bytes, np.ndarray]]:
    """Files with the numbers that they hold."""
    one, two, four, eight, sixteen = (numbers(bits) for bits in (1, 2, 4, 8, 16))
    files = {f"png {bits}": (grey_png(n, bits), n) for bits, n in ((1, one), (2, two), (4, four), (16, sixteen))}
    files |= {f"palette {bits}": (palette_png(n, bits), n) for bits, n in ((1, one), (2, two), (4, four), (8, eight))}
    files |= {f"tiff {bits}": (tiff(n, bits, photometric=1), n) for bits, n in ((2, two), (4, four), (8, eight))}
    for mark, order in (("little", "<"), ("big", ">")):
        files[f"tiff 16 {mark}"] = tiff(sixteen, 16, photometric=1, order=order), sixteen
        files[f"tiff int32 {mark}"] = tiff(sixteen.astype(np.int32), 32, photometric=1, order=order, t339=2), sixteen
    for maximum in (3, 200, 1000, 65535):
        for plain in (False, True):
            values = sixteen.astype(int) % (maximum + 1)
            files[f"pgm {maximum} {plain}"] = pnm(values, maximum, plain=plain), values
    values = eight // 2
    files["ppm"] = pnm(np.repeat(values[..., None], 3, axis=2), 127), values
    files["grey with alpha"] = encoded(Image.fromarray(np.dstack([eight, one]), "LA"), "PNG"), eight
    files["equal channels"] = encoded(Image.fromarray(np.repeat(eight[..., None], 3, axis=2)), "PNG"), eight
    files["our own"] = encode_png(sixteen), sixteen
    return files


FILES = stored()


@pytest.mark.parametrize("name", FILES)
def test_numbers_are_as_the_file_has_them(name: str, tmp_path: Path) -> None:
    data, expected = FILES[name]
    path = tmp_path / "labels"
    path.write_bytes(data)
    labels = read_labels(path)
    assert labels.shape == expected.shape
    assert np.issubdtype(labels.dtype, np.integer)
    np.testing.assert_array_equal(labels, expected)
    region = read_region(path)
    np.testing.assert_array_equal(region, expected != 0)


def test_labels_are_turned_as_their_photograph_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    labels = numbers(16)
    (tmp_path / "labels.png").write_bytes(encoded(Image.fromarray(labels), "PNG", exif=exif))
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.png"), np.rot90(labels, -1))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (encoded(Image.fromarray(RANDOM.integers(0, 256, (9, 9, 3)).astype(np.uint8)), "PNG"), "is in colour"),
        (tiff(np.zeros((4, 4, 3), np.uint16), 16, photometric=2), "several 16-bit channels"),
        (pnm(np.zeros((4, 4, 3), int), 1000), "several 16-bit channels"),
        (png(ihdr(4, 4, 16, 4), (b"IDAT", idat(np.zeros((4, 4, 2), int), 16)), (b"IEND", b"")), "16-bit channels"),
        (tiff(np.zeros((4, 4), np.float32), 32, photometric=1, t339=3), "floating-point pixels; labels are whole"),
    ],
)
def test_what_holds_no_numbers_is_refused(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(data)
    with pytest.raises(InputError, match=rf"^mask .*labels .*{message}"):
        read_labels(tmp_path / "labels")
    with pytest.raises(InputError, match=r"cannot read mask .*absent"):
        read_labels(tmp_path / "absent")


def test_a_region_may_have_colours(tmp_path: Path) -> None:
    path = tmp_path / "region.png"
    colours = np.zeros((*SIZE, 3), np.uint8)
    colours[CUP] = 0, 0, 1
    Image.fromarray(colours).save(path)
    np.testing.assert_array_equal(read_region(path), CUP)
    white_first = Image.fromarray((~CUP).astype(np.uint8), "P")
    white_first.putpalette([255, 255, 255, 0, 0, 0])
    white_first.save(path)
    np.testing.assert_array_equal(read_region(path), CUP)
    assert read_region(None) is None


def test_mask_files_of_sixteen_bits_are_prompts(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(encode_png((CUP + SPOON * 300).astype(np.uint16)))
    prompts, size = masks([tmp_path / "mask.png"])
    assert size == SIZE
    assert len(prompts) == 2
    (tmp_path / "photograph.png").write_bytes(encode_png(np.arange(40000, dtype=np.uint16).reshape(200, 200)))
    with pytest.raises(InputError, match="holds 39999 numbers besides 0; expected 1 to 32"):
        masks([tmp_path / "photograph.png"])
    (tmp_path / "empty.png").write_bytes(encode_png(np.zeros(SIZE, np.uint8)))
    with pytest.raises(InputError, match="contains only 0"):
        masks([tmp_path / "empty.png"])


def test_datasets_of_sixteen_bits_keep_their_objects(tmp_path: Path) -> None:
    labels = (CUP + SPOON * 256).astype(np.uint16)
    scenes.voc(tmp_path / "voc")
    scenes.davis(tmp_path / "davis")
    scenes.folder(tmp_path / "folder")
    (tmp_path / "voc/SegmentationObject/b.png").write_bytes(encode_png(labels))
    for path in (tmp_path / "davis/Annotations/480p/cup").iterdir():
        path.write_bytes(encode_png(labels))
    (tmp_path / "folder/masks/cup0.png").write_bytes(encode_png(CUP.astype(np.uint16)))
    for layout in ("voc", "davis"):
        _, targets = open_dataset(tmp_path / layout).samples[0].load()
        assert [target.name for target in targets] == ["1", "256"]
        np.testing.assert_array_equal(targets[1].truth, SPOON)
    _, (target,) = open_dataset(tmp_path / "folder").samples[0].load()
    np.testing.assert_array_equal(target.truth, CUP)
