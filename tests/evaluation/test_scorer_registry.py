"""Scorers by name: their parameters, versions, and those that other packages bring."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar
from zipfile import ZipFile

import pytest

from apps.evaluation.scorers import Output, ParametersInvalid, Sample, Score, Scorer, ScorerUnknown, Steps, drive
from apps.evaluation.scorers.registry import BUILT_IN, GROUP, get, load, make
from tests.evaluation.scoring import sample, scored

ROOT = Path(__file__).resolve().parents[2]


class ClaimNumber(Scorer):
    """What a package of somebody else's would bring."""

    slug = "claim-number"
    title = "Claim number"
    description = "1 where the answer names a claim."
    parameters_schema: ClassVar = {"prefix": {"type": "string", "minLength": 1}}

    def score(self, sample: Sample, output: Output) -> Score:
        return Score.passed(self.parameters["prefix"] in output.text)


class Faulty(Scorer):
    slug = "faulty"
    title = "Faulty"
    description = "Fails."

    def steps(self, sample: Sample, output: Output) -> Steps:
        yield []
        raise ZeroDivisionError


class Careless(Scorer):
    """Returns what its author made of the example's expected value."""

    slug = "careless"
    title = "Careless"
    description = "Returns anything."

    def score(self, sample: Sample, output: Output) -> Score:
        made: Score = sample.expected[0]()
        return made


class Unfounded(Scorer):
    slug = "unfounded"
    title = "Unfounded"
    description = "Its schema is none."
    parameters_schema: ClassVar = {"most": {"type": "a great deal"}}


def entry(name: str, target: str) -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{target}", GROUP)


def test_a_package_brings_a_scorer_and_a_broken_one_is_told_by_name() -> None:
    brought = (
        entry("claim-number", "ClaimNumber"),
        entry("missing", "NoSuchClass"),
        EntryPoint("gone", "no_such_package:Scorer", GROUP),
        entry("number", "ROOT"),
        entry("other-name", "ClaimNumber"),
        entry("exact-match", "ClaimNumber"),
        entry("unfounded", "Unfounded"),
    )
    made = load(brought)
    assert made.scorers["claim-number"] is ClaimNumber
    assert len(made.scorers) == len(BUILT_IN) + 1
    assert made.broken.keys() == {"missing", "gone", "number", "other-name", "exact-match", "unfounded"}
    assert "no_such_package" in made.broken["gone"]
    assert "no subclass" in made.broken["number"]
    assert "no JSON Schemas" in made.broken["unfounded"]


ASK = """
import django; django.setup()
from apps.evaluation.scorers import Output, Sample, ScorerUnknown, drive
from apps.evaluation.scorers.registry import get, make
from apps.evaluation.selectors.scorers import kinds
assert kinds()["claim-number"].title == "Claim number"
sample = Sample("one", expected=("AC-7",))
scores = [drive(make("claim-number"), sample, Output(text), lambda calls: []) for text in ("It is AC-7.", "No.")]
print([score.value for score in scores])
try:
    get("gone")
except ScorerUnknown as error:
    print(error)
"""


def test_an_installed_package_as_the_docs_have_it_brings_its_scorer(tmp_path: Path) -> None:
    """A wheel, put in place by pip, in a process that starts afterwards."""
    docs = (ROOT / "docs" / "scorers.md").read_text()
    [source] = re.findall(r"```python\n(.*?class ClaimNumber.*?)```", docs, re.DOTALL)
    [entry_point] = re.findall(r'entry-points."lobby.scorers"\]\n(\S+) = "(\S+)"', docs)
    about = "acme_scorers-1.0.dist-info"
    files = {
        "acme_scorers.py": source,
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: acme-scorers\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": f"[{GROUP}]\n{' = '.join(entry_point)}\ngone = acme_scorers:NoSuchClass\n",
    }
    wheel = tmp_path / "acme_scorers-1.0-py3-none-any.whl"
    with ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{about}/RECORD", "".join(f"{name},,\n" for name in (*files, f"{about}/RECORD")))
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(site)]
    subprocess.run([*pip, str(wheel)], check=True)
    env = os.environ | {"PYTHONPATH": str(site), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run([sys.executable, "-c", ASK], cwd=ROOT, env=env, capture_output=True, text=True)
    scores, broken = done.stdout.splitlines()[-2:]
    assert scores == "[1.0, 0.0]", done.stderr
    assert "'gone' is installed and does not work" in broken
    assert "NoSuchClass" in broken


def test_an_unknown_scorer_is_told_with_those_there_are() -> None:
    with pytest.raises(ScorerUnknown, match=r"no scorer 'exct'.*exact-match"):
        get("exct")


@pytest.mark.parametrize(
    ("slug", "parameters", "field", "words"),
    [
        ("contains", {"text": "x"}, "text", "does not exist"),
        ("contains", {"mode": "some"}, "mode", "must be one of any, all, none"),
        ("contains", {"texts": ["a", 3]}, "texts", r"at \[1\].*must be of the type string"),
        ("contains", {"case_sensitive": "yes"}, "case_sensitive", "type boolean"),
    ],
)
def test_a_bad_parameter_is_named(slug: str, parameters: dict[str, object], field: str, words: str) -> None:
    with pytest.raises(ParametersInvalid, match=words) as caught:
        make(slug, parameters)
    assert caught.value.field == field


def test_a_whole_number_is_an_integer_however_it_is_written() -> None:
    """To JSON Schema 5.0 is one."""
    anchors = [{"value": 1.0, "meaning": "bad"}, {"value": 5.0, "meaning": "good"}]
    judge = make("judge-rubric", {"model": "m", "criteria": "c", "anchors": anchors, "temperature": 1.0})
    same = [{"value": 1, "meaning": "bad"}, {"value": 5, "meaning": "good"}]
    plain = make("judge-rubric", {"model": "m", "criteria": "c", "anchors": same, "temperature": 1.0})
    assert judge.version == plain.version
    verdict = Output('{"reason": "It does.", "score": 5}')
    assert drive(judge, sample(), Output("x"), lambda calls: [verdict]).value == 5.0
    assert scored("length", "one two", sample(), least=2.0, most=None).value == 1.0
    code, tests = "def double(n):\n    return 2 * n\n", "def test_double():\n    assert double(2) == 4\n"
    assert make("unit-tests", {"cpu_seconds": 5.0, "memory_mb": 512.0}).version == make("unit-tests").version
    told = scored("unit-tests", code, sample(tests), cpu_seconds=5.0, memory_mb=256.0, processes=8.0)
    assert told.value == 1.0, told
    with pytest.raises(ParametersInvalid, match="type integer"):
        make("unit-tests", {"cpu_seconds": 5.5})


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(ParametersInvalid, match="'prefix' of claim-number is missing"):
        ClaimNumber({})


def test_versions_differ_exactly_where_parameters_do() -> None:
    assert make("contains").version == make("contains", {"mode": "any", "texts": []}).version
    assert make("contains").version != make("contains", {"mode": "all"}).version
    assert make("contains").version != make("exact-match").version


def test_an_error_is_a_status_and_never_a_zero() -> None:
    assert scored("exact-match", "x", sample()).error is not None
    failed = drive(Faulty(), sample("x"), Output("x"), lambda calls: [])
    assert (failed.status, failed.value, failed.error and failed.error.code) == ("error", None, "scorer_failed")
    with pytest.raises(ValueError, match="either a value or an error"):
        Score(None)
    with pytest.raises(ValueError, match="is no score"):
        Score(float("nan"))


@pytest.mark.parametrize(
    "made",
    [
        lambda: 1.0,
        lambda: None,
        lambda: Score("1"),  # type: ignore[arg-type]
        lambda: Score(Decimal(1)),  # type: ignore[arg-type]
        lambda: Score(1.0, None),  # type: ignore[arg-type]
        lambda: Score(1.0, details=None),  # type: ignore[arg-type]
    ],
)
def test_a_scorer_that_returns_no_proper_score_is_an_error_of_its_example(made: Callable[[], object]) -> None:
    failed = drive(Careless(), sample(made), Output("x"))
    assert failed.error is not None
    assert failed.error.code == "scorer_failed"


def test_listing_scorers_loads_nothing_heavy() -> None:
    """The portal lists them in the web process."""
    heavy = ("numpy", "scipy", "statsmodels", "pandas", "sklearn", "nltk", "sacrebleu", "rouge_score", "rapidfuzz")
    source = (
        "import sys\n"
        "from apps.evaluation.scorers.registry import registry\n"
        "import apps.evaluation.scorers.suites, apps.evaluation.statistics\n"
        "assert registry().scorers\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", source], cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
