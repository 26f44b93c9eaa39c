"""The fields of a scorer's parameters, made of its kind's JSON Schemas.

A parameter is a field of its type: a box to tick, a choice, a number, a text, one text on a line, a table of rows, or
for an object a field for each of its properties. JSON is what no field can say: a parameter of any shape, or a value
that came by the API and does not fit the field. Whether a value is right is for the kind to say (``Scorer``); here it
gets its type, and what is shown and sent again unchanged is the same value, so that no new version is made of it.

Beside JSON Schema's own words a schema may say ``"format"``: ``chat-model``, ``embedding-model`` or ``scorer``, for a
text that names one of these.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from apps.evaluation.scorers import Scorer

PREFIX: Final = "parameter"
LONG_TEXT: Final = 2_000  # characters: from here on a text has several lines
SPARE_ROWS: Final = 2
MISSING: Final = object()
CELL_TYPES: Final = ("string", "integer", "number")

Schema = Mapping[str, Any]
Choices = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Part:
    """A field, what it shows at first, and whether leaving it empty leaves an object's property out."""

    field: forms.Field
    initial: Any
    is_left_out: bool = False


class ParameterFields:
    """The fields of one kind.

    Args:
        values: What the parameters are now. One that is missing shows its default.
        choices: By format, what a text of it may be.
    """

    def __init__(self, kind: type[Scorer], values: Mapping[str, Any], choices: Mapping[str, Choices]) -> None:
        self._choices = choices
        self._parts: dict[tuple[str, ...], _Part] = {}
        self._nullable: set[str] = set()
        for name, schema in kind.parameters_schema.items():
            self._add(name, schema, values.get(name, schema.get("default", MISSING)))

    @property
    def fields(self) -> dict[str, forms.Field]:
        return {_name(path): part.field for path, part in self._parts.items()}

    @property
    def initial(self) -> dict[str, Any]:
        return {_name(path): part.initial for path, part in self._parts.items()}

    def field_of(self, parameter: str | None) -> str | None:
        """The name of the first field of ``parameter``."""
        return next((_name(path) for path in self._parts if path[0] == parameter), None)

    def values(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as a valid form has them."""
        found: dict[str, Any] = {}
        for path, part in self._parts.items():
            value = cleaned[_name(path)]
            whole = found if len(path) == 1 else found.setdefault(path[0], {})
            if value is not MISSING and not (part.is_left_out and value in (None, "")):
                whole[path[-1]] = value
        return {name: None if name in self._nullable and not value else value for name, value in found.items()}

    def _add(self, name: str, schema: Schema, value: Any) -> None:
        bare, nullable = _unwrapped(schema)
        properties = bare.get("properties")
        if not properties or (value is not MISSING and not Draft202012Validator(schema).is_valid(value)):
            self._parts[(name,)] = self._part(schema, value, _label(schema, name), is_needed="default" not in schema)
            return
        if nullable:
            self._nullable.add(name)
        given = value if isinstance(value, Mapping) else {}
        for inner, of_it in properties.items():
            is_needed = inner in bare.get("required", ()) and not nullable
            label = f"{_label(schema, name)}: {_label(of_it, inner).lower()}"
            part = self._part(of_it, given.get(inner, MISSING), label, is_needed=is_needed)
            self._parts[(name, inner)] = _Part(part.field, part.initial, is_left_out=not is_needed)

    def _part(self, schema: Schema, value: Any, label: str, *, is_needed: bool) -> _Part:
        bare, nullable = _unwrapped(schema)
        told: dict[str, Any] = {"label": label, "help_text": _help(schema, bare)}
        if value is MISSING or Draft202012Validator(schema).is_valid(value):
            items = bare.get("items", {})
            match bare.get("type"):
                case _ if "enum" in bare:
                    return _Part(_EnumField(bare["enum"], required=not nullable, **told), _key(value))
                case "boolean" if not nullable:
                    return _Part(forms.BooleanField(required=False, **told), value is True)
                case "integer" | "number" as type_:
                    return _Part(_number(type_, bare, required=not nullable, **told), _shown(value))
                case "string" if isinstance(choices := self._choices.get(bare.get("format", "")), Sequence):
                    return _Part(_chosen(choices, value, required=is_needed or _least(bare) > 0, **told), _shown(value))
                case "string" if not nullable:
                    return _Part(_text(bare, required=_least(bare) > 0, **told), _shown(value))
                case "array" if "enum" in items and not nullable:
                    several = _EnumsField(items["enum"], _listed(value), required=bare.get("minItems", 0) > 0, **told)
                    return _Part(several, [_key(each) for each in _listed(value)])
                case "array" if items.get("type") == "string" and not nullable and _is_in_lines(value):
                    told["help_text"] = f"{told['help_text']} One on a line.".strip()
                    lines = _LinesField(required=bare.get("minItems", 0) > 0, **told)
                    return _Part(lines, "\n".join(_listed(value)))
                case "array" if _has_cells(items) and not nullable and _is_in_cells(value):
                    needs_one = is_needed or bare.get("minItems", 0) > 0
                    rows = _RowsField(items, _listed(value), bare.get("maxItems"), required=needs_one, **told)
                    return _Part(rows, rows.cells(_listed(value)))
        told["help_text"] = f"{told['help_text']} JSON.".strip()
        text = "" if value is MISSING else json.dumps(value, indent=2, ensure_ascii=False)
        return _Part(_JsonField(required=is_needed, **told), text)


def _name(path: tuple[str, ...]) -> str:
    return "-".join((PREFIX, *path))


def _unwrapped(schema: Schema) -> tuple[Schema, bool]:
    """The schema of what is no null, and whether null is taken."""
    kinds = schema.get("type")
    if isinstance(kinds, list) and "null" in kinds and len(kinds) == 2:
        return {**schema, "type": next(each for each in kinds if each != "null")}, True
    ways = schema.get("anyOf", ())
    if len(ways) == 2 and {"type": "null"} in ways:
        return next(each for each in ways if each != {"type": "null"}), True
    return schema, False


def _label(schema: Schema, name: str) -> str:
    return str(schema.get("title") or _words(name))


def _words(name: str) -> str:
    told = re.sub(r"[-_]+", " ", name).strip()
    return told[:1].upper() + told[1:]


def _help(schema: Schema, bare: Schema) -> str:
    """As HTML: what the schema says of itself, which values there are, and which one is the default."""
    told = [str(schema.get("description", ""))]
    if bare.get("type") in ("integer", "number") and "enum" not in bare:
        low, high = bare.get("minimum"), bare.get("maximum")
        above, below = bare.get("exclusiveMinimum"), bare.get("exclusiveMaximum")
        bounds = [
            f"at least {low}" if low is not None else f"above {above}" if above is not None else "",
            f"at most {high}" if high is not None else f"below {below}" if below is not None else "",
        ]
        if any(bounds):
            told.append(f"{' and '.join(filter(None, bounds))}.".capitalize())
        default = schema.get("default", MISSING)
        if isinstance(default, int | float):
            told.append(f"By default {default}.")
    return escape(" ".join(filter(None, told)))


def _least(schema: Schema) -> int:
    return int(schema.get("minLength", 0))


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _key(value: Any) -> str:
    """A choice's value in the form."""
    if value is MISSING or value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _shown(value: Any) -> str:
    return "" if value is MISSING or value is None else str(value)


def _is_in_lines(value: Any) -> bool:
    return all(each.strip() and not re.search(r"[\r\n]", each) for each in _listed(value))


def _has_cells(items: Schema) -> bool:
    columns = items.get("properties", {})
    return bool(columns) and all(column.get("type") in CELL_TYPES for column in columns.values())


def _is_in_cells(value: Any) -> bool:
    cells = [cell for row in _listed(value) for cell in row.values()]
    return not any(isinstance(cell, str) and re.search(r"[\r\n]|^\s|\s$", cell) for cell in cells)


def _number(type_: str, schema: Schema, **told: Any) -> forms.Field:
    bounds: dict[str, Any] = {"min_value": schema.get("minimum"), "max_value": schema.get("maximum")}
    return forms.IntegerField(**bounds, **told) if type_ == "integer" else _NumberField(**bounds, **told)


def _chosen(choices: Choices, value: Any, **told: Any) -> forms.Field:
    """A name among those that there are, or the one that was there."""
    now = _shown(value)
    names = [*choices, *([(now, now)] if now and now not in dict(choices) else [])]
    return forms.ChoiceField(choices=[("", "Choose…" if told["required"] else "None"), *names], **told)


def _text(schema: Schema, **told: Any) -> forms.Field:
    longest = schema.get("maxLength")
    if longest is None or longest > LONG_TEXT:  # that of a pattern is the longest on one line
        return _TextField(max_length=longest, widget=forms.Textarea(attrs={"rows": 4}), strip=False, **told)
    return _TextField(max_length=longest, strip=False, **told)


class _TextField(forms.CharField):
    """Line ends as they are in JSON."""

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value)).replace("\r\n", "\n")


class _NumberField(forms.FloatField):
    """10 stays 10, and 10.0 stays 10.0: of two ways to write a number one would make a version of its own."""

    def to_python(self, value: Any) -> Any:
        number = super().to_python(value)
        return int(value) if number is not None and re.fullmatch(r"\s*-?\d{1,15}\s*", str(value)) else number


class _EnumField(forms.TypedChoiceField):
    def __init__(self, values: Sequence[Any], **told: Any) -> None:
        by_key = {_key(each): each for each in values}
        empty = [] if told["required"] else [("", "None")]
        choices = [*empty, *((key, _words(key)) for key in by_key if key)]
        super().__init__(choices=choices, coerce=by_key.__getitem__, empty_value=None, **told)


class _EnumsField(forms.TypedMultipleChoiceField):
    """In the order in which they stood: another one says nothing else."""

    def __init__(self, values: Sequence[Any], now: list[Any], **told: Any) -> None:
        by_key = {_key(each): each for each in values}
        self._now = now
        super().__init__(
            choices=[(key, _words(key)) for key in by_key],
            coerce=by_key.__getitem__,
            empty_value=[],
            widget=forms.CheckboxSelectMultiple,
            **told,
        )

    def clean(self, value: Any) -> list[Any]:
        chosen: list[Any] = super().clean(value)
        return self._now if sorted(map(_key, chosen)) == sorted(map(_key, self._now)) else chosen


class _LinesField(forms.CharField):
    widget = forms.Textarea(attrs={"rows": 5})

    def __init__(self, **told: Any) -> None:
        super().__init__(strip=False, **told)

    def to_python(self, value: Any) -> Any:
        lines = re.split(r"\r\n|\r|\n", str(super().to_python(value)))
        return [line for line in lines if line.strip()]


class _JsonField(forms.CharField):
    widget = forms.Textarea(attrs={"rows": 8, "class": "mono", "spellcheck": "false"})

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return MISSING
        try:
            return json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(f"This is no JSON: {error}.") from None

    def validate(self, value: Any) -> None:
        """Whatever is JSON is a value, null and {} too."""
        if value is MISSING and self.required:
            raise forms.ValidationError(self.error_messages["required"], code="required")

    def run_validators(self, value: Any) -> None:
        """Those are for texts."""


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON's")


class _RowsWidget(forms.MultiWidget):
    def render(self, *args: Any, **kwargs: Any) -> SafeString:
        return format_html('<div class="parameter-rows">{}</div>', super().render(*args, **kwargs))

    def decompress(self, value: Any) -> list[Any]:
        return []


class _RowsField(forms.Field):
    """A list of objects: a row for each, and some that are empty. A row without a word in it is left out."""

    def __init__(self, items: Schema, now: list[Any], most: int | None, **told: Any) -> None:
        self._columns: Mapping[str, Schema] = items["properties"]
        self._needed = items.get("required", ())
        self._rows = len(now) + SPARE_ROWS if most is None else max(len(now), min(most, len(now) + SPARE_ROWS))
        told["help_text"] = f"{told['help_text']} A row that is left empty does not count.".strip()
        cells = [self._input(row, name) for row in range(self._rows) for name in self._columns]
        super().__init__(widget=_RowsWidget(cells), **told)

    def _input(self, row: int, name: str) -> forms.Widget:
        is_text = self._columns[name]["type"] == "string"
        told = {"aria-label": f"{_words(name)} {row + 1}", "placeholder": _words(name)}
        if is_text:
            return forms.TextInput(attrs={**told, "class": "is-text"})
        step = {} if self._columns[name]["type"] == "integer" else {"step": "any"}
        return forms.NumberInput(attrs={**told, **step, "class": "is-number"})

    def cells(self, rows: list[Any]) -> list[str]:
        empty: list[Any] = [{}] * (self._rows - len(rows))
        return [_shown(row.get(name, MISSING)) for row in [*rows, *empty] for name in self._columns]

    def to_python(self, value: Any) -> list[dict[str, Any]]:
        cells = [str(cell or "").strip() for cell in _listed(value)]
        width = len(self._columns)
        rows = [cells[at : at + width] for at in range(0, len(cells), width)]
        return [self._row(number, row) for number, row in enumerate(rows, 1) if any(row)]

    def _row(self, number: int, cells: list[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for (name, column), cell in zip(self._columns.items(), cells, strict=True):
            if not cell:
                if name in self._needed:
                    raise forms.ValidationError(f"Row {number} has no {_words(name).lower()}.")
                continue
            try:
                found[name] = cell if column["type"] == "string" else _number(column["type"], {}).clean(cell)
            except forms.ValidationError as error:
                raise forms.ValidationError(f"Row {number}, {_words(name).lower()}: {error.messages[0]}") from None
        return found
