"""What every scorer is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Mapping
from typing import Any, ClassVar

from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]

from apps.evaluation.scorers.errors import ParametersInvalid
from apps.evaluation.scorers.types import Call, Direction, Need, Output, Reply, Sample, Score, ValueKind

# Yields the calls that are needed now (they may run side by side), is sent as many replies in their order.
Steps = Generator[list[Call], list[Reply], Score]
Range = tuple[float | None, float | None]


class Scorer:
    """A scorer with its parameters: immutable, and safe to use for many samples at once.

    A subclass sets the class variables, overrides ``score`` (nothing is called) or ``steps`` (models are called), and
    makes ready in ``prepare`` what the parameters decide. Where ``direction``, ``value_kind``, ``range`` or ``needs``
    depend on the parameters, ``prepare`` sets them on the instance.
    """

    slug: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    # A JSON Schema per parameter. One without a default has to be given.
    parameters_schema: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    # Moves whenever the same parameters would give other scores.
    code_version: ClassVar[int] = 1
    # A screen finds cases to look at. It is no measurement, and says so wherever it is shown.
    screen: ClassVar[bool] = False

    direction: Direction = Direction.HIGHER
    value_kind: ValueKind = ValueKind.CONTINUOUS
    unit: str = ""
    range: Range = (0.0, 1.0)
    needs: frozenset[Need] = frozenset()

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        """Raises ``ParametersInvalid``, naming the parameter."""
        self.parameters: Mapping[str, Any] = self._complete(parameters or {})
        self.prepare()

    def prepare(self) -> None:
        """Make ready what the parameters decide. Raises ``ParametersInvalid``."""

    def score(self, sample: Sample, output: Output) -> Score:
        """What ``output`` is worth, for scorers that call nothing."""
        raise NotImplementedError(f"{type(self).__name__} has neither score nor steps.")

    def steps(self, sample: Sample, output: Output) -> Steps:
        """What ``output`` is worth, with the calls that it takes to find out."""
        yield from ()
        return self.score(sample, output)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """The JSON Schema of the parameters, as the portal's form and the API show it."""
        return {
            "type": "object",
            "properties": {name: dict(schema) for name, schema in cls.parameters_schema.items()},
            "required": [name for name, schema in cls.parameters_schema.items() if "default" not in schema],
            "additionalProperties": False,
        }

    @property
    def version(self) -> str:
        """Equal exactly where slug, code and parameters are: scores of one version may be compared."""
        identity = json.dumps([self.slug, self.code_version, self.parameters], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def invalid(self, parameter: str, problem: str) -> ParametersInvalid:
        return ParametersInvalid(f"The parameter {parameter!r} of {self.slug} {problem}.", field=parameter)

    def _complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        known = self.parameters_schema
        for name in given:
            if name not in known:
                has = ", ".join(known) or "none"
                raise self.invalid(str(name)[:64], f"does not exist (it has: {has})")
        whole = {name: schema["default"] for name, schema in known.items() if "default" in schema} | dict(given)
        for name, schema in known.items():
            if name not in whole:
                raise self.invalid(name, "is missing")
            error: ValidationError | None = next(Draft202012Validator(schema).iter_errors(whole[name]), None)
            if error is not None:
                raise self.invalid(name, _problem(error))
        return {name: _whole(value, known[name]) for name, value in whole.items()}


def _whole(value: Any, schema: Any) -> Any:
    """``value`` with an int wherever its schema says integer: to JSON Schema 5.0 is one, to Python it is not."""
    if not isinstance(schema, Mapping):
        return value
    types = schema.get("type", [])
    match value:
        case float() if value.is_integer() and "integer" in types and "number" not in types:
            return int(value)
        case list() if "items" in schema:
            return [_whole(each, schema["items"]) for each in value]
        case dict() if "properties" in schema:
            return {name: _whole(each, schema["properties"].get(name)) for name, each in value.items()}
        case _:
            return value


def _problem(error: ValidationError) -> str:
    """What is wrong, without repeating a value that may be long."""
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    at = f"(at {where.removeprefix('.')[:80]}) " if where else ""
    wanted = error.validator_value
    match error.validator:
        case "type":
            return f"{at}must be of the type {' or '.join(wanted) if isinstance(wanted, list) else wanted}"
        case "enum":
            return f"{at}must be one of {', '.join(map(str, wanted))}"
        case "minimum" | "exclusiveMinimum":
            return f"{at}must be {'at least' if error.validator == 'minimum' else 'above'} {wanted}"
        case "maximum" | "exclusiveMaximum":
            return f"{at}must be {'at most' if error.validator == 'maximum' else 'below'} {wanted}"
        case "minItems" | "minLength" | "minProperties":
            return f"{at}needs at least {wanted} {'character' if error.validator == 'minLength' else 'item'}(s)"
        case "maxItems" | "maxLength" | "maxProperties":
            return f"{at}has room for {wanted} {'character' if error.validator == 'maxLength' else 'item'}s"
        case _:
            return f"{at}does not fit its schema ({error.validator})"
