"""What README and docs tell people to type: every command and option exists, and the Python runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import ROOT

from edge_sam.cli import app

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`edge-sam ([a-z]+)((?:\s+[^`]*)?)`")


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in _FENCE.findall(page.read_text()) if kind == language]


def commands(page: Path) -> list[str]:
    """Every line of its code blocks that calls the command line."""
    return [
        line.strip()
        for block in blocks(page, "")
        for line in re.sub(r" *\\\n *", " ", block).splitlines()
        if line.strip().startswith("edge-sam ")
    ]


def inline() -> list[tuple[str, str, str]]:
    """Every command in running text: page, name, the rest."""
    return [(page.name, *found) for page in PAGES for found in _INLINE.findall(_FENCE.sub("", page.read_text()))]


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    """The commands by name; of click's classes, which newer versions of typer keep to themselves."""
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def test_pages_have_commands() -> None:
    assert sum(len(commands(page)) for page in PAGES) > 10
    assert len(inline()) > 10
    assert {language for page in PAGES for language, _ in _FENCE.findall(page.read_text())} == {"", "python"}


@pytest.mark.parametrize(
    ("page", "line"),
    [(page.name, line) for page in PAGES for line in commands(page)],
    ids=lambda text: text.split("#")[0].strip()[:60],
)
def test_command_parses(known: dict[str, Any], page: str, line: str) -> None:
    _, name, *arguments = shlex.split(line, comments=True)
    assert name in known, f"{page}: there is no command {name}"
    try:
        known[name].make_context(name, arguments)
    except Exception as error:
        pytest.fail(f"{page}: {line}: {error}")


@pytest.mark.parametrize(("page", "name", "rest"), inline(), ids=lambda text: text.strip()[:40] or "-")
def test_options_in_running_text_exist(known: dict[str, Any], page: str, name: str, rest: str) -> None:
    assert name in known, f"{page}: there is no command {name}"
    options = {option for parameter in known[name].params for option in parameter.opts} | {"--help"}
    unknown = set(re.findall(r"--[a-z][a-z-]*", rest)) - options
    assert not unknown, f"{page}: edge-sam {name} has no {', '.join(sorted(unknown))}"
