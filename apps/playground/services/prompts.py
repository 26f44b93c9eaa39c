"""From an answer to a prompt of the catalog: what was said to the model becomes its first version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from django.db import transaction

from apps.playground.catalog import chosen_version
from apps.playground.messages import messages_for, text_of, tool_function
from apps.playground.models import Answer
from apps.playground.selectors import chain_to, turns_of
from apps.playground.services.turns import as_served
from apps.playground.services.validation import require_own
from apps.playground.types import Column, column_of
from apps.prompts import services as catalog
from apps.prompts.content import whole_messages
from apps.prompts.models import PromptVersion
from apps.prompts.types import Content, ToolFunction, plain
from apps.tenants.access import Actor
from apps.tenants.errors import Conflict


@transaction.atomic
def save_as_prompt(*, actor: Actor, answer: Answer, name: str, slug: str, use_case: str = "") -> PromptVersion:
    """A new prompt with what led to this answer: its messages, parameters, tools, schema and model.

    Of a column that was itself asked with a prompt, the new one begins with that one's words and variables.
    """
    conversation = answer.turn.conversation
    require_own(actor, conversation)
    if conversation.is_blind:
        raise Conflict("Vote first: a prompt names its model.", code="still_blind")
    prompt = catalog.create_prompt(
        actor=actor, tenant=conversation.tenant, slug=slug, name=name, use_case=use_case or conversation.use_case
    )
    column = as_served(column_of(answer.settings), answer.prompt_version)
    base = None
    if column.prompt is not None:
        base = chosen_version(actor, conversation.project, column.prompt).version.content
    said = messages_for(chain_to(turns_of(conversation), answer.turn_id), answer.column, column)
    while said and said[-1]["role"] not in ("user", "system"):  # the answer itself, and what its tools were asked
        said.pop()
    content = _content(answer.model_slug, column, base, said)
    message = "From an answer in the playground"
    return catalog.save_version(actor=actor, prompt=prompt, content=content, message=message).version


def _content(model: str, column: Column, base: Content | None, said: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    messages = [] if base is None else [{"role": each.role, "content": each.content} for each in whole_messages(base)]
    messages += [
        {"role": each["role"], "content": text}
        for each in said
        if each["role"] in ("system", "user", "assistant") and (text := text_of(each))
    ]
    tools = [{"type": "function", "function": _known(tool_function(tool))} for tool in column.tools]
    content: dict[str, Any] = {
        "messages": messages,
        "parameters": msgspec.to_builtins(column.parameters),
        "tools": tools,
        "output_schema": column.schema,
        "model": model,
    }
    if base is None:
        return content
    return content | {
        "variables": base.variables,
        "parameters": plain(base.parameters) | content["parameters"],
        "tools": tools or plain(base.tools),
        "output_schema": column.schema if column.schema is not None else base.output_schema,
    }


def _known(tool: Mapping[str, Any]) -> dict[str, Any]:
    """What a prompt's tool holds; a description that is none is left out."""
    return {name: tool[name] for name in ToolFunction.__struct_fields__ if tool.get(name) is not None}
