"""Roboflow's `inference-sdk`: ``python -m served_requests.roboflow``."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from inference_sdk import InferenceHTTPClient

from served_requests.photograph import CUP, ON_CUP, PHOTOGRAPH
from served_requests.recorder import recording


def main() -> None:
    """Ask for a box and a point, as run lengths and as polygons."""
    x0, y0, x1, y1 = CUP
    prompts: list[dict[str, Any]] = [
        {"box": {"x": (x0 + x1) / 2, "y": (y0 + y1) / 2, "width": x1 - x0, "height": y1 - y0}},
        {"points": [{"x": ON_CUP[0], "y": ON_CUP[1], "positive": True}]},
    ]
    with recording("roboflow", f"inference-sdk {version('inference-sdk')}") as address:
        client = InferenceHTTPClient(address, "unused")
        found = client.sam2_segment_image(str(PHOTOGRAPH), prompts, multimask_output=False, mask_input_format="rle")
        assert [each["format"] for each in found["predictions"]] == ["rle", "rle"]
        found = client.sam2_segment_image(str(PHOTOGRAPH), prompts)
        assert [each["format"] for each in found["predictions"]] == ["polygon", "polygon"]


if __name__ == "__main__":
    main()
