"""What README and docs tell people to type: every command and option exists, and the Python runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from command_line import command, options
from conftest import ROOT

from edge_sam.cli import COMMANDS

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted((DOCS / "lab").glob("*.md"))]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
OTHERS = {"--include", "--system-site-packages"}
"""Options of other programs that pages speak of."""
_INLINE = re.compile(r"`edge-sam ([a-z]+)((?:\s+[^`]*)?)`")


def name_of(page: Path) -> str:
    """A page in the names of tests: guides and pages of the lab may be called alike."""
    return page.relative_to(ROOT).as_posix()


def _joined(text: str) -> str:
    """Join lines that end with a backslash with the next."""
    return re.sub(r" *\\\n *", " ", text)


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in _FENCE.findall(page.read_text()) if kind == language]


def commands(page: Path) -> list[str]:
    """Every line of its code blocks that calls the command line."""
    return [
        line.strip()
        for block in blocks(page, "")
        for line in _joined(block).splitlines()
        if line.strip().startswith("edge-sam ")
    ]


def inline() -> list[tuple[str, str, str]]:
    """Every command in running text: page, name, the rest."""
    return [(name_of(page), *found) for page in PAGES for found in _INLINE.findall(_FENCE.sub("", page.read_text()))]


def test_the_pages_are_those_of_the_site() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    listed = {f"docs/{name}" for name in re.findall(r"- ((?:lab/)?[\w-]+\.md)$", navigation, re.MULTILINE)}
    assert {name_of(page) for page in PAGES} == listed | {"README.md"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_is_found(page: Path) -> None:
    """What `commands` and `inline` do not find is a heading or a comment: a command that no test reads fails here."""
    text = _joined(page.read_text())
    for line in commands(page):
        assert line in text
        text = text.replace(line, "", 1)
    left = re.findall(r"^.*\bedge-sam [a-z].*$", _INLINE.sub("", text), re.MULTILINE)
    assert [line for line in left if "#" not in line.partition("edge-sam")[0]] == []
    assert {language for language, _ in _FENCE.findall(page.read_text())} <= {"", "python"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_option_that_stands_alone_belongs_to_a_command(page: Path) -> None:
    """`--fps` in a table, say, without its command."""
    known = {option for name in COMMANDS for option in options(name)} | OTHERS
    alone = set(re.findall(r"`(--[a-z0-9-]+)[^`]*`", _FENCE.sub("", page.read_text())))
    assert alone <= known


@pytest.mark.parametrize(
    ("page", "line"),
    [(name_of(page), line) for page in PAGES for line in commands(page)],
    ids=lambda text: text.split("#")[0].strip()[:60],
)
def test_command_parses(page: str, line: str) -> None:
    _, name, *arguments = shlex.split(line, comments=True)
    assert name in COMMANDS, f"{page}: there is no command {name}"
    try:
        command(name).parse_args(arguments, exit_on_error=False, print_error=False)
    except Exception as error:
        pytest.fail(f"{page}: {line}: {error}")


@pytest.mark.parametrize(("page", "name", "rest"), inline(), ids=lambda text: text.strip()[:40] or "-")
def test_options_in_running_text_exist(page: str, name: str, rest: str) -> None:
    assert name in COMMANDS, f"{page}: there is no command {name}"
    unknown = set(re.findall(r"(?<!\S)-[^\s=,|]+", rest)) - options(name)
    assert not unknown, f"{page}: edge-sam {name} has no {', '.join(sorted(unknown))}"
