"""Files into datasets: mapped, imported once, resumed, cancelled; and the files that are made to hurt."""

from __future__ import annotations

import gzip
import io
import json
import resource
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO
from typing import cast as typed

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pytest_django import Settings

from apps.evaluation import mapping, services
from apps.evaluation.errors import FileRefused
from apps.evaluation.models import Dataset, Example, Upload
from apps.evaluation.reading import LINE_BYTES, Refused, Row
from apps.evaluation.reading.formats import text_rows
from apps.evaluation.services import examples, uploads
from apps.evaluation.services.examples import Stored
from apps.evaluation.services.uploads import run_import, sweep_uploads
from apps.tenants.errors import Invalid, NotFound, PermissionDenied
from tests.cast import Cast
from tests.evaluation.datasets.conftest import Import

CSV = b"""id,claim,amount,answer,segment,split,tags
c-1,Hail broke a skylight,250,home,hail,test,"roof, water"
c-2,"Two cars, one scratch",80.5,motor,parking,train,
"""


def counts(upload: Upload) -> tuple[int, int, int, int]:
    return upload.rows_added, upload.rows_changed, upload.rows_same, upload.rows_refused


def rows_in(dataset: Dataset) -> list[Example]:
    rows = Example.objects.unscoped("test").filter(dataset=dataset, is_removed=False)
    return list(rows.select_related("current").order_by("pk"))


def table(**columns: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


def test_columns_are_guessed_by_the_prompts_variables_and_by_their_names(upload: Callable[..., Upload]) -> None:
    assert upload(CSV).mapping == {
        "id": "key", "claim": "input:claim", "amount": "input:amount", "answer": "expected", "segment": "slice",
        "split": "split", "tags": "tags",
    }  # fmt: skip
    chat = b'{"messages": [{"role": "user", "content": "Hi"}], "ideal": "Hello"}\n'
    assert upload(chat, "a.jsonl").mapping == {"messages": "messages", "ideal": "expected"}
    # One column that nothing names, one variable that has none yet: they belong together.
    assert upload(b"text;amount;label\nHail;2;home\n").mapping == {
        "text": "input:claim", "amount": "input:amount", "label": "expected",
    }  # fmt: skip
    # The shape of public sets for sorting texts: a category is the right answer where no other column is.
    sorting = b"text,amount,category\nMy card has not come,1,card_arrival\n"
    assert upload(sorting).mapping["category"] == "expected"
    assert upload(sorting.replace(b"amount", b"answer")).mapping["category"] == "slice"

    # So is a first column of ids, where each row has its own.
    tickets = b"ticket_id,text,category\nT-1,My card has not come,card_arrival\nT-2,I lost it,lost_card\n"
    assert upload(tickets).mapping["ticket_id"] == "key"
    assert upload(tickets.replace(b"T-2", b"T-1")).mapping["ticket_id"] != "key"
    assert upload(tickets.replace(b"text", b"id")).mapping["id"] == "key"


@pytest.fixture
def plain(cast: Cast, dataset: Dataset, imported: Import) -> Dataset:
    """Without a prompt: what its examples have is all that is known of it."""
    services.update_dataset(actor=cast.actor("developer"), dataset=dataset, prompt=None)
    dataset.refresh_from_db()
    imported(b"claim,line,expected\nHail,home,low\nFire,home,high\n")
    return dataset


def test_without_a_prompt_columns_are_guessed_by_what_the_examples_have(
    plain: Dataset, upload: Callable[..., Upload]
) -> None:
    assert upload(b"Claim,expectd\nHail,low\n").mapping == {"Claim": "input:claim", "expectd": ""}
    assert upload(b"claim,note,expected\nHail,x,low\n").mapping["note"] == ""  # nor is it the line


def test_a_guess_without_the_expected_answer_that_the_examples_have_is_refused(
    cast: Cast, plain: Dataset, upload: Callable[..., Upload], imported: Import
) -> None:
    wrong = b"claim,line,expectd\nHail,home,high\n"
    with pytest.raises(Invalid, match="No column is the expected answer, which the 2 examples that are there have"):
        services.start_import(actor=cast.actor("developer"), upload=upload(wrong))
    assert [row.current.expected for row in rows_in(plain) if row.current] == ["low", "high"]
    # What somebody says counts, also that there is none.
    parts = {"claim": "input:claim", "line": "input:line"}
    assert counts(imported(wrong, mapping=parts | {"expectd": "expected"})) == (0, 1, 0, 0)
    assert counts(imported(b"claim,line\nFlood,home\n", mapping=parts)) == (1, 0, 0, 0)


def test_rated_answers_are_recognised_also_where_some_are_there(
    cast: Cast, dataset: Dataset, upload: Callable[..., Upload], imported: Import
) -> None:
    services.update_dataset(actor=cast.actor("developer"), dataset=dataset, prompt=None)
    dataset.refresh_from_db()
    rated = b"question,answer,rating\nWhy?,So,1\nWho?,They,0\n"
    done = imported(rated)
    assert counts(done) == (2, 0, 0, 0)
    assert upload(rated).mapping == done.mapping


def test_rated_answers_are_recognised_as_what_calibrates_a_judge() -> None:
    columns = ["question", "answer", "rating"]
    found = {"question": "input:question", "answer": "input:answer", "rating": "expected"}
    assert mapping.guess(columns, [], {}) == found
    # With an expected answer, or for a prompt, which is given no answers, a rating is something else.
    assert mapping.guess(["expected", "response", "rating"], [], {})["expected"] == "expected"
    assert mapping.guess(columns, [], {"question": {}}) == found | {"answer": "expected", "rating": ""}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_file_becomes_examples_and_importing_it_again_changes_nothing(
    dataset: Dataset, imported: Import, archive_folder: Path, kind: str
) -> None:
    data = {
        "csv": CSV,
        "jsonl": b'{"id": "c-1", "claim": "Hail broke a skylight", "amount": 250, "answer": "home", "segment": "hail",'
        b' "split": "test", "tags": ["roof", "water"]}\n'
        b'{"id": "c-2", "claim": "Two cars, one scratch", "amount": 80.5, "answer": "motor", "segment": "parking",'
        b' "split": "train"}\n',
        "parquet": table(
            id=["c-1", "c-2"], claim=["Hail broke a skylight", "Two cars, one scratch"], amount=[250.0, 80.5],
            answer=["home", "motor"], segment=["hail", "parking"], split=["test", "train"],
            tags=[["roof", "water"], None],
        ),
    }[kind]  # fmt: skip
    done = imported(data, f"claims.{kind}")
    assert (done.status, done.error, counts(done), done.errors) == ("done", "", (2, 0, 0, 0), [])
    first, second = (row.current for row in rows_in(dataset))
    assert first is not None
    assert second is not None
    assert first.input == {"claim": "Hail broke a skylight", "amount": 250}
    assert (first.expected, first.slice, first.split, first.tags) == ("home", "hail", "test", ["roof", "water"])
    assert (second.input["amount"], second.split, second.source, second.number) == (80.5, "dev", "upload", 1)
    assert counts(imported(data, f"claims.{kind}")) == (0, 0, 2, 0)
    # Whatever the format, the content is the same.
    assert counts(imported(CSV.replace(b"home", b"house"))) == (0, 1, 1, 0)
    assert [path for path in archive_folder.rglob("*") if path.is_file()] == []


def test_without_a_key_the_input_is_the_key(dataset: Dataset, imported: Import) -> None:
    assert counts(imported(b"claim,answer\nHail,home\nCar,motor\nHail,travel\n")) == (2, 0, 0, 1)
    again = imported(b"claim,answer\nHail,travel\nCar,motor\n")
    assert counts(again) == (0, 1, 1, 0)


def test_a_worker_that_dies_is_followed_by_one_that_goes_on(
    cast: Cast, dataset: Dataset, upload: Callable[..., Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"c-{n},Claim {n},{'x' if n % 7 == 3 else n},home" for n in range(1, 31)]
    made = upload(("id,claim,amount,answer\n" + "\n".join([*lines, "c-2,Again,1,home"])).encode())
    services.start_import(actor=cast.actor("developer"), upload=made)
    monkeypatch.setattr(uploads, "BATCH", 4)
    real, calls = examples.store, []

    def dies(*arguments: Any) -> list[Stored]:
        calls.append(1)
        if len(calls) % 2 == 0:
            raise SystemExit
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(uploads, "store", dies)
        for _ in range(4):
            with pytest.raises(SystemExit):
                run_import(made.pk)
    run_import(made.pk)
    run_import(made.pk)  # a message that comes twice
    made.refresh_from_db()
    assert (made.status, made.rows_read, counts(made)) == ("done", 31, (26, 0, 0, 5))
    assert [each["line"] for each in made.errors] == [4, 11, 18, 25, 32]
    assert made.errors[0] == {"line": 4, "column": "amount", "reason": "'x' is no number."}
    assert made.errors[4]["reason"] == "The key 'c-2' stands in line 3 already."
    assert len(rows_in(dataset)) == 26


@pytest.mark.parametrize("what", ["cancelled", "another worker"])
def test_a_worker_stops_between_two_batches(
    cast: Cast, dataset: Dataset, upload: Callable[..., Upload], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    made = upload(("claim\n" + "\n".join(f"Claim {n}" for n in range(30))).encode())
    services.start_import(actor=cast.actor("developer"), upload=made)
    monkeypatch.setattr(uploads, "BATCH", 4)
    real = mapping.Mapper.mapped

    def interrupted(self: Any, values: Any) -> Any:
        if values["claim"] == "Claim 9":  # in the third batch
            if what == "cancelled":
                services.cancel_upload(actor=cast.actor("developer"), upload=made)
            else:
                Upload.objects.unscoped("test").filter(pk=made.pk).update(rows_read=12)
        return real(self, values)

    monkeypatch.setattr(mapping.Mapper, "mapped", interrupted)
    run_import(made.pk)
    made.refresh_from_db()
    assert made.status == ("cancelled" if what == "cancelled" else "importing")
    assert made.rows_added == len(rows_in(dataset)) == 8


def test_the_sweep_wakes_what_was_forgotten_and_drops_what_nobody_wants(
    cast: Cast, upload: Callable[..., Upload], archive_folder: Path, django_capture_on_commit_callbacks: Any
) -> None:
    made = upload(CSV)
    Upload.objects.unscoped("test").filter(pk=made.pk).update(created_at="2026-01-01T00:00:00Z")
    with django_capture_on_commit_callbacks(execute=True):
        sweep_uploads()
    made.refresh_from_db()
    assert (made.status, made.error) == ("failed", "Nobody imported it within two days.")
    assert [path for path in archive_folder.rglob("*") if path.is_file()] == []


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("claims.csv", b"0" * 5_000_000)
    return stream.getvalue()


REFUSED: dict[str, tuple[bytes, str, str]] = {
    "zip bomb": (zipped(), "a.csv", "a zip file"),
    "gzip": (gzip.compress(CSV * 1000), "a.jsonl", "compressed by gzip"),
    "old Excel": (b"\xd0\xcf\x11\xe0" + bytes(600), "a.csv", "old Excel workbook"),
    "UTF-16 with a mark": (CSV.decode().encode("utf-16"), "a.csv", "in UTF-16. Save it as UTF-8"),
    "UTF-16 without": (CSV.decode().encode("utf-16-le"), "a.csv", "in UTF-16. Save it as UTF-8"),
    "UTF-32": (CSV.decode().encode("utf-32"), "a.csv", "in UTF-32"),
    "Latin-1": ("claim,answer\nDie Tür,home\n".encode("latin-1"), "a.csv", "Line 2: The byte 0xFC is no UTF-8"),
    "Latin-1 header": ("Tür,answer\nHail,home\n".encode("latin-1"), "a.csv", "0xFC is no UTF-8"),
    "nothing": (b"", "a.csv", "empty"),
    "blanks": (b" \n\n", "a.csv", "empty"),
    "a header alone": (b"claim,answer\n", "a.csv", "no row below the header"),
    "duplicate columns": (b"claim,answer,claim\na,b,c\n", "a.csv", "'claim' is there twice, as columns 1 and 3"),
    "too many columns": (",".join(f"c{n}" for n in range(300)).encode() + b"\n1\n", "a.csv", "300 columns"),
    "a first row without an end": (b'claim\n"' + b"x" * 4_300_000, "a.csv", "first row does not end within 4,194,304"),
    "a long header": (b"x" * (LINE_BYTES + 9) + b"\n1\n", "a.csv", "first line is longer"),
    "another kind": (CSV, "a.exe", "ends with '.exe'"),
    "no ending": (CSV, "claims", "has no ending"),
    "a JSON list": (b'[{"claim": "a"}]', "a.json", "one JSON list"),
    "no JSON": (b"claim: hail\n", "a.jsonl", "Line 1: The line is no JSON"),
    "a page of signing in": (b"<!DOCTYPE html>\n<html>\n</html>\n", "a.csv", "a web page. Where it was downloaded"),
    "not Parquet": (CSV, "a.parquet", "no Parquet file"),
    "a binary": (bytes(range(256)) * 3 + bytes(900), "a.csv", "not a text file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_are_none_are_refused_with_what_to_do(
    upload: Callable[..., Upload], archive_folder: Path, name: str
) -> None:
    data, file_name, told = REFUSED[name]
    with pytest.raises(FileRefused) as refused:
        upload(data, file_name)
    assert told in str(refused.value)
    assert [path for path in archive_folder.rglob("*") if path.is_file()] == []


LINES: dict[str, tuple[bytes, str, list[tuple[int, str]]]] = {
    "ragged": (b"claim,answer\na,b\nc\nd,e,f\ng,h\n", "a.csv", [(3, "has 1 cells"), (4, "has 3 cells")]),
    "NUL": (b"claim,answer\na,b\nc\x00,d\n", "a.csv", [(3, "NUL")]),
    "Latin-1 later": (b"claim\n" + b"a%d\n" * 20 % tuple(range(20)) + b"T\xfcr\nz\n", "a.csv", [(22, "0xFC")]),
    "quotes": (b'claim,answer\n"a"x,b\n"c\nd",e\nf,g\n', "a.csv", [(2, "no CSV")]),
    "an open quote": (b'claim,answer\na,b\n"c,d\ne,f\n', "a.csv", [(3, "never closed, so that this row goes on")]),
    "a long line": (b"claim\na\n" + b"x" * (LINE_BYTES + 1) + b"\nb\n", "a.csv", [(3, "longer than")]),
    "a long example": (b"claim\na\n" + b"x" * 1_500_000 + b"\nb\n", "a.csv", [(3, "at most 1,000,000 fit")]),
    "not a number": (b"claim,amount\na,1\nb,NaN\nc,1e999\nd,ten\n", "a.csv",
                     [(3, "'NaN' is no number"), (4, "NaN and Infinity"), (5, "'ten' is no number")]),
    "no split": (b"claim,split\na,test\nb,holdout\n", "a.csv", [(3, "'holdout' is no split")]),
    "NaN": (b'{"claim": "a"}\n{"claim": NaN}\n{"claim": -Infinity}\n{"claim": 1e999}\n', "a.jsonl",
            [(2, "NaN is no value"), (3, "-Infinity is no value"), (4, "too large")]),
    "twice": (b'{"claim": "a"}\n{"claim": "b", "claim": "c"}\n', "a.jsonl", [(2, "'claim' is there twice")]),
    "deep": (b'{"claim": "a"}\n{"claim": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "a.jsonl", [(2, "nested")]),
    "half a pair": (b'{"claim": "a"}\n{"claim": "\\ud800"}\n{"claim": "\\u0000"}\n', "a.jsonl",
                    [(2, "surrogate"), (3, "NUL")]),
    "large number": (b'{"claim": "a"}\n{"claim": ' + b"9" * 5000 + b"}\n", "a.jsonl", [(2, "too large")]),
    "no objects": (b'{"claim": "a"}\n[1]\n"x"\n{"other": 1}\n', "a.jsonl",
                   [(2, "no object"), (3, "no object"), (4, "The input is empty")]),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_rows_that_cannot_be_used_are_counted_by_line_and_the_others_are_imported(imported: Import, name: str) -> None:
    data, file_name, wrong = LINES[name]
    done = imported(data, file_name)
    assert (done.status, done.error) == ("done", "")
    assert [each["line"] for each in done.errors] == [line for line, _ in wrong]
    for each, (_, told) in zip(done.errors, wrong, strict=True):
        assert told in each["reason"]
    assert done.rows_refused == len(wrong)
    assert done.rows_added == done.rows_read - len(wrong) > 0


def test_marks_and_formulas_and_other_line_ends_are_just_text(dataset: Dataset, imported: Import) -> None:
    done = imported("\ufeffclaim\tanswer\r\n=cmd|' /C calc'!A0\t+49\r\n\r\n@SUM(1)\t-1".encode())
    assert counts(done) == (2, 0, 0, 0)
    first = rows_in(dataset)[0].current
    assert first is not None
    assert (first.input, first.expected) == ({"claim": "=cmd|' /C calc'!A0"}, "+49")


class Endless(io.RawIOBase):
    """A file of one line, as long as asked for, of which nothing lies anywhere."""

    def __init__(self, head: bytes, size: int, tail: bytes) -> None:
        self._left, self._parts = size, [head, tail]

    def read(self, size: int = -1) -> bytes:
        if self._parts and len(self._parts) == 2:
            return self._parts.pop(0)
        if self._left > 0:
            taken = min(size, self._left)
            self._left -= taken
            return b"x" * taken
        return self._parts.pop() if self._parts else b""


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_a_line_without_an_end_costs_no_memory(format: str) -> None:
    head = b"claim\na\n" if format == "csv" else b'{"claim": "a"}\n'
    tail = b"\nb\n" if format == "csv" else b'\n{"claim": "b"}\n'
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    file = typed(BinaryIO, Endless(head, 400_000_000, tail))
    found = list(text_rows(file, format))
    assert [type(each) for each in found] == [Row, Refused, Row]
    assert "longer than" in typed(Refused, found[1]).reason
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KB


def test_what_is_too_large_is_refused_while_it_arrives(
    upload: Callable[..., Upload], settings: Settings, archive_folder: Path
) -> None:
    settings.UPLOAD_MAX_BYTES = 200_000
    with pytest.raises(FileRefused, match="larger than 200,000 bytes"):
        upload(b"claim\n" + b"x\n" * 500_000)
    assert [path for path in archive_folder.rglob("*") if path.is_file()] == []


def test_the_first_errors_are_kept_all_are_counted_and_too_many_end_it(
    imported: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = imported(b"claim,amount\nok,1\n" + b"a,x\n" * 3_000)
    assert (done.status, done.rows_refused, len(done.errors)) == ("done", 3_000, 100)
    monkeypatch.setattr(uploads, "MOST_REFUSED", 2_000)
    ended = imported(b"claim,amount\nok,1\n" + b"a,x\n" * 30_000)
    assert (ended.status, ended.rows_added + ended.rows_same) == ("failed", 1)
    assert "2,000 rows were refused" in ended.error
    assert ended.rows_read < 5_000


# Parquet.


def bomb() -> bytes:
    """A few kilobytes that decompress to more than a row group may have."""
    stream = io.BytesIO()
    text = "x" * 900_000
    with pq.ParquetWriter(
        stream, pa.schema([("claim", pa.string())]), compression="zstd", use_dictionary=False
    ) as file:
        file.write_table(pa.table({"claim": [text] * 600}), row_group_size=600)
    return stream.getvalue()


def with_footer(length: int) -> bytes:
    data = table(claim=["a"])
    return data[:-8] + struct.pack("<I", length) + b"PAR1"


def garbled() -> bytes:
    data = table(claim=["a" * 50, "b" * 50])
    return data[:4] + b"\x15" * 60 + data[64:]


def twice() -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["claim", "claim"]), stream)
    return stream.getvalue()


PARQUETS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a bomb": (bomb, "says that it has"),
    "cut off": (lambda: table(claim=["a"])[:-20], "has no end"),
    "a footer longer than the file": (lambda: with_footer(2**31), "longer than the file"),
    "a footer of garbage": (lambda: b"PAR1" + b"\xff" * 500 + struct.pack("<I", 480) + b"PAR1", "cannot be read"),
    "garbage inside": (garbled, "Parquet"),
    "duplicate columns": (twice, "there twice"),
}


@pytest.mark.parametrize("name", PARQUETS)
def test_hostile_parquet_fails_with_a_reason(upload: Callable[..., Upload], name: str) -> None:
    make, told = PARQUETS[name]
    made = upload(make(), "a.parquet")
    assert made.status == "failed"
    assert told in made.error


def test_parquets_types_become_json_or_an_error_by_row(dataset: Dataset, imported: Import) -> None:
    data = table(
        claim=pa.array(["a", "b", "c"]),
        answer=pa.array([{"line": "home", "when": None}, None, {"line": "motor", "when": None}]),
        amount=pa.array([1.5, float("nan"), 2.0]),
        documents=pa.array([["one", "two"], [], None]),
    )
    done = imported(data, "a.parquet")
    assert counts(done) == (2, 0, 0, 1)
    assert done.errors == [
        {"line": 2, "column": "amount", "reason": "NaN and Infinity are no values; leave the cell empty."}
    ]
    first = rows_in(dataset)[0].current
    assert first is not None
    assert (first.expected, first.context) == ({"line": "home", "when": None}, ["one", "two"])


# Who may.


def test_only_those_who_edit_upload_and_the_outsider_finds_nothing(cast: Cast, dataset: Dataset) -> None:
    for part in ("viewer", "reviewer"):
        with pytest.raises(PermissionDenied):
            services.begin_upload(actor=cast.actor(part), dataset=dataset, file_name="a.csv")
    with pytest.raises(NotFound):
        services.begin_upload(actor=cast.actor("outsider"), dataset=dataset, file_name="a.csv")


def test_who_may_no_longer_edit_imports_nothing(cast: Cast, dataset: Dataset, upload: Callable[..., Upload]) -> None:
    made = upload(CSV)
    services.start_import(actor=cast.actor("developer"), upload=made)
    cast["developer"].memberships.update(role="viewer")
    run_import(made.pk)
    made.refresh_from_db()
    assert (made.status, rows_in(dataset)) == ("failed", [])


@pytest.mark.parametrize(
    "parts",
    [
        {"claim": "moon"},
        {"nosuch": "key"},
        {"claim": "expected"},
        {"claim": "input:claim", "answer": "input:claim"},
        {"claim": "messages", "answer": "input:x"},
        {"claim": "input:9 lives"},
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(
    cast: Cast, upload: Callable[..., Upload], parts: dict[str, str]
) -> None:
    with pytest.raises(Invalid):
        services.start_import(actor=cast.actor("developer"), upload=upload(CSV), mapping=parts)


def test_a_schema_holds_for_each_row(cast: Cast, dataset: Dataset, imported: Import) -> None:
    schema = {"type": "object", "properties": {"line": {"enum": ["home", "motor"]}}, "required": ["line"]}
    services.update_dataset(actor=cast.actor("developer"), dataset=dataset, expected_schema=schema)
    lines = [{"claim": "a", "expected": {"line": "home"}}, {"claim": "b", "expected": {"line": "moon"}}, {"claim": "c"}]
    done = imported("\n".join(map(json.dumps, lines)).encode(), "a.jsonl")
    assert counts(done) == (1, 0, 0, 2)
    assert done.errors[0]["reason"] == "The expected (at line) is not one of: home, motor."
