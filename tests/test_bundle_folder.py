"""The folder of a bundle in the making: whole under its name, or not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge_sam.bundles.bundle import BUNDLED, open_bundle
from edge_sam.bundles.draft import Draft
from edge_sam.errors import InputError


@pytest.mark.parametrize("name", ["replaced", "new", "old", "b"])
def test_an_old_bundle_steps_aside_whatever_its_name(tmp_path: Path, name: str) -> None:
    source = open_bundle("mobile-sam")
    for overwrite in (False, True):
        with Draft(tmp_path / name, overwrite=overwrite, source=source) as draft:
            made = draft.finish(source.manifest)
        assert made.path == tmp_path / name
        assert {path.name for path in made.path.iterdir()} == {path.name for path in source.path.iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_only_the_files_of_a_bundle_are_copied_even_into_itself(tmp_path: Path) -> None:
    source = Path(shutil.copytree(BUNDLED / "mobile-sam", tmp_path / "b"))
    (source / "holiday.jpg").touch()
    bundle = open_bundle(source)
    with Draft(source / "inside", source=bundle) as draft:
        made = draft.finish(bundle.manifest)
    assert {path.name for path in made.path.iterdir()} == {path.name for path in (BUNDLED / "mobile-sam").iterdir()}


def test_what_is_not_finished_is_gone(tmp_path: Path) -> None:
    with Draft(tmp_path / "b", source=open_bundle("mobile-sam")) as draft:
        assert draft.folder.is_dir()
    assert not list(tmp_path.iterdir())


def test_refuses_the_folder_that_it_runs_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="the working folder"):
        Draft(Path())
    with pytest.raises(InputError, match="the working folder or one of its parents"):
        Draft(Path(".."), overwrite=True)
