"""Answers that are programs, in Python."""

from __future__ import annotations

import ast
import re
from typing import Any, ClassVar, Final

from apps.evaluation.scorers.base import Scorer
from apps.evaluation.scorers.renaming import renamed
from apps.evaluation.scorers.types import Need, Output, Sample, Score, ValueKind
from apps.evaluation.scorers.wording import shown, written

_FENCE: Final = re.compile(r"(`{3,}+)[ \t]*+(\w*+)[^`]*+")
_MOST_CHARACTERS: Final = 200_000


def program(answer: str) -> str:
    """The code in an answer: its fenced blocks of Python (or of no language), else all of it."""
    blocks: list[tuple[str, list[str]]] = []
    open_fence = ""
    for line in answer.split("\n"):
        fence = _FENCE.fullmatch(line)
        if not open_fence and fence:
            open_fence = fence[1]
            blocks.append((fence[2].lower(), []))
        elif fence and fence[1].startswith(open_fence) and line.strip() == fence[1]:
            open_fence = ""
        elif open_fence:
            blocks[-1][1].append(line)
    for languages in (("python", "py", "python3"), ("",)):
        if found := [code for language, code in blocks if language in languages]:
            return "\n".join(line for code in found for line in code)
    return answer


class CodeMatch(Scorer):
    slug = "code-match"
    title = "Code match"
    description = "1 where the answer's Python is the expected one but for layout, comments, docstrings and quotes."
    code_version = 2
    parameters_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "rename": {
            "type": "boolean",
            "default": False,
            "description": "Names of arguments and local variables do not count, but for arguments that the program "
            "gives by name to functions of its own.",
        },
    }
    value_kind = ValueKind.BINARY
    needs = frozenset({Need.EXPECTED})

    def score(self, sample: Sample, output: Output) -> Score:
        rename = self.parameters["rename"]
        try:
            wanted = {_normal(written(value), rename=rename) for value in sample.expected}
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return Score.failed("expected_not_code", f"The expected value is no Python: {shown(str(error))}.")
        try:
            given = _normal(output.text, rename=rename)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return Score.passed(False, f"The answer is no Python: {shown(str(error))}.")
        return Score.passed(given in wanted, "" if given in wanted else "The programs differ.")


class UnitTests(Scorer):
    slug = "unit-tests"
    title = "Unit tests"
    description = (
        "1 where the answer's Python passes the tests, run in a sandbox: no network, no files, and limits. "
        "The expected value holds the tests: functions named test…, unittest classes, or plain assertions; as a text, "
        "or a list of texts that are all run, or either in 'tests'."
    )
    code_version = 2
    parameters_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "seconds": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 60,
            "default": 10,
            "description": "How long the tests may take.",
        },
        "cpu_seconds": {
            "type": "integer",
            "minimum": 1,
            "maximum": 60,
            "default": 5,
            "title": "CPU seconds",
            "description": "How much of a processor's time each process may take.",
        },
        "memory_mb": {
            "type": "integer",
            "minimum": 64,
            "maximum": 2048,
            "default": 512,
            "title": "Memory in MiB",
            "description": "How much memory each process may take.",
        },
        "processes": {
            "type": "integer",
            "minimum": 1,
            "maximum": 64,
            "default": 16,
            "description": "How many processes and threads they may start.",
        },
    }
    value_kind = ValueKind.BINARY
    needs = frozenset({Need.EXPECTED, Need.SANDBOX})

    def score(self, sample: Sample, output: Output) -> Score:
        from apps.evaluation.scorers import sandbox

        tests = _tests(sample.expected)
        if not tests.strip():
            return Score.failed("no_tests", "The expected value holds no tests: no text, and no 'tests' of texts.")
        if len(output.text) > _MOST_CHARACTERS:
            return Score.passed(False, f"The answer is longer than {_MOST_CHARACTERS:,} characters.")
        limits = sandbox.Limits(
            seconds=float(self.parameters["seconds"]),
            cpu_seconds=self.parameters["cpu_seconds"],
            memory=self.parameters["memory_mb"] << 20,
            processes=self.parameters["processes"],
        )
        try:
            ran = sandbox.run_tests(program(output.text), tests, limits)
        except sandbox.Unavailable as error:
            return Score.failed("sandbox_unavailable", f"There can be no sandbox on this worker: {error}.")
        if ran.outcome != "told":
            return Score.passed(False, _ENDS[ran.outcome], outcome=ran.outcome)
        if "invalid" in ran.report:
            return Score.failed("tests_invalid", f"The tests cannot be run: {shown(ran.report['invalid'], 300)}.")
        passed, failed = ran.report["passed"], ran.report["failed"]
        if not passed and not failed:
            return Score.failed("no_tests", _NOTHING_CHECKED)
        failures = ran.report["failures"]
        reason = f"{failed} of {passed + failed} failed; {shown(failures[0], 200)}." if failed else ""
        return Score.passed(failed == 0, reason, outcome="told", tests=passed + failed, failures=failures)


def _tests(expected: tuple[Any, ...]) -> str:
    """All tests as one program: a list of plain texts, such as MBPP's, comes as several expected values. Empty where
    anything in them is no text."""
    values = [value.get("tests") if isinstance(value, dict) else value for value in expected]
    texts: list[Any] = [text for value in values for text in (value if isinstance(value, list) else [value])]
    return "\n".join(map(program, texts)) if all(isinstance(text, str) for text in texts) else ""


_NOTHING_CHECKED: Final = (
    "The tests check nothing: there is no function named test…, no unittest.TestCase, and no assertion was run. A "
    "function of another name, such as check(candidate), has to be called: end with check(name_of_the_function)."
)
_ENDS: Final = {
    "timeout": "It did not end in time.",
    "cpu": "It used up its processor time.",
    "memory": "It used up its memory.",
    "crashed": "It ended before its tests did.",
    "flooded": "It said too much.",
}


_WITH_DOCSTRING: Final = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _normal(text: str, *, rename: bool) -> str:
    """The tree of the program in it, as text. Raises what the parser does."""
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"longer than {_MOST_CHARACTERS:,} characters")
    tree = ast.parse(program(text))
    for node in ast.walk(tree):
        if isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(renamed(tree) if rename else tree)
