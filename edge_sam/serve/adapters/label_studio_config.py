"""The part of Label Studio's labelling configuration that a backend needs."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from edge_sam.errors import InputError

_CONTROLS = ("BrushLabels", "BitmaskLabels", "PolygonLabels", "RectangleLabels")
"""Tags that a mask can become, the best first."""
_LONGEST = 1 << 20


@dataclass(frozen=True)
class Control:
    """Where predictions go.

    Attributes
    ----------
    type : str
        Type of the results, such as ``brushlabels``.
    from_name, to_name : str
        Names of the tag and of its image.
    data_key : str
        Where a task has the address of the image.
    labels : tuple of str
        Labels of the tag.
    """

    type: str
    from_name: str
    to_name: str
    data_key: str
    labels: tuple[str, ...]


def find_control(config: str) -> Control:
    """Find the tag that takes masks. Raises `InputError` if there is none, or the configuration is damaged."""
    if len(config) > _LONGEST or "<!" in config.replace("<!--", ""):  # Entities may expand without end.
        raise InputError("the label_config is too long, or declares a document type")
    try:
        root = ElementTree.fromstring(config)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"the label_config is not XML: {error}") from error
    images = {tag.get("name"): tag.get("value", "") for tag in root.iter("Image")}
    for kind in _CONTROLS:
        for tag in root.iter(kind):
            name, image = tag.get("name"), tag.get("toName")
            if name and image in images and images[image].startswith("$"):
                labels = tuple(label.get("value", "") for label in tag.iter("Label"))
                return Control(kind.lower(), name, str(image), images[image][1:], labels)
    raise InputError(f"the label_config has none of {', '.join(_CONTROLS)} on an Image whose value is a variable")
