"""A judge's verdict by simple, repeatable rules: how many of the reference's or question's words the answer has."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from apps.models.providers.sandbox.tokens import terms

_NAMES: Final = {
    "question": "question|input|prompt|query|task|user(?: message)?|inputs",
    "reference": r"reference(?: answer)?|expected(?:[ _](?:output|answer|response|facts))?|expectations"
    r"|ideal(?: answer)?"
    r"|ground[ _]truth|gold(?:en)?(?: answer)?|correct answer|context",
    "a": r"(?:answer|response|output|candidate|assistant)[ _]?(?:a|1)",
    "b": r"(?:answer|response|output|candidate|assistant)[ _]?(?:b|2)",
    "answer": "answer|response|output|outputs|submission|candidate|completion|assistant(?: message)?|model output",
}
_LABEL: Final = re.compile(
    # Every repetition is bounded: this runs on what anybody sends.
    r"^[ \t]{0,8}(?:[#>*\-\[(]{1,8}[ \t]{0,4})?(?:the[ ])?(?:"
    + "|".join(f"(?P<{name}>{words})" for name, words in _NAMES.items())
    + r")\b[ \t]{0,4}[\])*]{0,4}[ \t]{0,4}(?::|\n|={1,9}|-{2,9})[ \t*]*",
    re.IGNORECASE | re.MULTILINE,
)
_TAG: Final = re.compile(r"<(/?)([a-z_ ]+[0-9]?)>", re.IGNORECASE)
_SCALE: Final = re.compile(
    r"(?:from|between|scale(?: of)?|score(?: of)?|rating(?: of)?|\()\s*"
    r"(-?\d+(?:\.\d+)?)\s*(?:to|and|-|–|\.\.+)\s*(\d+(?:\.\d+)?)",
    re.IGNORECASE,
)
_POSITIVE: Final = ("yes", "pass", "passed", "true", "correct", "good", "relevant", "grounded", "safe", "better")
_NEGATIVE: Final = ("no", "fail", "failed", "false", "incorrect", "bad", "irrelevant", "ungrounded", "unsafe", "worse")
_REASONS: Final = (
    "reason",
    "rational",
    "explanation",
    "justif",
    "comment",
    "feedback",
    "critique",
    "analysis",
    "summary",
)
_NUMBERS: Final = ("score", "rating", "grade", "value", "points", "stars", "quality", "confidence", "result", "overall")


@dataclass(frozen=True, slots=True)
class Verdict:
    """``quality`` from 0 to 1; ``winner`` is A, B or tie where two answers were compared."""

    quality: float
    reason: str
    scale: tuple[float, float]
    winner: str | None = None

    @property
    def passed(self) -> bool:
        return self.quality >= 0.5

    def scaled(self, low: float, high: float, *, whole: bool) -> float:
        value = low + self.quality * (high - low)
        return round(value) if whole else round(value, 2)


def judge(text: str) -> Verdict:
    """The verdict on what ``text`` (instructions, question, reference, answer, in any usual layout) puts before it."""
    parts = _sections(text)
    match = _SCALE.search(text)
    scale = (float(match[1]), float(match[2])) if match and float(match[2]) > float(match[1]) else (0.0, 1.0)
    against = parts.get("reference") or parts.get("question") or ""
    kind = "reference" if parts.get("reference") else "question"
    if "a" in parts and "b" in parts:
        first, second = (_compare(parts[name], against, kind) for name in ("a", "b"))
        winner = "tie" if abs(first[0] - second[0]) < 0.02 else "A" if first[0] > second[0] else "B"
        reason = f"Simulated comparison. A: {first[1]} B: {second[1]} Verdict: {winner}."
        return Verdict((first[0] - second[0] + 1) / 2, reason, scale, winner)
    answer = parts.get("answer") or parts.get("a") or ""
    if not answer and not against:
        return Verdict(0.0, "Simulated verdict: no labelled answer, question or reference was found.", scale)
    quality, reason = _compare(answer, against, kind)
    return Verdict(quality, f"Simulated verdict. {reason}", scale)


def decide(verdict: Verdict, name: str, schema: dict[str, Any] | None) -> Any:
    """The verdict as the field ``name`` of ``schema``, where that says anything; None where it is not the judge's."""
    schema = schema or {}
    lowered = name.lower()
    options = schema.get("enum")
    kind = schema.get("type")
    if isinstance(options, list) and options:
        return _option(verdict, options)
    if kind == "boolean":
        return verdict.passed
    if kind in ("number", "integer"):
        low, high = schema.get("minimum", verdict.scale[0]), schema.get("maximum", verdict.scale[1])
        return verdict.scaled(low, high, whole=kind == "integer" or high - low >= 4)
    if any(word in lowered for word in _REASONS):
        return verdict.reason
    if kind == "string" and any(word in lowered for word in ("winner", "preferred", "better", "choice", "verdict")):
        return verdict.winner or ("pass" if verdict.passed else "fail")
    if kind in (None, "string") and any(word in lowered for word in _NUMBERS):
        return "yes" if verdict.passed else "no"
    return None


def is_number(name: str) -> bool:
    return any(word in name.lower() for word in _NUMBERS)


def _option(verdict: Verdict, options: list[Any]) -> Any:
    named = {str(option).lower(): option for option in options}
    if verdict.winner is not None:
        for name in (verdict.winner.lower(), f"response_{verdict.winner.lower()}", f"answer_{verdict.winner.lower()}"):
            if name in named:
                return named[name]
    for word in _POSITIVE if verdict.passed else _NEGATIVE:
        if word in named:
            return named[word]
    if all(isinstance(option, int | float) for option in options):
        ordered = sorted(options)
        return ordered[round(verdict.quality * (len(ordered) - 1))]
    return options[round((1 - verdict.quality) * (len(options) - 1))]


def _sections(text: str) -> dict[str, str]:
    """The labelled parts: ``Label: …`` at the start of a line, or ``<label>…</label>``. The last of a name counts."""
    marks = [(match.start(), match.end(), match.lastgroup or "") for match in _LABEL.finditer(text)]
    for match in _TAG.finditer(text):
        label = _label(match[2])
        if label:
            marks.append((match.start(), match.end(), "" if match[1] else label))
    marks.sort()
    parts: dict[str, str] = {}
    for number, (_, start, name) in enumerate(marks):
        content = text[start : marks[number + 1][0] if number + 1 < len(marks) else None].strip()
        if name and content:
            parts[name] = content
    return parts


def _label(tag: str) -> str:
    for name, pattern in _NAMES.items():
        if re.fullmatch(pattern, tag.strip().replace("_", " "), re.IGNORECASE) or re.fullmatch(
            pattern, tag, re.IGNORECASE
        ):
            return name
    return ""


def _compare(answer: str, against: str, kind: str) -> tuple[float, str]:
    """Quality and reason. Against a reference: F1 of the shared words; against a question: the share of its words."""
    given, wanted = Counter(terms(answer)), Counter(terms(against))
    if not given:
        return 0.0, "The answer is empty."
    if not wanted:
        return 0.5, f"There was nothing to compare the answer's {given.total()} words with."
    shared = (given & wanted).total()
    recall = shared / wanted.total()
    quality = 2 * shared / (given.total() + wanted.total()) if kind == "reference" else min(recall + 0.2, 1.0)
    if kind == "reference" and recall == 1.0:
        quality = max(quality, 0.75)  # all that was wanted, and more
    missing = [word for word in wanted if word not in given][:5]
    reason = f"The answer has {shared} of the {wanted.total()} significant words of the {kind}"
    reason += f"; it lacks {', '.join(missing)}." if missing else "."
    return quality if shared else 0.0, reason
