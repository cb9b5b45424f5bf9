"""Which runtimes, precisions and numbers of threads are tried, in which order. Nothing is loaded here."""

from __future__ import annotations

import logging
from functools import partial

import msgspec
import pytest
from backends import Register, register_backend

from edge_sam.bundles.bundle import Bundle, open_bundle
from edge_sam.errors import InputError, RuntimeUnavailableError
from edge_sam.inference.cache import Best, Tuned, tuning_key, write_record
from edge_sam.inference.choice import Choice, choices
from edge_sam.inference.run_options import RunOptions
from edge_sam.runtimes import AUTO, BACKENDS
from edge_sam.runtimes.cores import check_threads

FIRST, SECOND, THIRD = AUTO
FOUND = "the first that is usable here"
pytestmark = pytest.mark.usefixtures("own_cache", "without_threads")


@pytest.fixture
def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGE_SAM_THREADS", raising=False)


@pytest.fixture
def usable(monkeypatch: pytest.MonkeyPatch) -> Register:
    """All runtimes of `auto` are usable; what is called registers another in their place."""
    register = partial(register_backend, monkeypatch)
    for name in AUTO:
        register(name)
    return register


def ordered(
    bundle: Bundle, runtime: str, precision: str, threads: int | None, options: dict[str, str] | None = None
) -> list[Choice]:
    run = RunOptions(runtime=runtime, precision=precision, threads=threads, options=options or {})
    return choices(bundle, run)


def bundle_of(*precisions: str) -> Bundle:
    """The package's bundle, as if it had these precisions."""
    shipped = open_bundle("mobile-sam")
    components = tuple(
        msgspec.structs.replace(component, precision=precision, bytes=1000 * (i + 1))
        for component in shipped.manifest.components
        for i, precision in enumerate(precisions)
    )
    return Bundle(shipped.path, msgspec.structs.replace(shipped.manifest, components=components))


W16 = open_bundle("mobile-sam")


@pytest.mark.usefixtures("usable")
def test_auto_tries_every_usable_runtime_in_order() -> None:
    assert ordered(W16, "auto", "auto", None) == [Choice(name, "w16", None, FOUND) for name in AUTO]


def test_what_is_not_usable_is_left_out_of_auto(usable: Register) -> None:
    usable(FIRST, why_unusable=lambda _: "no device")
    assert [choice.runtime for choice in ordered(W16, "auto", "auto", None)] == [SECOND, THIRD]


def test_where_nothing_is_usable_each_reason_is_told(usable: Register) -> None:
    for number, name in enumerate(AUTO):
        usable(name, why_unusable=lambda _, number=number: f"reason {number}")
    reasons = f"{FIRST}: reason 0; {SECOND}: reason 1; {THIRD}: reason 2"
    with pytest.raises(RuntimeUnavailableError) as refusal:
        ordered(W16, "auto", "auto", None)
    assert str(refusal.value) == f"no usable runtime; {reasons}"


def test_a_named_runtime_comes_first_whether_usable_or_not(usable: Register) -> None:
    usable(THIRD, why_unusable=lambda _: "no device")
    given = {"a": "b"}
    assert ordered(W16, THIRD, "auto", 3, given) == [
        Choice(THIRD, "w16", 3, "asked for", given),
        Choice(FIRST, "w16", 3, FOUND),
        Choice(SECOND, "w16", 3, FOUND),
    ]


@pytest.mark.usefixtures("usable")
def test_another_device_of_a_runtime_may_follow() -> None:
    assert [choice.runtime for choice in ordered(W16, f"{THIRD}:9", "auto", None)] == [f"{THIRD}:9", *AUTO]


def test_options_belong_to_a_named_runtime() -> None:
    with pytest.raises(InputError, match=r"^options belong to one runtime; name it instead of auto$"):
        ordered(W16, "auto", "auto", None, {"a": "b"})
    assert ordered(W16, "onnxruntime", "auto", None, {})[0].options == {}


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("auto", ["fp32", "w16"]), ("smallest", ["int8"]), ("int8", ["int8"]), ("w16", ["w16"])],
)
def test_precisions_are_those_of_exact_arithmetic_or_the_one_named(
    usable: Register, precision: str, expected: list[str]
) -> None:
    usable(SECOND, why_unusable=lambda _: "no device")
    found = ordered(bundle_of("int8", "w16", "fp32"), THIRD, precision, None)
    assert [(choice.runtime, choice.precision) for choice in found] == [
        (name, each) for name in (THIRD, FIRST) for each in expected
    ]


def test_what_is_unknown_is_refused_with_what_is_known() -> None:
    with pytest.raises(InputError) as refusal:
        ordered(W16, "warp:1", "auto", None)
    assert str(refusal.value) == f"unknown runtime 'warp:1'; known: auto, {', '.join(BACKENDS)}"
    with pytest.raises(InputError) as refusal:
        ordered(bundle_of("w16", "int8"), "auto", "int4", None)
    assert str(refusal.value) == "bundle mobile-sam has no precision 'int4'; it has w16, int8"
    with pytest.raises(InputError, match=r"^bundle .*mobile-sam has no encoder$"):
        ordered(bundle_of(), "auto", "auto", None)


# What was tuned.


def tune(bundle: Bundle, *best: object) -> None:
    assert write_record(tuning_key(bundle), Tuned(Best(*best), "2026-11-27"))  # type: ignore[arg-type]


@pytest.mark.usefixtures("usable")
def test_what_was_measured_as_the_fastest_comes_first() -> None:
    tune(W16, THIRD, "w16", 2)
    fastest = Choice(THIRD, "w16", 2, "measured as the fastest on 2026-11-27")
    others = [Choice(name, "w16", None, FOUND) for name in AUTO]
    assert ordered(W16, "auto", "auto", None) == ordered(W16, "auto", "w16", None) == [fastest, *others]
    assert ordered(W16, "auto", "auto", 5)[0].threads == 5
    assert ordered(W16, SECOND, "auto", None)[0].why == "asked for"


@pytest.mark.usefixtures("usable")
def test_a_precision_that_was_tuned_has_successors_in_every_runtime() -> None:
    bundle = bundle_of("w16", "int8")
    tune(bundle, SECOND, "int8", None)
    assert [(choice.runtime, choice.precision) for choice in ordered(bundle, "auto", "auto", None)] == [
        (SECOND, "int8"),
        *((name, precision) for name in AUTO for precision in ("w16", "int8")),
    ]
    assert {choice.precision for choice in ordered(bundle, "auto", "w16", None)} == {"w16"}


@pytest.mark.usefixtures("usable")
@pytest.mark.parametrize("best", [("warp", "w16", None), (THIRD, "int8", None)])
def test_what_was_tuned_and_is_no_more_does_not_count(best: tuple[object, ...]) -> None:
    tune(W16, *best)
    assert [choice.why for choice in ordered(W16, "auto", "auto", None)] == [FOUND] * 3


def test_a_tuned_runtime_that_is_gone_is_told(usable: Register, caplog: pytest.LogCaptureFixture) -> None:
    usable(THIRD, why_unusable=lambda _: "no device")
    tune(W16, THIRD, "w16", None)
    with caplog.at_level(logging.WARNING, "edge_sam"):
        assert [choice.runtime for choice in ordered(W16, "auto", "auto", None)] == [FIRST, SECOND]
    assert caplog.messages == [f"{THIRD}, measured as the fastest here, is not usable now: no device"]


# Threads.


def test_threads_are_given_or_the_environment_s(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ordered(W16, "onnxruntime", "auto", None)[0].threads is None
    monkeypatch.setenv("EDGE_SAM_THREADS", "")
    assert ordered(W16, "onnxruntime", "auto", None)[0].threads is None
    monkeypatch.setenv("EDGE_SAM_THREADS", "3")
    assert ordered(W16, "onnxruntime", "auto", None)[0].threads == 3
    assert ordered(W16, "onnxruntime", "auto", 4)[0].threads == 4
    with pytest.raises(InputError, match="threads is 0; it must be 1 to 256"):
        ordered(W16, "onnxruntime", "auto", 0)


@pytest.mark.parametrize("given", ["1", "2", "256"])
def test_a_number_of_threads_is_read(given: str) -> None:
    assert check_threads(given) == int(given)


@pytest.mark.parametrize("given", ["0", "257", "-1", "", "1.5", "²", "٣", "two", " 1"])
def test_what_is_no_number_of_threads_is_refused(given: str) -> None:
    with pytest.raises(InputError) as refusal:
        check_threads(given)
    assert str(refusal.value) == f"threads is {given!r}; it must be 1 to 256"
