"""A Label Studio of its own: ``python -m served_requests.label_studio PATH-OF-label-studio``.

`label-studio` may live in another environment. A project with this server as its model is made over Label Studio's API.
Its editor is a page; the smart regions that it would send are written here.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

import requests

from served_requests.photograph import CUP, OFF_CUP, ON_CUP, PHOTOGRAPH
from served_requests.recorder import recording

TOKEN = "0123456789abcdef0123456789abcdef01234567"
CONFIG = """<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="tag" toName="image"><Label value="Cup"/></BrushLabels>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="Cup" smart="true"/></KeyPointLabels>
  <RectangleLabels name="box" toName="image" smart="true"><Label value="Cup" smart="true"/></RectangleLabels>
</View>"""
SIZE = (96, 64)
QUIET = {
    "COLLECT_ANALYTICS": "0",
    "LATEST_VERSION_CHECK": "0",
    "ML_BLOCK_LOCAL_IP": "false",
    "SSRF_PROTECTION_ENABLED": "false",
}
"""Settings of Label Studio: it asks no other host, and takes a model on this machine."""


def mark(kind: str, x: float, y: float, **more: Any) -> dict[str, Any]:
    """Return a smart region; places are in per cent."""
    value = {"x": 100 * x / SIZE[0], "y": 100 * y / SIZE[1], f"{kind}labels": ["Cup"], **more}
    names = {"from_name": {"keypoint": "point", "rectangle": "box"}[kind], "to_name": "image", "id": f"{kind}1"}
    size = {"original_width": SIZE[0], "original_height": SIZE[1], "image_rotation": 0}
    return {**names, **size, "type": f"{kind}labels", "origin": "manual", "value": value}


def main(program: str) -> None:
    """Connect the model, then mark a box, and a box with points on and off the cup."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    studio = f"http://127.0.0.1:{port}"
    os.environ["LABEL_STUDIO_API_KEY"] = TOKEN
    user = ["--username", "a@example.com", "--password", "not-secret", "--user-token", TOKEN]
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "start", "--no-browser", "--port", str(port), "--data-dir", folder, *user]
        command += ["--enable-legacy-api-token"]
        server = subprocess.Popen(command, env={**os.environ, **QUIET}, stdout=subprocess.DEVNULL)
        try:
            wait_for(studio)
            record(studio)
        finally:
            server.terminate()
            server.wait()


def wait_for(studio: str) -> None:
    """Wait until Label Studio answers."""
    end = time.monotonic() + 600
    while time.monotonic() < end:
        try:
            if requests.get(f"{studio}/health", timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(1)
    raise TimeoutError("Label Studio did not start")


def record(studio: str) -> None:
    """Record what a Label Studio sends."""
    release = requests.get(f"{studio}/api/version", timeout=60).json()["release"]
    with recording("label_studio", f"label-studio {release}", label_studio=studio) as address:
        use(studio, address)


def use(studio: str, address: str) -> None:
    """Make a project and ask for masks of its task."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Token {TOKEN}"

        def ask(method: str, path: str, **given: Any) -> Any:
            answer = session.request(method, f"{studio}/api/{path}", timeout=120, **given)
            assert answer.ok, (path, answer.status_code, answer.text)
            return answer.json()

        project = ask("POST", "projects/", json={"title": "cups", "label_config": CONFIG})["id"]
        with PHOTOGRAPH.open("rb") as photograph:
            ask("POST", f"projects/{project}/import", files={"file": ("cup.jpg", photograph, "image/jpeg")})
        (task,) = ask("GET", f"projects/{project}/tasks/")
        model = {"project": project, "url": address, "title": "edge_sam", "is_interactive": True}
        model = ask("POST", "ml/", json=model)
        x0, y0, x1, y1 = CUP
        box = mark("rectangle", x0, y0, width=100 * (x1 - x0) / SIZE[0], height=100 * (y1 - y0) / SIZE[1])
        on = {**mark("keypoint", *ON_CUP, width=0.3), "is_positive": True}
        off = {**mark("keypoint", *OFF_CUP, width=0.3), "is_positive": False}
        for marks in ([box], [box, on, off]):
            body = {"task": task["id"], "context": {"result": marks}}
            answer = ask("POST", f"ml/{model['id']}/interactive-annotating", json=body)
            assert [region["type"] for region in answer["data"]["result"]] == ["brushlabels"], answer


if __name__ == "__main__":
    main(*sys.argv[1:])
