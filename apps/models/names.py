"""What a model may be called: its name is a part of URLs, headers, logs and configuration files."""

from __future__ import annotations

import re
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}")


def is_model_name(name: str) -> bool:
    """``gpt-4o``, ``Qwen/Qwen3-8B``, ``llama3.1:8b``; no segment that a URL would fold away."""
    return bool(_NAME.fullmatch(name)) and all(segment.strip(".") for segment in name.split("/"))
