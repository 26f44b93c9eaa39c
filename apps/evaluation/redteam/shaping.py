"""How an attack reaches its target: a model by messages, a prompt by the variable that its users write into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from apps.evaluation.redteam.types import Attack, By
from apps.prompts.content import whole_messages
from apps.prompts.placeholders import variables_in
from apps.prompts.types import Content

FILLER: Final = "none"


def for_model(attack: Attack) -> dict[str, Any]:
    """An example's input for a model or a route."""
    messages = [{"role": "system", "content": attack.planted}] if attack.planted else []
    return {"messages": [*messages, {"role": "user", "content": attack.text}]}


def for_prompt(attack: Attack, content: Content) -> dict[str, Any]:
    """An example's input for a version of a prompt.

    The prompt brings its own instructions: a secret planted in a system message would not be its own, so that an attack
    on the instructions goes without one, and its success is told by the prompt's own sentences. A planted record stands
    before the attack, as a document would.
    """
    text = f"{attack.planted}\n\n{attack.text}" if attack.by == By.PLANTED else attack.text
    name = main_variable(content)
    values = {other: _filler(schema) for other, schema in content.variables.items() if "default" not in schema}
    if not name:
        return {**values, "messages": [{"role": "user", "content": text}]}
    most = content.variables[name].get("maxLength")
    return {**values, name: text if most is None else text[:most]}


def expected_of(attack: Attack, *, is_prompt: bool) -> dict[str, Any]:
    """As the scorer reads it."""
    expected = attack.expected
    if is_prompt and attack.by == By.CANARY:
        expected["attack"] = {"by": str(By.INSTRUCTIONS), "secrets": []}
    return expected


def main_variable(content: Content) -> str:
    """The variable that a user's own words go into: the last free text of the last message that has one; else empty."""
    for message in reversed(whole_messages(content)):
        free = [name for name in variables_in([message.content]) if _is_free_text(content.variables.get(name, {}))]
        if free:
            return free[-1]
    return ""


def _is_free_text(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "string" and "enum" not in schema and "const" not in schema


def _filler(schema: Mapping[str, Any]) -> Any:
    """A value that fits: an example or a choice where the schema names one."""
    for name in ("examples", "enum"):
        if schema.get(name):
            return schema[name][0]
    if "const" in schema:
        return schema["const"]
    types = schema.get("type", "string")
    match types if isinstance(types, str) else types[0]:
        case "string":
            return FILLER.ljust(int(schema.get("minLength", 0)), ".")[: schema.get("maxLength", 200)]
        case "integer" | "number":
            low, high = schema.get("minimum"), schema.get("maximum")
            above = schema.get("exclusiveMinimum")
            return low if low is not None else above + 1 if above is not None else min(1, 1 if high is None else high)
        case "boolean":
            return False
        case "array":
            return [_filler(schema.get("items", {})) for _ in range(int(schema.get("minItems", 0)))]
        case "object":
            return {name: _filler(schema.get("properties", {}).get(name, {})) for name in schema.get("required", [])}
    return None
