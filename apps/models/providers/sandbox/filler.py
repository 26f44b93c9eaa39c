"""Values that satisfy a JSON Schema, made from the words of the request.

The schema is the caller's: it is read within bounds of depth and size, and its patterns are generated from, never run.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any, Final

# The standard library's own parser of patterns: not public, so that type checkers disagree on whether it is there.
sre: Final[Any] = importlib.import_module("re._constants")
sre_parser: Final[Any] = importlib.import_module("re._parser")

MAX_NODES: Final = 2_000
MAX_DEPTH: Final = 40
MAX_TEXT: Final = 20_000
_OPTIONAL_DEPTH: Final = 4
_KEYWORDS_OF: Final = {
    "object": ("properties", "required", "additionalProperties", "minProperties"),
    "array": ("items", "prefixItems", "minItems"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength", "pattern", "format"),
}


class SchemaError(ValueError):
    """The sandbox cannot fill this schema; the text says where and why."""


class Facts:
    """What can be lifted out of a text to fill a field with, most telling first."""

    _QUOTED = re.compile(r"\"([^\"\n]{1,200})\"|“([^”\n]{1,200})”|'([^'\n]{2,200})'(?!\w)")
    _NAMED = re.compile(r"(?<![.!?]\s)(?<!^)\b([A-Z][\w-]*(?:\s+[A-Z][\w-]*)*)")
    _NUMBER = re.compile(r"(?<![\w.-])-?\d{1,15}(?:\.\d{1,6})?(?![\w-])")
    _SHAPES: Final = {
        "email": re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{0,100}\w"),
        "uri": re.compile(r"https?://[^\s<>\"')\]]+"),
        "date": re.compile(r"\b\d{4}-\d\d-\d\d\b"),
    }

    def __init__(self, text: str, answer: str = "") -> None:
        self.text = " ".join(text[:MAX_TEXT].split())
        self.answer = answer
        self.quoted = [next(filter(None, groups)) for groups in self._QUOTED.findall(self.text)]
        self.named = [name for name in self._NAMED.findall(self.text) if name != "I"]
        self.numbers = [Fraction(number) for number in self._NUMBER.findall(self.text)]
        self.shapes = {name: shape.findall(self.text) for name, shape in self._SHAPES.items()}

    def texts(self, name: str) -> list[str]:
        """What a string called ``name`` may well be."""
        name = name.lower()
        if any(word in name for word in ("mail",)):
            found = [*self.shapes["email"], "person@example.com"]
        elif any(word in name for word in ("url", "uri", "link")):
            found = [*self.shapes["uri"], "https://example.com/"]
        elif "date" in name or name in ("day", "when"):
            found = [*self.shapes["date"], "2027-01-01"]
        elif any(word in name for word in ("answer", "summary", "reason", "explanation", "response", "description")):
            found = [self.answer, self.text]
        elif any(word in name for word in ("query", "question", "prompt", "text", "message", "content", "input")):
            found = [self.text]
        else:
            found = [*self.quoted, *self.named, self.text]
        return [text for text in found if text] or ["sandbox"]


class Filler:
    """Fills one schema. ``prefer`` may know better than the text what a field (its name, its schema) should hold; it is
    heeded where the schema allows it, and None leaves the field to the text. With ``optional`` properties that are not
    required are filled as well.
    """

    def __init__(
        self,
        schema: Any,
        facts: Facts,
        *,
        prefer: Callable[[str, dict[str, Any]], Any] | None = None,
        optional: bool = True,
    ) -> None:
        self._root = schema
        self._facts = facts
        self._prefer = prefer
        self._optional_depth = _OPTIONAL_DEPTH if optional else 0
        self._nodes = 0

    def fill(self) -> Any:
        """Raises SchemaError."""
        try:
            return self._fill(self._root, "#", "", 0, 0)
        except (TypeError, ValueError, AttributeError, KeyError, OverflowError) as error:
            if isinstance(error, SchemaError):
                raise
            # A keyword of the wrong type, anywhere in what the caller wrote.
            raise SchemaError(f"This is not a JSON Schema: {error}.") from error

    def _fill(self, schema: Any, path: str, name: str, depth: int, index: int) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise SchemaError(f"The schema asks for more than the sandbox makes, at {path}.")
        schema = self._resolve(schema, path, depth)
        preferred = self._prefer(name, dict(schema)) if self._prefer and name else None
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._choice(schema, path, index, preferred)
        for kind in ("anyOf", "oneOf"):
            if kind in schema:
                return self._alternative(schema, kind, path, name, depth, index)
        for ready in ("default", "examples"):
            if ready in schema and "pattern" in schema:
                value = schema[ready]
                return value[0] if ready == "examples" and isinstance(value, list) and value else value
        match self._type(schema, path):
            case "object":
                return self._object(schema, path, depth)
            case "array":
                return self._array(schema, path, name, depth)
            case "string":
                return self._string(schema, path, name, index, preferred)
            case "integer":
                return int(self._number(schema, path, whole=True, index=index, preferred=preferred))
            case "number":
                value = self._number(schema, path, whole=False, index=index, preferred=preferred)
                return int(value) if value.denominator == 1 else float(value)
            case "boolean":
                if isinstance(preferred, bool):
                    return preferred
                return not re.search(rf"\bno(?:t|n)?[- ]{re.escape(name)}\b", self._facts.text, re.IGNORECASE)
            case _:
                return None

    def _resolve(self, schema: Any, path: str, depth: int) -> Mapping[str, Any]:
        """The schema with its references followed and its ``allOf`` merged in."""
        if depth > MAX_DEPTH:
            raise SchemaError(f"The references at {path} lead in a circle.")
        for _ in range(MAX_DEPTH):
            if schema is True or schema == {}:
                return {}
            if not isinstance(schema, Mapping):
                raise SchemaError(f"Nothing can satisfy {path}.")
            if "$ref" in schema:
                target = self._target(schema["$ref"], path)
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = self._merge(target, rest, path) if rest else target
            elif "allOf" in schema:
                merged: Any = {key: value for key, value in schema.items() if key != "allOf"}
                parts = schema["allOf"]
                for part in parts if isinstance(parts, list) else ():
                    self._nodes += 1
                    if self._nodes > MAX_NODES:
                        raise SchemaError(f"The schema asks for more than the sandbox makes, at {path}.")
                    merged = self._merge(merged, self._resolve(part, path, depth + 1), path)
                schema = merged
            else:
                return schema
        raise SchemaError(f"The references at {path} lead in a circle.")

    def _target(self, reference: Any, path: str) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise SchemaError(f"The reference {reference!r} at {path} does not point into the schema itself.")
        node = self._root
        for step in reference[1:].split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(node, Mapping) and step in node:
                node = node[step]
            elif isinstance(node, list) and step.isdigit() and int(step) < len(node):
                node = node[int(step)]
            else:
                raise SchemaError(f"The reference {reference!r} at {path} points to nothing.")
        return node

    @staticmethod
    def _merge(first: Any, second: Any, path: str) -> dict[str, Any]:
        """Both hold. Bounds take the narrower; what else both name is the second's."""
        if not isinstance(first, Mapping) or not isinstance(second, Mapping):
            raise SchemaError(f"Nothing can satisfy {path}.")
        merged = {**first, **second}
        for key in first.keys() & second.keys():
            one, other = first[key], second[key]
            if key in ("properties", "$defs", "definitions"):
                merged[key] = {**one, **other}
                for shared in one.keys() & other.keys():
                    merged[key][shared] = {"allOf": [one[shared], other[shared]]}
            elif key == "required":
                merged[key] = list(dict.fromkeys([*one, *other]))
            elif key == "enum":
                merged[key] = [value for value in one if value in other]
            elif key in ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"):
                merged[key] = max(one, other)
            elif key in ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"):
                merged[key] = min(one, other)
            elif key == "type" and one != other:
                shared_types = [kind for kind in _listed(other) if kind in _listed(one)]
                if {"integer", "number"} <= {*_listed(one), *_listed(other)} and "integer" not in shared_types:
                    shared_types.append("integer")
                merged[key] = shared_types
        return merged

    def _type(self, schema: Mapping[str, Any], path: str) -> str:
        declared = schema.get("type")
        if declared is None:
            for kind, keywords in _KEYWORDS_OF.items():
                if any(keyword in schema for keyword in keywords):
                    return kind
            return "string"
        kinds = _listed(declared)
        known = [kind for kind in kinds if kind in (*_KEYWORDS_OF, "integer", "boolean")]
        if not known and "null" not in kinds:
            raise SchemaError(f"The sandbox does not know the type {declared!r} at {path}.")
        return known[0] if known else "null"

    def _choice(self, schema: Mapping[str, Any], path: str, index: int, preferred: Any) -> Any:
        kinds = _listed(schema["type"]) if "type" in schema else None
        options = [value for value in schema["enum"] if kinds is None or any(_is_of(value, kind) for kind in kinds)]
        if not options:
            raise SchemaError(f"No value is allowed at {path}.")
        if preferred is not None and preferred in options:
            return preferred
        text = self._facts.text.lower()
        mentioned = [value for value in options if isinstance(value, str) and value and value.lower() in text]
        chosen = max(mentioned, key=len) if mentioned else options[0]
        return options[(options.index(chosen) + index) % len(options)]

    def _alternative(self, schema: Mapping[str, Any], kind: str, path: str, name: str, depth: int, index: int) -> Any:
        base = {key: value for key, value in schema.items() if key != kind}
        options = schema[kind] if isinstance(schema[kind], list) else []
        # Null last: an optional field is shown filled.
        options = sorted(options, key=lambda option: isinstance(option, Mapping) and option.get("type") == "null")
        refusal = SchemaError(f"No value is allowed at {path}.")
        for number, option in enumerate(options):
            try:
                resolved = self._resolve(option, path, depth)
                merged = self._merge(base, resolved, path) if base else resolved
                return self._fill(merged, f"{path}/{kind}/{number}", name, depth + 1, index)
            except SchemaError as error:
                refusal = error
        raise refusal

    def _object(self, schema: Mapping[str, Any], path: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, Mapping) else {}
        required = [name for name in schema.get("required") or () if isinstance(name, str)]
        made: dict[str, Any] = {}
        for name, child in properties.items():
            if name not in required and depth >= self._optional_depth:
                continue
            before = self._nodes
            try:
                made[name] = self._fill(child, f"{path}/{name}", name, depth + 1, 0)
            except SchemaError:
                if name in required:
                    raise
                self._nodes = min(before + 1, MAX_NODES)
        extra = schema.get("additionalProperties", True)
        for name in required:
            if name not in made:
                made[name] = self._fill(extra, f"{path}/{name}", name, depth + 1, 0)
        most = schema.get("maxProperties")
        if isinstance(most, int):
            for name in [name for name in made if name not in required][: max(len(made) - most, 0)]:
                del made[name]
        least = schema.get("minProperties", 0)
        number = 0
        while len(made) < least:
            number += 1
            name = f"field{number}"
            if name not in made:
                made[name] = self._fill(extra, f"{path}/{name}", name, depth + 1, 0)
        return made

    def _array(self, schema: Mapping[str, Any], path: str, name: str, depth: int) -> list[Any]:
        least = int(schema.get("minItems", 0))
        most = schema.get("maxItems")
        first = schema.get("prefixItems")
        first = first if isinstance(first, list) else []
        items = schema.get("items", not first)
        wanted = max(least, len(first) if items is False else max(2 if depth < _OPTIONAL_DEPTH else 0, len(first)))
        if isinstance(most, int | float):
            wanted = min(wanted, int(most))
        made: list[Any] = []
        unique = bool(schema.get("uniqueItems"))
        index = 0
        while len(made) < wanted and index < 20 * wanted + 20:
            position = len(made)
            child = first[position] if position < len(first) else items
            if child is False:
                break
            try:
                value = self._fill(child, f"{path}/{position}", name.removesuffix("s"), depth + 1, index)
            except SchemaError:
                if position >= least:
                    break
                raise
            index += 1
            if not unique or not any(_same(value, other) for other in made):
                made.append(value)
        if len(made) < least:
            raise SchemaError(f"The sandbox cannot make {least} items at {path}.")
        return made

    def _number(self, schema: Mapping[str, Any], path: str, *, whole: bool, index: int, preferred: Any) -> Fraction:
        low, high = _bound(schema, "minimum", path), _bound(schema, "maximum", path)
        over, under = _bound(schema, "exclusiveMinimum", path), _bound(schema, "exclusiveMaximum", path)
        step = _bound(schema, "multipleOf", path)
        if step is None and whole:
            step = Fraction(1)
        elif step is not None and whole and step.denominator != 1:
            step = Fraction(step.numerator)  # the least whole multiple of p/q in lowest terms is p

        def allowed(value: Fraction) -> bool:
            return (
                (low is None or value >= low)
                and (high is None or value <= high)
                and (over is None or value > over)
                and (under is None or value < under)
                and (step is None or (value / step).denominator == 1)
            )

        candidates = [number for number in self._facts.numbers if allowed(number)][index:]
        if isinstance(preferred, int | float) and not isinstance(preferred, bool):
            candidates.insert(0, Fraction(str(preferred)))
        floor = low if over is None else over if low is None else max(low, over)
        ceiling = high if under is None else under if high is None else min(high, under)
        unit = step or Fraction(1)
        if floor is not None:
            start = Fraction(math.ceil(floor / unit)) * unit
            candidates += [start + unit * (index + number) for number in range(3)]
        if ceiling is not None:
            start = Fraction(math.floor(ceiling / unit)) * unit
            candidates += [start - unit * (index + number) for number in range(3)]
        if floor is not None and ceiling is not None and step is None:
            candidates.append(floor + (ceiling - floor) / (2 + index))
        if floor is not None:
            candidates += [math.ceil(floor / unit) * unit, floor]
        if ceiling is not None:
            candidates += [math.floor(ceiling / unit) * unit, ceiling]
        candidates += [unit * (index + 1), Fraction(0), -unit * (index + 1)]
        for candidate in candidates:
            if allowed(candidate):
                return candidate
        raise SchemaError(f"No number is allowed at {path}.")

    def _string(self, schema: Mapping[str, Any], path: str, name: str, index: int, preferred: Any) -> str:
        least = int(schema.get("minLength", 0))
        most = int(schema.get("maxLength", MAX_TEXT))
        if least > min(most, MAX_TEXT):
            raise SchemaError(f"No text is allowed at {path}.")
        pattern = schema.get("pattern")
        if isinstance(pattern, str):
            return _from_pattern(pattern, path, index, least, most)
        shape = schema.get("format")
        if isinstance(shape, str) and shape in _FORMATS:
            found = self._facts.shapes.get(shape, [])
            return found[index] if index < len(found) else _FORMATS[shape](index)
        if isinstance(preferred, str) and least <= len(preferred) <= most:
            return preferred
        texts = self._facts.texts(name)
        text = texts[index] if index < len(texts) else f"{texts[0]} {index + 1}"
        if len(text) > most:
            # Cut, but keep what makes an item differ from the others.
            ending = str(index + 1) if index else ""
            text = (text[: max(most - len(ending), 0)] + ending)[:most] if index else text[:most]
        return text + "x" * (least - len(text))


_FORMATS: Final = {
    "date": lambda index: f"2027-01-{index % 28 + 1:02d}",
    "time": lambda index: f"12:{index % 60:02d}:00Z",
    "date-time": lambda index: f"2027-01-{index % 28 + 1:02d}T12:00:00Z",
    "duration": lambda index: f"PT{index + 1}H",
    "email": lambda index: f"person{index + 1}@example.com",
    "hostname": lambda index: f"host{index + 1}.example.com",
    "ipv4": lambda index: f"192.0.2.{index % 254 + 1}",
    "ipv6": lambda index: f"2001:db8::{index + 1:x}",
    "uri": lambda index: f"https://example.com/{index + 1}",
    "uuid": lambda index: f"00000000-0000-4000-8000-{index + 1:012x}",
}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_of(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    kinds: dict[str, type | tuple[type, ...]] = {
        "string": str, "integer": int, "number": (int, float), "array": list, "object": dict, "null": type(None)
    }  # fmt: skip
    return isinstance(value, kinds.get(kind, ()))


def _same(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _bound(schema: Mapping[str, Any], name: str, path: str) -> Fraction | None:
    value = schema.get(name)
    if value is None or isinstance(value, bool):
        return None
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise SchemaError(f"{name} at {path} is not a number.")
    return Fraction(str(value))


def _from_pattern(pattern: str, path: str, index: int, least: int, most: int) -> str:
    """A text that matches, written out from the pattern's parts; the pattern itself is never run."""
    if len(pattern) > 1_000:
        raise SchemaError(f"The pattern at {path} is longer than the sandbox reads.")
    try:
        tree = sre_parser.parse(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise SchemaError(f"The pattern at {path} is not one: {error}.") from None
    for more in range(3):
        text = _write(tree, path, index, more * max(least, 1))
        if least <= len(text) <= most:
            return text
    if len(text) < least and not pattern.endswith("$"):
        return (text + "x" * (least - len(text)))[:most]
    raise SchemaError(f"The sandbox finds no text of {least} to {most} characters for the pattern at {path}.")


def _write(tree: Iterable[tuple[Any, Any]], path: str, index: int, extra: int) -> str:
    parts: list[str] = []
    size = 0
    for kind, value in tree:
        if kind is sre.LITERAL:
            part = chr(value)
        elif kind is sre.ANY:
            part = "x"
        elif kind is sre.NOT_LITERAL:
            part = "x" if value != ord("x") else "y"
        elif kind is sre.IN:
            part = _from_set(value, path, index)
        elif kind is sre.BRANCH:
            part = _write(value[1][index % len(value[1])], path, index, extra)
        elif kind is sre.SUBPATTERN:
            part = _write(value[-1], path, index, extra)
        elif kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            low, high, inner = value
            times = min(max(low, min(1 + extra, int(high))), MAX_TEXT)
            if times * max(size, 1) > 50 * MAX_TEXT:
                raise SchemaError(f"The pattern at {path} asks for more text than the sandbox writes.")
            part = ""
            for _ in range(times):
                part += _write(inner, path, index, 0)
                if len(part) > MAX_TEXT:
                    raise SchemaError(f"The pattern at {path} asks for more text than the sandbox writes.")
        elif kind is sre.AT:
            part = ""
        else:
            raise SchemaError(f"The pattern at {path} uses what the sandbox cannot write ({str(kind).lower()}).")
        parts.append(part)
        size += len(part)
    return "".join(parts)


_CATEGORIES: Final = {
    sre.CATEGORY_DIGIT: "0123456789",
    sre.CATEGORY_WORD: "abcdefghijklmnopqrstuvwxyz",
    sre.CATEGORY_SPACE: " ",
    sre.CATEGORY_NOT_DIGIT: "abcdefgh",
    sre.CATEGORY_NOT_WORD: "-",
    sre.CATEGORY_NOT_SPACE: "abcdefgh",
}


def _from_set(items: list[tuple[Any, Any]], path: str, index: int) -> str:
    negated = items[0][0] is sre.NEGATE
    choices: list[str] = []
    for kind, value in items[1:] if negated else items:
        if kind is sre.LITERAL:
            choices.append(chr(value))
        elif kind is sre.RANGE:
            choices += [chr(code) for code in range(value[0], min(value[1], value[0] + 63) + 1)]
        elif kind is sre.CATEGORY:
            choices += _CATEGORIES[value]
    if negated:
        taken = set(choices)
        choices = [letter for letter in "abcdefghijklmnopqrstuvwxyz0123456789-_ .ABC" if letter not in taken]
    if not choices:
        raise SchemaError(f"The pattern at {path} has a set that the sandbox cannot choose from.")
    return choices[index % len(choices)]
