"""Everything mode on a photograph that is encoded already."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from served import client_of, upload

from edge_sam.errors import InputError
from edge_sam.everything.generator import MaskGenerator
from edge_sam.predictor import Predictor


def test_a_given_embedding_is_used_and_checked(predictor: Predictor, coffee: np.ndarray) -> None:
    generator = MaskGenerator(predictor, points_per_side=2, long_side=128, square=False, output_mode="coco_rle")
    embedding = predictor.encode(coffee, long_side=128)
    assert generator.generate(coffee, embedding=embedding) == generator.generate(coffee)
    flipped = predictor.encode(np.ascontiguousarray(coffee[:, ::-1]), long_side=128)
    assert generator.generate(coffee, embedding=flipped) != generator.generate(coffee)
    for other, pixels in ((predictor.encode(coffee, long_side=144), coffee), (embedding, coffee[1:])):
        with pytest.raises(InputError, match="another image"):
            generator.generate(pixels, embedding=other)


def test_a_server_encodes_a_view_once(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[dict[str, Any]] = []
    encode = Predictor.encode

    def spy(self: Predictor, image: Any, **view: Any) -> Any:
        encoded.append(view)
        return encode(self, image, **view)

    monkeypatch.setattr(Predictor, "encode", spy)
    with client_of(predictor) as client:
        id = upload(client, long_side=128)
        settings = {"points_per_side": 1, "square": False}
        answers = [
            client.post(f"/images/{id}/everything", json={**settings, "long_side": side}).text
            for side in (128, 144, 144)
        ]
        assert all('"summary"' in answer for answer in answers)
    assert encoded == [{"long_side": side, "square": False} for side in (128, 144)]
