"""The dialects of conversations, by the front operation that speaks each."""

from __future__ import annotations

from apps.models.providers.base import Operation
from apps.models.providers.dialects.base import ConversationDialect
from apps.models.providers.dialects.chat import ChatDialect

CHAT = ChatDialect()

DIALECTS: dict[Operation, ConversationDialect] = {"chat.completions": CHAT}
