"""Ask a running `edge-sam serve` with Roboflow's own client: python serve_with_roboflow.py ADDRESS PHOTOGRAPH.

It needs `inference-sdk`. It asks for a box and a point, prints the IoU of the masks with those of the server's own API,
and fails below 0.99.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import requests
from inference_sdk import InferenceHTTPClient

from edge_sam.imaging.masks import decode_rle, iou

BOX, POINT = (76, 18, 478, 390), (300, 120)


def main(address: str, photograph: str) -> int:
    """Compare the masks of both ways."""
    x0, y0, x1, y1 = BOX
    prompts = [
        {"box": {"x": (x0 + x1) / 2, "y": (y0 + y1) / 2, "width": x1 - x0, "height": y1 - y0}},
        {"points": [{"x": POINT[0], "y": POINT[1], "positive": True}]},
    ]
    client = InferenceHTTPClient(address, "unused")
    theirs = client.sam2_segment_image(photograph, prompts, multimask_output=True, mask_input_format="rle")
    id = requests.post(f"{address}/images", Path(photograph).read_bytes(), timeout=60).json()["id"]
    body: Any = {"prompts": [{"box": BOX}, {"points": [POINT]}], "multimask": False, "prefer": "best"}
    ours = requests.post(f"{address}/images/{id}/masks", json=body, timeout=60).json()
    worst = 1.0
    for prediction, result in zip(theirs["predictions"], ours["results"], strict=True):
        agreement = iou(decode_rle(prediction["masks"]), decode_rle(result["masks"][0]["rle"]))
        print(f"IoU {agreement:.4f}, confidence {prediction['confidence']:.4f}")
        worst = min(worst, agreement)
    return int(worst < 0.99)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
