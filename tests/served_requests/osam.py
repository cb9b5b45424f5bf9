"""osam's request types: ``python -m served_requests.osam``.

osam has a server but no client; its README asks with curl. So its own types write the request and read the answer.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from urllib.request import Request, urlopen

import numpy as np
from osam._json import image_ndarray_to_b64data
from osam.types import GenerateRequest, GenerateResponse, Prompt
from PIL import Image

from served_requests.photograph import CUP, PHOTOGRAPH
from served_requests.recorder import recording


def main() -> None:
    """Ask for a box, and for what lies in the middle."""
    corners = np.array(CUP, float).reshape(2, 2)
    box = Prompt(points=corners, point_labels=np.array([2, 3]))
    with recording("osam", f"osam {version('osam')}") as address:
        for prompt in (box, None):
            asked = GenerateRequest(model="sam:latest", prompt=prompt).model_dump(mode="json")
            asked["image"] = image_ndarray_to_b64data(np.asarray(Image.open(PHOTOGRAPH)))
            request = Request(f"{address}/api/generate", json.dumps(asked).encode())
            request.add_header("Content-Type", "application/json")
            with urlopen(request) as answer:
                (annotation,) = json.load(answer)["annotations"]
                annotation["mask"] = None  # osam's types write masks but read none.
                GenerateResponse(model="sam:latest", annotations=[annotation])


if __name__ == "__main__":
    main()
