"""Files that go along with the graphs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from edge_sam.bundles.manifest import Values
from edge_sam.export.layouts.layout import BundleGraphs
from edge_sam.imaging.view import FRAME

SideFiles = Callable[[BundleGraphs, str, Values], dict[str, str]]
"""Takes the parts, the model's name and what the encoder takes. Returns the text of each file by its path."""


def any_labeling(type: str, takes: Values, **fields: int) -> SideFiles:
    """Return a maker of the configuration with which X-AnyLabeling loads a model of a `type`.

    Its encoder `takes` one kind of values. There is no configuration for another.
    """

    def files(_parts: BundleGraphs, name: str, values: Values) -> dict[str, str]:
        if values != takes:
            return {}
        known = {
            "type": type,
            "name": f"{name}-edge-sam",
            "provider": "edge_sam",
            "display_name": f"{name} (edge_sam)",
            "encoder_model_path": f"{name}.encoder.onnx",
            "decoder_model_path": f"{name}.decoder.onnx",
            **fields,
        }
        return {f"{name}.yaml": "".join(f"{key}: {json.dumps(value)}\n" for key, value in known.items())}

    return files


def configurations(model_type: str, architecture: str, image_processor: str) -> SideFiles:
    """Return a maker of Hugging Face's `config.json` and `preprocessor_config.json`."""

    def files(parts: BundleGraphs, _name: str, _values: Values) -> dict[str, str]:
        manifest, fit = parts.bundle.manifest, parts.contract.fit
        square = {"height": FRAME, "width": FRAME}
        config: dict[str, Any] = {
            "model_type": model_type,
            "architectures": [architecture],
            "vision_config": {"image_size": FRAME, "num_feature_levels": 1 + len(parts.contract.high_res)},
            "transformers.js_config": {"dtype": "fp32"},  # Else it looks for other files in the browser.
        }
        preprocessor = {
            "image_processor_type": image_processor,
            "processor_class": "SamProcessor",
            "do_resize": True,
            "size": {"longest_edge": FRAME} if fit.padded else square,
            "resample": 2,  # Bilinear.
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": [value / 255 for value in manifest.pixel_mean],
            "image_std": [value / 255 for value in manifest.pixel_std],
            "do_pad": fit.padded,
            "pad_size": square,
        }
        return {
            "config.json": json.dumps(config, indent=1) + "\n",
            "preprocessor_config.json": json.dumps(preprocessor, indent=1) + "\n",
        }

    return files
