"""What a model may be called: its name is a part of URLs, headers, logs and configuration files."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}")


def is_model_name(name: str) -> bool:
    """``gpt-4o``, ``Qwen/Qwen3-8B``, ``llama3.1:8b``; no segment that a URL would fold away."""
    return bool(_NAME.fullmatch(name)) and all(segment.strip(".") for segment in name.split("/"))


_taken_elsewhere: list[Callable[[str], str]] = []


def share_names_with(taken_by: Callable[[str], str]) -> None:
    """What else applications name in ``model``: ``taken_by`` answers what bears a name, or nothing."""
    if taken_by not in _taken_elsewhere:
        _taken_elsewhere.append(taken_by)


def name_taken_by(name: str) -> str:
    """What else bears this name; empty when it is free for a model."""
    return next((found for taken_by in _taken_elsewhere if (found := taken_by(name))), "")
