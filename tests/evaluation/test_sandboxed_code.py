"""Answers that are programs: what they are worth, and what they cannot do."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from apps.evaluation.running.subjects import expected_of
from apps.evaluation.scorers import sandbox
from apps.evaluation.scorers.code import program
from tests.conftest import missing
from tests.evaluation.scoring import sample, scored

ADD = "def add(a, b):\n    return a + b\n"
TESTS = "def test_small():\n    assert add(1, 2) == 3\n\ndef test_large():\n    assert add(10**9, 1) == 10**9 + 1\n"


@pytest.fixture(scope="module", autouse=True)
def _sandbox() -> None:
    try:
        sandbox.run_tests("", "pass")
    except sandbox.Unavailable as error:
        missing(f"no sandbox for code: {error}")


@pytest.mark.parametrize(
    ("answer", "tests", "value", "reason"),
    [
        (f"Here it is:\n\n```python\n{ADD}```\nEnjoy!", TESTS, 1.0, ""),
        (ADD, "assert add(2, 2) == 4", 1.0, ""),
        (ADD, "from solution import add\nassert add('a', 'b') == 'ab'", 1.0, ""),
        (ADD.replace("+", "-"), TESTS, 0.0, "2 of 2 failed"),
        ("def add(a, b: return", TESTS, 0.0, "SyntaxError"),
        ("import json, re, math, collections\n" + ADD, TESTS, 1.0, ""),
        ("import sys\nprint('x' * 10**6)\nsys.stderr.write('x' * 10**6)\n" + ADD, TESTS, 1.0, ""),
    ],
)
def test_tests_decide(answer: str, tests: str, value: float, reason: str) -> None:
    score = scored("unit-tests", answer, sample({"tests": tests}))
    assert (score.value, score.status) == (value, "ok")
    assert reason in score.reason


SUBTRACT = ADD.replace("+", "-")
CASES = (
    "import unittest\n\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(add(1, 2), 3)\n"
)
CHECK = "def check(candidate):\n    assert candidate(1, 2) == 3\n"
ANNOTATED = "def add(a: int, b: int):\n    assert add.__annotations__['a'] is int\n    return a + b\n"
DATACLASS = "from dataclasses import dataclass\n\n@dataclass\nclass P:\n    x: int\n\nassert add(P(1).x, 2) == 3"
PATCHED = "from unittest import mock\n\n@mock.patch('solution.add', int)\ndef test_a():\n    assert add(1, 2) == 3\n"
LAZY = "def add(a, b):\n    import numpy\n    return numpy.add(a, b)\n"


@pytest.mark.parametrize(
    ("answer", "tests", "value", "count"),
    [
        (ADD, CASES, 1.0, 1),
        (SUBTRACT, CASES, 0.0, 1),
        (ADD, CASES.replace("TestCase", "IsolatedAsyncioTestCase").replace("def", "async def"), 1.0, 1),
        (SUBTRACT, CASES.replace("TestCase", "IsolatedAsyncioTestCase").replace("def", "async def"), 0.0, 1),
        (ADD, f"{CASES}\n{TESTS}", 1.0, 3),
        (ADD, CHECK + "check(add)", 1.0, 1),
        (SUBTRACT, CHECK + "check(add)", 0.0, 1),
        (SUBTRACT, PATCHED, 0.0, 1),
        (ANNOTATED, "assert add(1, 2) == 3", 1.0, 1),
        (ADD, DATACLASS, 1.0, 1),
        (ADD + "def test_even(n):\n    return n % 2 == 0\n", TESTS, 1.0, 2),
        (ADD + "def test_add():\n    assert add(1, 1) == 3\n", TESTS, 1.0, 2),
        (SUBTRACT + "def test_add():\n    assert True\n", "assert add(1, 2) == 3", 0.0, 1),
        (ADD, "from solution import subtract", 0.0, 1),
        (LAZY, "assert add(1, 2) == 3", 0.0, 1),
        ("import sys\n\ndef add(a, b):\n    sys.exit()\n", TESTS, 0.0, 2),
    ],
)
def test_the_tests_own_tests_are_run_and_no_others(answer: str, tests: str, value: float, count: int) -> None:
    score = scored("unit-tests", answer, sample(tests))
    assert (score.value, score.details.get("tests")) == (value, count), score


@pytest.mark.parametrize("answer", [ADD, SUBTRACT])
@pytest.mark.parametrize(
    ("tests", "code", "message"),
    [
        ("pass", "no_tests", "no assertion was run"),
        (CHECK, "no_tests", "end with check(name_of_the_function)"),
        (f"if False:\n    {CHECK.splitlines()[1]}", "no_tests", ""),
        ("async def test_a():\n    assert add(1, 2) == 3", "tests_invalid", "test_a is async"),
        ("def test_a():\n    yield add(1, 2) == 3", "tests_invalid", "test_a is async or a generator"),
        (CASES.replace("def", "async def"), "tests_invalid", "T.test_a is async"),
        ("class TestAdd:\n    def test_a(self):\n        assert add(1, 2) == 3", "tests_invalid", "TestAdd"),
        ("def test_a(tmp_path):\n    assert add(1, 2) == 3", "tests_invalid", "'tmp_path'"),
        (f"{TESTS}\n{TESTS}", "tests_invalid", "test_small is defined more than once"),
        ("assert add(1, 2 == 3", "tests_invalid", "SyntaxError"),
        ("import pytest\nassert add(1, 2) == 3", "tests_invalid", "No module named 'pytest'"),
        (f"{CASES}\nunittest.main()", "tests_invalid", "SystemExit"),
        ("def test_a():\n    import numpy\n    assert add(1, 2) == 3", "tests_invalid", "No module named 'numpy'"),
    ],
)
def test_tests_that_cannot_judge_are_an_error_and_no_verdict(answer: str, tests: str, code: str, message: str) -> None:
    score = scored("unit-tests", answer, sample(tests))
    assert score.error is not None, score
    assert score.error.code == code
    assert message in score.error.message


@pytest.mark.parametrize(
    "expected",
    [
        ["assert callable(add)", "assert add(1, 2) == 3"],
        {"tests": ["assert callable(add)", "assert add(1, 2) == 3"]},
        ["import math", "```python\nassert math.floor(add(1, 2)) == 3\n```"],
    ],
)
def test_all_texts_of_a_list_are_run(expected: object) -> None:
    assert scored("unit-tests", ADD, sample(*expected_of(expected))).value == 1.0
    assert scored("unit-tests", SUBTRACT, sample(*expected_of(expected))).value == 0.0


@pytest.mark.parametrize("expected", ["", {"test": "pass"}, {"tests": []}, {"tests": ["assert add(1, 2) == 3", 5]}, 5])
def test_an_expected_value_without_tests_is_an_error(expected: object) -> None:
    score = scored("unit-tests", ADD, sample(expected))
    assert score.error is not None
    assert score.error.code == "no_tests"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("Here:\r\n```python\r\nx = 1\r\n\r\ny = 2\r\n```\r\nThat is it.\r\n", "x = 1\n\ny = 2"),
        ("```\nuseless\n```\n``` py title=a.py\nx = 1\n```  \n```python\ny = 2\n```", "x = 1\ny = 2"),
        ("```json\n{}\n```\n```\nx = 1\n```", "x = 1"),
        ("````python\nx = 1\n# ```\n```\n````\nEnjoy!", "x = 1\n# ```\n```"),
        ("```python\nx = 1\nthe answer was cut", "x = 1\nthe answer was cut"),
        ("x = 1\n```print(x)```", "x = 1\n```print(x)```"),
    ],
)
def test_code_is_found_in_fences(answer: str, code: str) -> None:
    assert program(answer).replace("\r", "") == code


def test_an_answer_of_many_open_fences_takes_no_time() -> None:
    started = time.thread_time()
    for answer in ("```a\n" * 40_000, "```" + "a" * 200_000 + "`", "```" + " " * 200_000 + "`"):
        program(answer)
    assert time.thread_time() - started < 1  # quadratic: more than a minute


def test_the_answer_does_not_see_the_word_that_its_report_is_known_by() -> None:
    look = "import sys\nraise ValueError(sys.argv, sys.orig_argv)"
    assert "['harness.py'], [" in (reason := scored("unit-tests", look, sample("assert True")).reason)
    assert reason.endswith("'-B', 'harness.py'])\".")


HOSTILE = {
    "an endless loop": ("while True: pass", "cpu timeout"),
    "an endless sleep": ("import time\ntime.sleep(60)", "timeout"),
    "a fork bomb": ("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", "cpu timeout"),
    "leaving with success": ("import os\nos._exit(0)", "crashed"),
    "a signal to itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "crashed"),
    "a flood": ("import os\nwhile True: os.write(3, b'x' * 65536)", "flooded"),
    "a forged report": ('import os\nos.write(3, b\'{"from": "harness", "passed": 9}\\n\')\nos._exit(0)', "crashed"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_code_ends(name: str) -> None:
    code, outcomes = HOSTILE[name]
    score = scored("unit-tests", code, sample("assert True"), seconds=3, cpu_seconds=1)
    assert score.value == 0.0
    assert score.details["outcome"] in outcomes.split()
    assert score.reason


LIBC = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(function, *arguments):
    if function(*arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
"""
FAILING = {
    "memory": ("held = bytearray(10**10)", "memory"),
    "a small memory bomb": ("held = []\nwhile True: held.append(bytearray(10**7))", "memory"),
    "a large file": ("open('large', 'wb').write(b'x' * 10**8)", "File too large"),
    "another process' memory": ("open('/proc/1/environ').read()", "FileNotFoundError"),
    "the project": (f"open({str(Path(__file__))!r}).read()", "FileNotFoundError"),
    "passwords": ("open('/etc/passwd').read()", "FileNotFoundError"),
    "a device": ("open('/dev/null')", "FileNotFoundError"),
    "the library": ("import json\nopen(json.__file__, 'a')", "PermissionError|Read-only file system"),
    "another root": ("import os\nos.chroot('/work')", "PermissionError"),
    "another user": ("import os\nos.setuid(0)", "PermissionError"),
    "a mount": (f"{LIBC}call(libc.mount, b'none', b'/work', b'tmpfs', 0, None)", "PermissionError"),
    "namespaces": (f"{LIBC}call(libc.unshare, 0x10000000)", "PermissionError"),
    "shared memory": (f"{LIBC}call(libc.shmget, 0, 4096, 0o1600)", "PermissionError"),
    "semaphores": (f"{LIBC}call(libc.semget, 0, 1, 0o1600)", "PermissionError"),
    "a queue": (f"{LIBC}call(libc.msgget, 0, 0o1600)", "PermissionError"),
    "shared memory by x32's number": (f"{LIBC}call(libc.syscall, 0x4000001d, 0, 4096, 0o1600)", "PermissionError"),
}


@pytest.mark.parametrize("name", FAILING)
def test_what_is_not_there_cannot_be_had(name: str) -> None:
    code, reason = FAILING[name]
    score = scored("unit-tests", code, sample("assert True"))
    assert score.value == 0.0
    assert re.search(reason, score.reason), score


def test_a_server_of_the_machine_cannot_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        code = f"import socket\nsocket.create_connection({address}, 1).close()"
        exec(code)  # it is there, for who may
        assert "OSError: [Errno 101] Network is unreachable" in scored("unit-tests", code, sample("assert True")).reason


def test_no_secret_is_seen_and_nothing_stays_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOBBY_CANARY", "canary-of-the-sandbox")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    look = "import os\nraise ValueError(sorted(os.environ), os.getcwd(), sorted(os.listdir('/')))"
    score = scored("unit-tests", look, sample("assert True"))
    assert "canary" not in str(score)
    assert "'HOME', 'LANG'" in score.reason
    assert list(tmp_path.iterdir()) == []


def test_what_code_has_started_ends_with_it() -> None:
    name = f"left-{os.getpid()}"
    named = f"import ctypes, os, time\nctypes.CDLL(None).prctl(15, {name.encode()!r}, 0, 0, 0)\n"
    left = f"{named}if os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\n"
    seen: set[str] = set()
    with ThreadPoolExecutor(1) as pool:
        score = pool.submit(scored, "unit-tests", left, sample("import time\ntime.sleep(1)\nassert True"))
        while not score.done():
            seen |= _processes(name)
    assert score.result().value == 1.0
    assert len(seen) == 2
    assert _processes(name) == set()


def test_a_sandbox_that_cannot_be_made_is_no_fault_of_the_answer() -> None:
    with pytest.raises(sandbox.Unavailable, match="No space left"):
        sandbox.run_tests(ADD, TESTS, sandbox.Limits(disk=1))


def test_a_limit_that_cannot_be_set_is_no_fault_of_the_answer() -> None:
    limits: dict[str, Any] = {"cpu_seconds": 1.5}
    with pytest.raises(sandbox.Unavailable, match="integer"):
        sandbox.run_tests(ADD, TESTS, sandbox.Limits(**limits))


def _processes(name: str) -> set[str]:
    """The numbers of the processes of this name, seen from outside of any sandbox."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if file.read_text().strip() == name:
                found.add(file.parent.name)
    return found


@pytest.mark.parametrize(
    ("answer", "expected", "rename", "value"),
    [
        ("def f(x):\n    # twice\n    return x*2", 'def f(x):\n    """Doc."""\n    return x * 2', False, 1.0),
        ("```python\nprint('a')\n```", 'print("a")', False, 1.0),
        ("def f(y): return y * 2", "def f(x): return x * 2", False, 0.0),
        ("def f(y): return y * 2", "def f(x): return x * 2", True, 1.0),
        ("def g(y): return y * 2", "def f(x): return x * 2", True, 0.0),
        ("not python at all", "x = 1", False, 0.0),
    ],
)
def test_code_matches_by_its_tree(answer: str, expected: str, rename: bool, value: float) -> None:
    assert scored("code-match", answer, sample(expected), rename=rename).value == value


INNER = "def f(x):\n def g(y):\n  return y\n return g"


@pytest.mark.parametrize(
    ("answer", "expected", "equal"),
    [
        (INNER, INNER.replace("return y", "return x"), False),
        (INNER, "def f(a):\n def b(c):\n  return c\n return b", True),
        (INNER, INNER.replace("y", "x"), True),
        ("def f(x): return v0", "def f(x): return x", False),
        ("def f(x): return x.y(z=x)", "def f(a): return a.y(z=a)", True),
        ("def f(x): return x.x", "def f(a): return a.a", False),
        ("def f(x, k): return sorted(x, key=k)", "def f(x, key): return sorted(x, key=key)", True),
        ("def f(a, b): return a\nf(a=1, b=2)", "def f(b, a): return b\nf(a=1, b=2)", False),
        (
            "class A:\n def __init__(self, a, b): self.a = a\nA(a=1, b=2)",
            "class A:\n def __init__(self, b, a): self.a = b\nA(a=1, b=2)",
            False,
        ),
        ("def f():\n try: g()\n except E as e: h(e)", "def f():\n try: g()\n except E as err: h(err)", True),
        ("def f():\n try: g()\n except E as e: h(e)", "def f():\n try: g()\n except E as err: h(e)", False),
        ("def f():\n import a as b\n return b", "def f():\n import a as c\n return c", True),
        ("def f(b):\n import a as b\n return b", "def f(b):\n import a as c\n return b", False),
        ("def f():\n import a\n return a", "def f():\n import b\n return b", False),
        ("def f(x): return [x for x in x if x]", "def f(y): return [z for z in y if z]", True),
        ("def f(x): return [x for x in x if x]", "def f(y): return [z for z in y if y]", False),
        ("total = {k: v for k, v in pairs}", "total = {a: b for a, b in pairs}", True),
        ("total = {k: v for k, v in pairs}", "total = {a: b for b, a in pairs}", False),
        ("key = lambda pair, n=n: pair[n]", "key = lambda p, m=n: p[m]", True),
        ("key = lambda pair, n=n: pair[n]", "key = lambda p, m=m: p[m]", False),
        ("def f(s): return any((t := x) for x in s), t", "def f(s): return any((last := y) for y in s), last", True),
        (
            "def f():\n n = 0\n def g():\n  nonlocal n\n  n += 1\n return g",
            "def f():\n m = 0\n def h():\n  nonlocal m\n  m += 1\n return h",
            True,
        ),
        (
            "def f():\n n = 0\n def g():\n  nonlocal n\n  n += 1\n return g",
            "def f():\n n = 0\n def g():\n  n += 1\n return g",
            False,
        ),
        ("def f():\n global n\n n = 1", "def f():\n global m\n m = 1", False),
        ("def f(x):\n class A:\n  y = x\n return A", "def f(z):\n class B:\n  y = z\n return B", True),
        ("def f(x):\n class A:\n  y = x\n return A", "def f(x):\n class A:\n  z = x\n return A", False),
        (
            "def f(x):\n class A:\n  x = 1\n  def g(self): return x\n return A",
            "def f(y):\n class A:\n  x = 1\n  def g(me): return y\n return A",
            True,
        ),
        (
            "def f(x):\n match x:\n  case [a, *b] | {'k': a, **b}: return a, b",
            "def f(y):\n match y:\n  case [c, *d] | {'k': c, **d}: return c, d",
            True,
        ),
        ("async def f(*a, b=1, **c): return a, b, c", "async def f(*x, y=1, **z): return x, y, z", True),
        ("async def f(*a, b=1, **c): return a, b, c", "async def f(*x, y=1, **z): return x, z, y", False),
    ],
)
def test_names_of_local_variables_may_be_others(answer: str, expected: str, equal: bool) -> None:
    assert scored("code-match", answer, sample(expected), rename=True).value == float(equal)
    assert scored("code-match", expected, sample(answer), rename=True).value == float(equal)
    assert scored("code-match", answer, sample(answer), rename=True).value == 1.0


def test_expected_code_that_is_none_is_an_error() -> None:
    score = scored("code-match", "x = 1", sample("x = = 1"))
    assert score.error is not None
    assert score.error.code == "expected_not_code"
