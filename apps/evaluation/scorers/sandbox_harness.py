"""Runs inside the sandbox: the solution, then its tests, and tells how they went on descriptor 3."""

from __future__ import annotations

import json
import os
import sys
import types
from typing import Any

MOST_FAILURES = 10


def tell(**report: Any) -> None:
    os.write(3, b"\n" + json.dumps(report).encode("ascii") + b"\n")


def told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def main() -> None:
    nonce = sys.argv.pop()
    solution = types.ModuleType("solution")
    sys.modules["solution"] = solution
    names: dict[str, Any] = {}
    failures: list[str] = []
    passed = 0
    try:
        with open("solution.py", encoding="utf-8", errors="replace") as file:
            exec(compile(file.read(), "solution.py", "exec"), solution.__dict__)  # noqa: S102 - what this process is for
        names = {"__name__": "tests", **{name: value for name, value in vars(solution).items() if name[:2] != "__"}}
        with open("tests.py", encoding="utf-8", errors="replace") as file:
            exec(compile(file.read(), "tests.py", "exec"), names)  # noqa: S102 - what this process is for
    except MemoryError:
        tell(nonce=nonce, **{"from": "memory"})
        return
    except BaseException as error:
        failures.append(told(error))
    functions = (value for value in names.values() if isinstance(value, types.FunctionType))
    tests = [function for function in functions if function.__name__.startswith("test")]
    if not failures and not tests:
        passed = 1  # plain assertions, which all held
    for test in tests if not failures else []:
        try:
            test()
            passed += 1
        except BaseException as error:
            failures.append(f"{test.__name__}: {told(error)}")
    tell(nonce=nonce, passed=passed, failed=len(failures), failures=failures[:MOST_FAILURES], **{"from": "harness"})


if __name__ == "__main__":
    main()
    os._exit(0)
