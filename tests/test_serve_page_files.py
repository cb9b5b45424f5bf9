"""Files that the page of `edge-sam serve` saves."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np
from conftest import read_pixels
from numpy.typing import NDArray
from served_page import POINT, Clicker, needs_browser

from edge_sam.imaging.masks import decode_rle


@needs_browser
def test_files_hold_every_object(clicker: Clicker) -> None:
    clicker.click(*POINT)
    clicker.page.click("#keep")
    clicker.page.fill("#objects input", "cat")
    clicker.page.keyboard.press("Tab")
    clicker.click(40, 40)
    clicker.page.mouse.click(*clicker.at(225, 150), button="right")
    clicker.wait("Mask")
    both = clicker.mask()
    coco = json.loads(clicker.saved("save-coco").read_text())
    masks = [decode_rle(each["segmentation"]) for each in coco["annotations"]]
    assert [each["name"] for each in coco["categories"]] == ["cat", "object"]
    assert np.array_equal(masks[0] | masks[1], both)
    for mask, annotation in zip(masks, coco["annotations"], strict=True):
        assert annotation["area"] == mask.sum()
        assert annotation["bbox"] == list(cv2.boundingRect(mask.view(np.uint8)))
    cut_out = read_pixels(clicker.saved("save-cutout"))
    x, y, width, height = cv2.boundingRect(both.view(np.uint8))
    assert np.array_equal(cut_out[..., 3] > 0, both[y : y + height, x : x + width])
    drawn = ElementTree.parse(clicker.saved("save-svg")).getroot()
    paths = drawn.findall("{http://www.w3.org/2000/svg}path")
    assert np.array_equal(_filled(paths[0].attrib["d"], masks[0].shape), masks[0])


def _filled(path: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill the rings of a path by the rule even-odd: a pixel is inside after an odd number of edges on its left."""
    crossed = np.zeros((size[0], size[1] + 1), dtype=np.int64)
    for ring in path.strip("MZ").split("ZM"):
        corners = [tuple(map(int, corner.split())) for corner in ring.split("L")]
        for (x, top), (other, bottom) in zip(corners, [*corners[1:], corners[0]], strict=True):
            if x == other:
                crossed[min(top, bottom) : max(top, bottom), x] += 1
    return np.asarray(crossed.cumsum(axis=1)[:, :-1] % 2 == 1)
