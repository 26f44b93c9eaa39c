"""Runs inside the sandbox: the solution, then its tests, and tells how they went on descriptor 3."""

from __future__ import annotations

import ast
import inspect
import json
import os
import sys
import traceback
import types
from collections import Counter
from collections.abc import Callable
from typing import Any

MOST_FAILURES = 10
ASSERTED = "__asserted__"  # the tests' own list, with an entry for each assertion that was run


class TestsInvalid(Exception):
    """The tests cannot judge any answer."""


class Marked(ast.NodeTransformer):
    """Has each ``assert`` say that it is run."""

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        mark = ast.parse(f"{ASSERTED}.append(True)").body[0]
        return [ast.copy_location(mark, node), node]


def tell(**report: Any) -> None:
    os.write(3, b"\n" + json.dumps(report).encode("ascii") + b"\n")


def told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def source(name: str) -> str:
    with open(name, encoding="utf-8", errors="replace") as file:
        return file.read()


def compiled() -> types.CodeType:
    """The tests. Raises ``TestsInvalid``."""
    try:
        tree = ast.parse(source("tests.py"))
        defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        twice = [name for name, times in Counter(defined).items() if times > 1 and name.lower().startswith("test")]
        if twice:
            raise TestsInvalid(f"{twice[0]} is defined more than once: only the last one would be run")
        code: types.CodeType = compile(
            ast.fix_missing_locations(Marked().visit(tree)), "tests.py", "exec", dont_inherit=True
        )
    except (SyntaxError, ValueError, RecursionError) as error:
        raise TestsInvalid(told(error)) from error
    return code


def check(error: BaseException) -> None:
    """Raises ``TestsInvalid`` where the error is that the tests import what is not there, or exit."""
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = [file for file in files if file in {"solution.py", "tests.py"}]
    missing = isinstance(error, ImportError) and error.name != "solution"
    if own[-1:] == ["tests.py"] and (missing or isinstance(error, SystemExit)):
        raise TestsInvalid(told(error))


def lazy(function: object) -> bool:
    """A call of it runs nothing yet."""
    return (
        inspect.iscoroutinefunction(function)
        or inspect.isgeneratorfunction(function)
        or inspect.isasyncgenfunction(function)
    )


def collected(names: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """What the tests define to be run, without what is the solution's or a library's. Raises ``TestsInvalid``."""
    found: dict[str, Callable[[], Any]] = {}
    for name, value in names.items():
        if not isinstance(value, type | types.FunctionType) or value.__module__ != "tests":
            continue
        if isinstance(value, type):
            found |= cases(value)
        elif name.startswith("test"):
            if lazy(value):
                raise TestsInvalid(f"{name} is async or a generator: a call of it runs nothing")
            try:
                inspect.signature(value, follow_wrapped=False).bind()
            except TypeError as error:
                raise TestsInvalid(f"{name} cannot be called without arguments: {error}") from error
            found[name] = value
    return found


def cases(of: type) -> dict[str, Callable[[], Any]]:
    """The tests of a class of unittest's."""
    if "unittest" not in sys.modules or not issubclass(of, sys.modules["unittest"].TestCase):
        if of.__name__.startswith("Test") and any(name.startswith("test") for name in vars(of)):
            raise TestsInvalid(f"the class {of.__name__} is no unittest.TestCase")
        return {}
    import unittest

    found: dict[str, Callable[[], Any]] = {}
    for name in unittest.defaultTestLoader.getTestCaseNames(of):
        if lazy(getattr(of, name)) and not issubclass(of, unittest.IsolatedAsyncioTestCase):
            raise TestsInvalid(f"{of.__name__}.{name} is async or a generator: a call of it runs nothing")
        # A suite, for what is set up once for a class; debug lets errors through.
        found[f"{of.__name__}.{name}"] = unittest.TestSuite([of(name)]).debug
    return found


def run() -> dict[str, Any]:
    """Raises ``TestsInvalid``, and ``MemoryError`` where there is not enough for the solution."""
    code = compiled()
    solution, tests = types.ModuleType("solution"), types.ModuleType("tests")
    sys.modules |= {"solution": solution, "tests": tests}
    names = vars(tests)
    failures: list[str] = []
    try:
        # The solution does not inherit the future annotations of this file.
        exec(compile(source("solution.py"), "solution.py", "exec", dont_inherit=True), vars(solution))  # noqa: S102
        names |= {name: value for name, value in vars(solution).items() if name[:2] != "__"} | {ASSERTED: []}
        exec(code, names)  # noqa: S102 - what this process is for
    except MemoryError:
        raise
    except BaseException as error:
        check(error)
        return {"passed": 0, "failed": 1, "failures": [told(error)]}
    functions = collected(names)
    if not functions:  # assertions alone, which all held
        return {"passed": int(bool(names[ASSERTED])), "failed": 0, "failures": []}
    for name, test in functions.items():
        try:
            test()
        except BaseException as error:
            check(error)
            failures.append(f"{name}: {told(error)}")
    failed = len(failures)
    return {"passed": len(functions) - failed, "failed": failed, "failures": failures[:MOST_FAILURES]}


def main() -> None:
    nonce = sys.argv.pop()
    del sys.orig_argv[-1]
    try:
        report = {"from": "harness", **run()}
    except TestsInvalid as error:
        report = {"from": "harness", "invalid": str(error)[:300]}
    except MemoryError:
        report = {"from": "memory"}
    tell(nonce=nonce, **report)


if __name__ == "__main__":
    main()
    os._exit(0)
