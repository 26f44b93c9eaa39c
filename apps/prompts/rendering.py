"""A version made ready to be filled in: what the gateway, the preview and the evaluation render by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.prompts import placeholders
from apps.prompts.content import whole_messages
from apps.prompts.types import Content, Message
from apps.prompts.variables import VariableCheck


class Template:
    """Immutable, and safe to use from many requests at once."""

    __slots__ = ("_check", "_messages", "content")

    def __init__(self, content: Content) -> None:
        self.content = content
        self._messages = whole_messages(content)
        self._check = VariableCheck(content.variables)

    def render(self, values: Mapping[str, Any]) -> list[Message]:
        """The messages with their values. Raises ``VariablesInvalid``."""
        return self._filled(self._check.complete(values))

    def preview(self, values: Mapping[str, Any]) -> list[Message]:
        """The same as far as it goes: unchecked, and what has no value stays to be seen."""
        defaults = {name: schema["default"] for name, schema in self.content.variables.items() if "default" in schema}
        return self._filled(defaults | dict(values))

    def _filled(self, values: Mapping[str, Any]) -> list[Message]:
        texts = {name: placeholders.written(value) for name, value in values.items()}
        return [Message(each.role, placeholders.with_values(each.content, texts)) for each in self._messages]
