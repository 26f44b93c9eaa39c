"""Scorers that compare texts: right and wrong answers, and what an odd example is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import sentence_bleu, sentence_chrf

from apps.evaluation.scorers import Failure, Output, ParametersInvalid, Score, drive
from apps.evaluation.scorers.answers import numbers
from apps.evaluation.scorers.registry import make
from apps.evaluation.scorers.wording import normalised
from tests.evaluation.scoring import sample, scored

LETTERS = ["A", "B", "C", "D"]
DIGITS = ["1", "2", "3", "4", "5"]
LABELS = ["fraud", "no fraud", "needs review"]
PERSON = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
CLAIM = {"claim": {"number": "C-17", "amount": 120.0}, "open": True, "tags": ["hail", "roof"]}


@pytest.mark.parametrize(
    ("slug", "answer", "expected", "parameters", "value"),
    [
        ("exact-match", " Paris\n", ["Paris"], {}, 1),
        ("exact-match", "paris", ["Paris"], {}, 0),
        ("exact-match", "Rome", ["Paris", "Rome"], {}, 1),
        ("exact-match", '{"a": 1}', [{"a": 1}], {}, 1),
        ("normalised-match", "The  PARIS!", ["paris"], {}, 1),
        ("normalised-match", "ｆｕｌｌ ﬁt", ["Full fit"], {}, 1),
        ("normalised-match", "-5", ["5"], {}, 0),
        ("normalised-match", "", ["A"], {}, 0),
        ("normalised-match", "a.", ["A"], {}, 1),
        ("normalised-match", "3.14", ["314"], {}, 0),
        ("normalised-match", "it's well-known", ["its well known"], {}, 1),
        ("normalised-match", "Paris", ["paris"], {"ignore": ["whitespace"]}, 0),
        ("contains", "It is Paris, of course.", ["paris"], {}, 1),
        ("contains", "Hail and storm", [], {"texts": ["hail", "fire"], "mode": "all"}, 0),
        ("contains", "Hail and fire", [], {"texts": ["hail", "fire"], "mode": "all"}, 1),
        ("contains", "Hail", [], {"texts": ["hail"], "mode": "none"}, 0),
        ("contains", "hail", [], {"texts": ["Hail"], "case_sensitive": True}, 0),
        ("contains", "fire", ["", "hail"], {}, 0),
        ("regex", "Claim C-1234.", [], {"pattern": r"\bC-\d{4}\b"}, 1),
        ("regex", "Claim c-1234.", [], {"pattern": r"C-\d{4}", "ignore_case": True}, 1),
        ("regex", "Claim C-1234.", [], {"pattern": r"C-\d{4}", "whole": True}, 0),
        ("regex", "a" * 5_000 + "!", [], {"pattern": r"^(a+)+$"}, 0),
        ("choice-match", "No fraud.", ["no fraud"], {"labels": LABELS}, 1),
        ("choice-match", "Fraud", ["no fraud"], {"labels": LABELS}, 0),
        (
            "choice-match",
            "It might be fraud at first sight.\n\nAnswer: **needs review**",
            ["needs review"],
            {"labels": LABELS},
            0,
        ),
        ("choice-match", "Let us see.\nAnswer: **needs review**", ["needs review"], {"labels": LABELS}, 1),
        ("choice-match", "fraud or no fraud?", ["fraud"], {"labels": LABELS}, 0),
        ("choice-match", "who knows", ["fraud"], {"labels": LABELS}, 0),
        ("choice-match", "This is a question about cells.\nThe answer is B.", ["B"], {"labels": LETTERS}, 1),
        ("choice-match", "It is a hard one; the answer is (B).", ["B"], {"labels": LETTERS}, 1),
        ("choice-match", "**a**", ["A"], {"labels": LETTERS}, 1),
        ("choice-match", "Answer: A", ["a"], {"labels": ["a", "b"]}, 1),
        ("choice-match", "PLAN A, as a rule", ["plan a"], {"labels": ["Plan A", "Plan B", "B"]}, 1),
        ("choice-match", "In der STRASSE", ["Straße"], {"labels": ["Straße", "Weg"]}, 1),
        ("choice-match", "Rating: 1.5", ["1"], {"labels": DIGITS}, 0),
        ("choice-match", "Rating: 1.", ["1"], {"labels": DIGITS}, 1),
        ("choice-match", "Of 1,000 people, -2 or 2.5 gave a 4.", ["4"], {"labels": DIGITS}, 1),
        ("choice-match", "It is -1, I think", ["-1"], {"labels": ["-1", "0", "1"]}, 1),
        ("choice-match", "+", ["+"], {"labels": ["+", "minus"]}, 1),
        ("numeric-match", "12 claims make $1,234.50 in all", [1234.5], {}, 1),
        ("numeric-match", "about 99", ["100"], {"relative": 0.02}, 1),
        ("numeric-match", "about 97", ["100"], {"relative": 0.02}, 0),
        ("numeric-match", "98.4", [100], {"absolute": 2}, 1),
        ("numeric-match", "−3.5", [-3.5], {}, 1),
        ("numeric-match", "1 or 2", [1], {"take": "only"}, 0),
        ("numeric-match", "1 or 2", [1], {"take": "first"}, 1),
        ("numeric-match", "none", [1], {}, 0),
        ("json-valid", '```json\n{"a": [1, 2]}\n```', [], {}, 1),
        ("json-valid", '```json\n{"a": 1}\n```', [], {"fenced": False}, 0),
        ("json-valid", '```JSON \r\n{"a": 1}\r\n```\r\n', [], {}, 1),
        ("json-valid", "```json\n" + " " * 200_000 + "{", [], {}, 0),
        ("json-valid", 'Here: {"a": 1}', [], {}, 0),
        ("json-valid", '{"a": NaN}', [], {}, 0),
        ("json-valid", '{"a": 1, "a": 2}', [], {}, 0),
        ("json-valid", "[" * 100_000, [], {}, 0),
        ("json-schema", '{"age": 7}', [], {"schema": PERSON}, 1),
        ("json-schema", '{"age": "7"}', [], {"schema": PERSON}, 0),
        ("json-schema", '"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"', [], {"schema": {"pattern": "^(a+)+$"}}, 0),
        (
            "json-schema",
            '{"x1": 1, "y": 2}',
            [],
            {"schema": {"patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": False}},
            0,
        ),
        (
            "json-fields",
            '{"claim": {"number": "c-17", "amount": 120}, "open": true, "tags": ["hail", "fire"]}',
            [CLAIM],
            {},
            0.8,
        ),
        ("json-fields", '{"open": 1}', [CLAIM], {"fields": ["open"]}, 0),
        ("json-fields", '{"claim": {"amount": 120}}', [CLAIM], {"fields": ["claim.amount"]}, 1),
        ("json-fields", '{"claim": {"number": "C-18", "amount": 9}}', [CLAIM], {"fields": ["claim"]}, 0),
        ("json-fields", '{"claim": {"amount": 120}}', [CLAIM], {"fields": ["claim", "claim.amount"]}, 0.5),
        ("json-fields", "no", [CLAIM], {}, 0),
        ("json-fields", '{"n": 1' + "0" * 400 + "}", [{"n": 1}], {}, 0),
        ("json-fields", '{"n": 1' + "0" * 400 + "}", [{"n": 10**400}], {}, 1),
        ("json-schema", "1" + "0" * 400, [], {"schema": {"multipleOf": 0.5, "maximum": 1e300}}, 0),
        ("json-schema", "19.99", [], {"schema": {"multipleOf": 0.01}}, 1),
        ("json-schema", "1e999", [], {"schema": {"multipleOf": 0.01}}, 0),
        ("edit-similarity", "kitten", ["sitting"], {}, 1 - 3 / 7),
        ("edit-similarity", "", [""], {}, 1),
        ("length", "one two three", [], {}, 3),
        ("length", "one two three", [], {"most": 2}, 0),
        ("length", "abc", [], {"unit": "characters", "least": 3, "most": 3}, 1),
        ("refusal", "I'm sorry, but I can’t help with that.", [], {}, 1),
        ("refusal", "The policy covers hail.", [], {}, 0),
        ("toxicity-screen", "You are an IDIOT.", [], {}, 1),
        ("toxicity-screen", "The scunthorpe class assessment is shitake.", [], {}, 0),
        ("toxicity-screen", "What a numpty", [], {"more": ["Numpty"]}, 1),
        ("toxicity-screen", "you idiot", [], {"categories": ["threat"]}, 0),
    ],
)
def test_values(slug: str, answer: str, expected: list[Any], parameters: dict[str, Any], value: float) -> None:
    score = scored(slug, answer, sample(*expected), **parameters)
    assert score.value == pytest.approx(value), score
    scorer = make(slug, parameters)
    low, high = scorer.range
    assert low is None or score.value is None or low <= score.value
    assert high is None or score.value is None or score.value <= high


@pytest.mark.parametrize(
    ("slug", "parameters", "field", "words"),
    [
        ("regex", {"pattern": "(?=x)"}, "pattern", "no pattern of RE2's"),
        ("regex", {"pattern": r"(a)\1"}, "pattern", "no pattern of RE2's"),
        ("regex", {"pattern": "\ud800"}, "pattern", "half of a surrogate pair"),
        ("json-schema", {"schema": {"pattern": "(?=x)"}}, "schema", "none of RE2's"),
        ("json-schema", {"schema": {"$ref": "http://example.com/"}}, "schema", "only point inside"),
        ("json-schema", {"schema": {"type": "text"}}, "schema", "no schema to check by"),
        ("choice-match", {"labels": ["Yes", "yes!"]}, "labels", "two labels that differ"),
        ("choice-match", {"labels": ["+", "-"]}, "labels", "'-', of which punctuation aside nothing is left"),
        ("contains", {"texts": ["hail", " "]}, "texts", "blanks alone"),
        ("length", {"least": 3, "most": 2}, "least", "above 'most'"),
        ("robustness", {"metric": {"scorer": "robustness"}}, "metric", "asks again itself"),
        ("robustness", {"kinds": ["paraphrase"]}, "model", "is missing"),
        ("judge-rubric", {"model": "m"}, "criteria", "is missing"),
        (
            "judge-rubric",
            {"model": "m", "criteria": "c", "anchors": [{"value": 1, "meaning": "a"}, {"value": 1, "meaning": "b"}]},
            "anchors",
            "two meanings",
        ),
    ],
)
def test_bad_parameters_are_named(slug: str, parameters: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ParametersInvalid, match=words) as caught:
        make(slug, parameters)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("slug", "expected", "parameters", "code"),
    [
        ("exact-match", [], {}, "no_expected"),
        ("contains", ["", " \n"], {}, "expected_empty"),
        ("numeric-match", ["many"], {}, "expected_not_a_number"),
        ("choice-match", ["maybe"], {"labels": LABELS}, "expected_not_a_label"),
        ("json-fields", ["{"], {}, "expected_not_json"),
        ("json-fields", [CLAIM], {"fields": ["open", "clam.number"]}, "expected_lacks_field"),
        ("json-fields", [CLAIM], {"fields": ["op"]}, "expected_lacks_field"),
        ("latency", [], {}, "no_latency"),
        ("first-token", [], {}, "no_first_token"),
        ("cost", [], {}, "no_cost"),
        ("length", [], {"unit": "tokens"}, "no_tokens"),
        ("groundedness", [], {}, "no_context"),
        ("robustness", ["x"], {}, "no_models"),
    ],
)
def test_what_cannot_be_scored_is_an_error_with_a_code(
    slug: str, expected: list[Any], parameters: dict[str, Any], code: str
) -> None:
    score = scored(slug, "{}", sample(*expected, asked="What are the two answers?"), **parameters)
    assert score.value is None
    assert score.error is not None
    assert score.error.code == code


def test_a_failed_answer_is_not_scored() -> None:
    score = drive(make("refusal"), sample(), Output(error=Failure("timeout", "It took too long.")))
    assert score.error is not None
    assert (score.error.code, score.details["cause"]) == ("no_output", "timeout")


def test_what_an_answer_took() -> None:
    output = Output("x", latency_ms=120.5, first_token_ms=40, cost_picodollars=25 * 10**8, output_tokens=7)
    values = [scored(slug, output, sample()).value for slug in ("latency", "first-token", "cost")]
    assert values == [120.5, 40.0, 0.0025]
    assert scored("length", output, sample(), unit="tokens").value == 7
    assert scored("refusal", Output("", finish_reason="content_filter"), sample(), want="refusal").value == 1


def test_overlap_is_what_the_libraries_say() -> None:
    answer, expected = "The cat sat on the mat today", "A cat was sitting on the mat"
    rouge = RougeScorer(["rouge1", "rouge2", "rougeL"]).score(expected, answer)
    for slug, name in (("rouge-1", "rouge1"), ("rouge-2", "rouge2"), ("rouge-l", "rougeL")):
        assert scored(slug, answer, sample(expected)).value == pytest.approx(rouge[name].fmeasure)
        assert scored(slug, answer, sample(expected), part="recall").value == pytest.approx(rouge[name].recall)
    bleu = sentence_bleu(answer, [expected, "The cat sat."]).score
    assert scored("bleu", answer, sample(expected, "The cat sat.")).value == pytest.approx(bleu / 100)
    assert scored("chrf", answer, sample(expected)).value == pytest.approx(
        sentence_chrf(answer, [expected]).score / 100
    )
    for slug in ("rouge-1", "rouge-2", "rouge-l", "bleu", "chrf", "edit-similarity"):
        assert scored(slug, expected, sample(expected)).value == pytest.approx(1.0)
        assert scored(slug, "", sample(expected)).value == pytest.approx(0.0)


@given(st.text(st.characters(codec="ascii")), st.text(st.characters(codec="ascii")), st.booleans())
def test_of_english_texts_rouge_is_the_librarys(answer: str, expected: str, stem: bool) -> None:
    rouge = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=stem).score(expected, answer)
    for slug, name in (("rouge-1", "rouge1"), ("rouge-2", "rouge2"), ("rouge-l", "rougeL")):
        assert scored(slug, answer, sample(expected), stem=stem).value == pytest.approx(rouge[name].fmeasure)


@pytest.mark.parametrize(
    ("answer", "expected", "values"),
    [
        ("The cat sat on the mat today", "A cat was sitting on the mat", (4 / 7, 2 / 6, 4 / 7)),
        ("Град повредил крышу дома", "Град повредил окна дома", (3 / 4, 1 / 3, 3 / 4)),
        ("Der Wirbelsturm über Köln", "Der Sturm über Köln", (3 / 4, 1 / 3, 3 / 4)),
        ("café", "cafe\u0301", (1, 0, 1)),
        ("我住在北京", "他住在北京", (4 / 5, 3 / 4, 4 / 5)),
        ("d c b a", "a b c d", (1, 0, 1 / 4)),
    ],
)
def test_rouge_counts_words_of_any_script(answer: str, expected: str, values: tuple[float, ...]) -> None:
    """Worked out by hand: single words, pairs, and the longest run with gaps."""
    for slug, value in zip(("rouge-1", "rouge-2", "rouge-l"), values, strict=True):
        assert scored(slug, answer, sample(expected)).value == pytest.approx(value), slug


def test_rouge_l_of_long_texts_needs_no_table() -> None:
    """By one it would have a cell for each of 400 million pairs."""
    answer = " ".join(str(number) for number in range(20_000))
    assert scored("rouge-l", answer, sample(f"{answer} more"), part="precision").value == 1.0


def test_numbers_are_found_in_prose() -> None:
    text = "On 3 May, 1,250 claims (−2.5 % of v2) cost 1.2e3 or .5; not A4, 10.0.0.1"
    assert numbers(text)[:5] == [3.0, 1250.0, -2.5, 1200.0, 0.5]


def test_groundedness_sees_words_and_numbers() -> None:
    context = ("Hail damage is covered up to 5,000 euros. The deductible is 250 euros.", "Floods are not covered.")
    known = "Hail damage is covered up to 5,000 euros. The deductible is 250 euros."
    invented = "Hail damage is covered up to 9,000 euros. Earthquakes destroy many houses in California every year."
    assert scored("groundedness", known, sample(context=context)).value == 1.0
    score = scored("groundedness", invented, sample(context=context))
    assert (score.value, len(score.details["unsupported"])) == (0.0, 2)


def test_groundedness_knows_lists_and_plurals() -> None:
    listed = "1. Hail is covered.\n 2) Storms are covered.\n\n10. Floods are not."
    known = "Hail is covered. Storms are covered. Floods are not."
    assert scored("groundedness", listed, sample(context=(known,))).value == 1.0
    invented = scored("groundedness", "It pays 2.\n", sample(context=(known,)))
    assert invented.value == 0.0, "a number that is no place in a list is a claim"
    plurals = "damages prices vehicles policies cities employees companies trees"
    singulars = "damage price vehicle policy city employee company tree"
    assert scored("groundedness", plurals, sample(context=(singulars,)), threshold=1).value == 1.0
    assert scored("groundedness", singulars, sample(context=(plurals,)), threshold=1).value == 1.0


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"a": NaN}'])
def test_json_is_read_strictly_also_where_a_prompt_has_an_output_schema(text: str) -> None:
    answer = Output(text, parsed=json.loads(text))
    assert scored("json-valid", answer, sample()).value == 0.0
    assert scored("json-schema", answer, sample(), schema=True).value == 0.0
    assert scored("json-valid", Output(parsed={"a": 1}), sample()).value == 1.0


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normalised(text)
    assert normalised(once) == once


SCHEMA = {"pattern": "^a", "patternProperties": {"^a": {"multipleOf": 0.1}}, "additionalProperties": False}


@given(st.text(st.characters(), max_size=60), st.text(st.characters(), max_size=60))
@example("1" + "0" * 400, "1e999")
@example('["\\ud800"]', "\ud800")
def test_no_text_breaks_a_text_scorer(answer: str, expected: str) -> None:
    """Halves of surrogate pairs, which JSON may bring, among them."""
    given_parameters: dict[str, dict[str, Any]] = {
        "choice-match": {"labels": ["A", "1", "no fraud", "+"]},
        "regex": {"pattern": "^a.*b$"},
        "json-schema": {"schema": SCHEMA},
        "length": {},
        "toxicity-screen": {},
    }
    for slug in (
        "exact-match",
        "normalised-match",
        "contains",
        "numeric-match",
        "json-valid",
        "json-fields",
        "rouge-1",
        "rouge-2",
        "rouge-l",
        "bleu",
        "chrf",
        "edit-similarity",
        "code-match",
        "groundedness",
        "refusal",
        *given_parameters,
    ):
        of = sample(expected, context=(expected,))
        score: Score = scored(slug, answer, of, **given_parameters.get(slug, {}))
        code = score.error.code if score.error else ""
        assert code in ("", "no_claims", "no_context") or code.startswith("expected_"), slug
    for value in (answer, {answer: expected}):
        assert scored("json-schema", json.dumps(value), sample(), schema=SCHEMA).error is None
