"""X-AnyLabeling's remote model, without a window: ``python -m served_requests.x_anylabeling``.

It needs `x-anylabeling-cvhub` with what it imports, PyQt6 among it.
"""

from __future__ import annotations

import os
import tempfile
from importlib.metadata import version
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"

import anylabeling.config
from PyQt6.QtGui import QGuiApplication, QImage

from served_requests.photograph import CUP, ON_CUP, PHOTOGRAPH
from served_requests.recorder import recording


def main() -> None:
    """Ask for the models, then for a rectangle with a point, and for a point alone."""
    application = QGuiApplication([])
    from anylabeling.services.auto_labeling.remote_server import RemoteServer

    client = f"x-anylabeling-cvhub {version('x-anylabeling-cvhub')}"
    with recording("x_anylabeling", client) as address, tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "settings.yaml"
        settings.write_text(f"remote_server_settings: {{server_url: '{address}', api_key: ''}}\n")
        anylabeling.config.current_config_file = str(settings)
        failures: list[str] = []
        remote = RemoteServer({"type": "remote_server", "name": "r", "display_name": "R"}, failures.append)
        (model,) = remote.get_available_models()
        remote.set_model_id(model)
        rectangle = {"type": "rectangle", "data": list(CUP), "label": 1}
        point = {"type": "point", "data": list(ON_CUP), "label": 1}
        for marks in ([rectangle, point], [point]):
            remote.set_auto_labeling_marks(marks)
            found = remote.predict_shapes(QImage(str(PHOTOGRAPH)), str(PHOTOGRAPH))
            assert found.shapes, failures
    del application


if __name__ == "__main__":
    main()
