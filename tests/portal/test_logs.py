"""Logging: whatever happens, one JSON object per event, and no credential in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from portal import logs

SECRET = "lby_abcdefghij_" + "S3cretS3cretS3cret"


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


def events(act: Callable[[logging.Logger], None], *, as_json: bool = True) -> str:
    """What ``act`` logs, as the handler writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.Formatter(as_json=as_json))
    logger = logging.Logger("test")  # noqa: LOG001  outside of the tree: nobody else's handlers
    logger.addHandler(handler)
    act(logger)
    return stream.getvalue()


def event(act: Callable[[logging.Logger], None]) -> dict[str, Any]:
    text = events(act)
    assert text.isascii()
    assert text.count("\n") == 1, "an event is one line"
    loaded = json.loads(text)
    assert isinstance(loaded, dict)
    return loaded


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, categories=None))
    | st.binary()
    | st.builds(Unshowable)
    | st.dates()
    | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.none(), inner) | st.tuples(inner),
    max_leaves=20,
)


@given(message=st.text(st.characters(codec=None, categories=None)), facts=st.dictionaries(st.text(), anything))
def test_whatever_is_logged_is_one_object(message: str, facts: dict[str, Any]) -> None:
    loaded = event(lambda logger: logger.warning(message, extra={logs.FACTS: facts}))
    assert loaded["level"] == "warning"
    assert {"at", "logger", "event"} <= loaded.keys()


@given(message=st.text(), arguments=st.tuples(anything, anything))
def test_arguments_that_do_not_fit_their_message_are_still_one_object(message: str, arguments: tuple[Any, ...]) -> None:
    loaded = event(lambda logger: logger.warning("%d %s" + message, *arguments))  # noqa: G003
    assert "event" in loaded


def test_a_cycle_and_an_endless_number_end() -> None:
    cycle: dict[str, Any] = {}
    cycle["again"] = cycle
    loaded = event(lambda logger: logger.warning("cycle", extra={"cycle": cycle, "number": 10**6000}))
    assert loaded["number"].startswith("0x")


def test_an_exception_comes_with_its_trace_in_the_same_object() -> None:
    def act(logger: logging.Logger) -> None:
        try:
            raise ValueError("line one\nline two")
        except ValueError:
            logger.exception("It failed.")

    loaded = event(act)
    assert "line one\nline two" in loaded["exception"]
    assert "Traceback" in loaded["exception"]


def test_a_field_cannot_pass_for_one_of_ours() -> None:
    loaded = event(lambda logger: logger.warning("real", extra={logs.FACTS: {"level": "debug", "event": "forged"}}))
    assert (loaded["level"], loaded["event"]) == ("warning", "real")
    assert (loaded["level_"], loaded["event_"]) == ("debug", "forged")


@pytest.mark.parametrize(
    "text",
    [
        f"key {SECRET}",
        "Authorization: Bearer S3cretS3cretS3cret",
        "sk-S3cretS3cretS3cret",
        "postgres://lobby:S3cretS3cretS3cret@db/lobby",
    ],
)
@pytest.mark.parametrize("place", ["message", "argument", "fact", "nested", "exception"])
@pytest.mark.parametrize("as_json", [True, False])
def test_credentials_are_cut_out_wherever_they_stand(text: str, place: str, as_json: bool) -> None:
    def act(logger: logging.Logger) -> None:
        if place == "message":
            logger.warning(text)
        elif place == "argument":
            logger.warning("got %s", text)
        elif place == "fact":
            logger.warning("got", extra={"header": text})
        elif place == "nested":
            logger.warning("got", extra={"headers": [{"authorization": text.encode()}]})
        else:
            try:
                raise RuntimeError(text)
            except RuntimeError:
                logger.exception("failed")

    assert "S3cret" not in events(act, as_json=as_json)


def test_a_line_for_people_holds_no_control_codes() -> None:
    text = events(lambda logger: logger.warning("a\nb\r\x1b[31mc", extra={"who": "x\ny"}), as_json=False)
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert "\r" not in text


@pytest.fixture
def captured(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO):
        yield caplog


def test_structlog_takes_the_same_road(captured: pytest.LogCaptureFixture) -> None:
    structlog.get_logger("apps.test").warning("100%_full", name="x", args=[1], filename="f", secret=SECRET)
    line = json.loads(logs.Formatter(as_json=True).format(captured.records[-1]))
    assert line["event"] == "100%_full"
    assert (line["name"], line["args"], line["filename"]) == ("x", [1], "f")
    assert "S3cret" not in json.dumps(line)


def test_structlogs_exceptions_come_along(captured: pytest.LogCaptureFixture) -> None:
    try:
        raise KeyError("k")
    except KeyError:
        structlog.get_logger("apps.test").exception("failed")
    line = json.loads(logs.Formatter(as_json=True).format(captured.records[-1]))
    assert "KeyError: 'k'" in line["exception"]


def test_clients_that_print_what_they_get_are_kept_quiet_at_debug() -> None:
    loggers = logs.configuration(as_json=True, level="DEBUG")["loggers"]
    assert {loggers[name]["level"] for name in ("boto3", "botocore", "urllib3", "httpx", "httpcore")} == {"WARNING"}
