"""Checkpoints as training programs write them, and the true reason where one cannot be read."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_sam.errors import InputError
from edge_sam.export.checkpoint import read_checkpoint
from edge_sam.export.families import FAMILIES, find_family
from edge_sam.export.torch_model import load_model

Tensors = dict[str, torch.Tensor]
NAMES = ("image_encoder.layers.0.weight", "prompt_encoder.bias", "mask_decoder.model.bias")


def tensors(value: float = 1.0) -> Tensors:
    return {name: torch.full((2,), value) for name in NAMES}


def under(prefix: str, value: float = 1.0) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors(value).items()}


def read(folder: Path, content: object, **options: Any) -> Tensors:
    torch.save(content, folder / "x.pt", **options)
    return read_checkpoint(folder / "x.pt")[0]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        tensors(),
        OrderedDict(tensors()),
        *(
            {key: tensors(), "epoch": 3, "optimizer": {"lr": 0.1}}
            for key in ("state_dict", "model", "model_state", "model_state_dict", "ema", "params", "net", "weights")
        ),
        {"state_dict": {"model": tensors(), "step": 4}},
        {"ema": {"module": tensors(), "decay": 0.99}},
        *(under(prefix) for prefix in ("module.", "_orig_mod.", "model.", "sam.", "module.model.sam.", "net.module.")),
        {"state_dict": under("module."), "arch": "vit_t"},
        {"model_state": under("sam."), "optimizer_state": {}},
        {name.replace(".", "._orig_mod.module.", 1): tensor for name, tensor in tensors().items()},
        under("module.") | {"n_averaged": torch.tensor(7)},
    ],
)
def test_reads_the_usual_wrappers(tmp_path: Path, content: object, legacy: bool) -> None:
    found = read(tmp_path, content, _use_new_zipfile_serialization=not legacy)
    assert list(found) == list(NAMES)
    assert all((tensor == 1).all() for tensor in found.values())


def test_takes_averaged_weights_but_not_what_belongs_to_the_averaging(tmp_path: Path) -> None:
    both = {"model": tensors(), "model_ema": tensors(2.0)}
    assert all((tensor == 2).all() for tensor in read(tmp_path, both).values())
    decay = {"model": tensors(), "ema": {"decay": torch.tensor(0.99)}}
    assert read(tmp_path, decay).keys() == tensors().keys()


def test_two_models_in_one_state_dict_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds image_encoder\.layers\.0\.weight more than once, under several pre"):
        read(tmp_path, under("model.") | under("ema_model.", 2.0))


class Model(torch.nn.Module):
    """What somebody pickles whole."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)


def _module(path: Path) -> None:
    torch.save(Model(), path)


def _old_module(path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), path, _use_new_zipfile_serialization=False)


def _options(path: Path) -> None:
    torch.save({"model": tensors(), "args": argparse.Namespace(lr=0.1)}, path)


def _script(path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(path))


def _cut(path: Path) -> None:
    torch.save(tensors(), path)
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (
            _module,
            r"it holds an object of test_checkpoint\.Model, which only its own code can read; save the state dict",
        ),
        (
            _old_module,
            r"it holds an object of torch\.nn\.modules\.linear\.Linear, which only its own code can read; save the",
        ),
        (
            _options,
            r"it holds an object of argparse\.Namespace, which only its own code can read; save the state dict alone",
        ),
        (_script, "it is a TorchScript archive; save the state dict alone"),
        (_cut, "it is damaged or cut short"),
        (
            lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:12"),
            "it is a Git LFS pointer",
        ),
        (lambda path: path.write_bytes(b"\n<!DOCTYPE html><html>"), "it is a web page"),
    ],
)
def test_says_why_a_file_cannot_be_read(
    tmp_path: Path, write: Callable[[Path], object], reason: str, recwarn: pytest.WarningsRecorder
) -> None:
    write(tmp_path / "x.pt")
    before = len(recwarn)  # TorchScript is deprecated.
    with pytest.raises(InputError, match=rf"x\.pt is not a checkpoint of plain tensors: {reason}") as caught:
        read_checkpoint(tmp_path / "x.pt")
    assert len(str(caught.value).splitlines()) == 1
    assert len(recwarn) == before


@pytest.mark.parametrize(
    ("content", "outline"),
    [
        ([1, 2], "a list"),
        ({"epoch": 3, "state_dict": []}, r"epoch \(int\), state_dict \(list\)"),
        (tensors() | {"epoch": 3}, r"mask_decoder\.model\.bias \(Tensor\), epoch \(int\)"),
        ({"model": under("a.") | {"b": torch.zeros(2, dtype=torch.complex64)}}, r"model \(dict\)"),
        ({str(i): i for i in range(9)}, r"4 \(int\) and 4 more"),
    ],
)
def test_says_what_is_there_instead_of_a_state_dict(tmp_path: Path, content: object, outline: str) -> None:
    with pytest.raises(InputError, match=f"holds no state dict .*; it holds .*{outline}"):
        read(tmp_path, content)


def test_a_checkpoint_that_contains_itself_ends(tmp_path: Path) -> None:
    content: dict[str, Any] = {"epoch": 3}
    content["model"] = content
    with pytest.raises(InputError, match="no state dict"):
        read(tmp_path, content)


def test_names_the_family_that_it_is_of(tmp_path: Path) -> None:
    for family in FAMILIES:
        assert find_family([family.mark], tmp_path) is family
    with pytest.raises(InputError, match="is a checkpoint of EfficientTAM; this version exports"):
        find_family(["image_encoder.neck.convs.0.conv_1x1.weight", FAMILIES[1].mark], tmp_path)
    with pytest.raises(InputError, match=r"not a checkpoint of a known SAM family \(conv1\.bias, conv1\.weight\)"):
        find_family(["conv1.weight", "conv1.bias"], tmp_path)


def test_the_wrapped_model_is_the_model(checkpoint: Path, tmp_path: Path) -> None:
    official = torch.load(checkpoint, weights_only=True)
    wrapped = {"module." + name: tensor for name, tensor in official.items()}
    torch.save({"epoch": 3, "model_state": wrapped}, tmp_path / "wrapped.pt")
    (_, ours), (_, theirs) = load_model(tmp_path / "wrapped.pt"), load_model(checkpoint)
    for part in ("encoder", "mask_encoder", "decoder"):
        there, here = getattr(theirs, part).state_dict(), getattr(ours, part).state_dict()
        assert there.keys() == here.keys()
        assert all(torch.equal(there[name], here[name]) for name in there)
    torch.save({"model": {name: wrapped[name] for name in list(wrapped)[:-10]}}, tmp_path / "short.pt")
    with pytest.raises(InputError, match=r"does not fit the model; missing: .* and 5 more$"):
        load_model(tmp_path / "short.pt")
