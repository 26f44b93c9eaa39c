"""A conversation as a file: Markdown to read, JSON to work with. Without the files' content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apps.playground.models import Answer, Conversation, Turn
from apps.tenants.money import to_usd

FORMAT = "lobby.conversation/1"


def to_markdown(conversation: Conversation, chain: Sequence[Turn], names: Mapping[str, str]) -> str:
    """One branch, from its first turn to its last."""
    lines = [f"# {_one_line(conversation.title)}", ""]
    for turn in chain:
        lines += ["## Asked", "", turn.message or "*The prompt's own words*", ""]
        lines += [f"- File: {_one_line(each.name)} ({each.media_type})" for each in turn.attachments.all()]
        for answer in turn.answers.all():
            lines += ["", f"### {names.get(answer.model_slug, answer.model_slug)}", ""]
            if answer.prompt_slug:
                lines += [f"- Prompt: {answer.prompt_label}"]
                lines += [f"- {name}: {_one_line(value)}" for name, value in answer.prompt_values] + [""]
            lines += [answer.text or f"*{answer.get_status_display()}*"]
            lines += [
                f"\n```json\n{call.get('name', '')}({call.get('arguments', '')})\n```" for call in answer.tool_calls
            ]
            if figures := _figures(answer):
                lines += ["", f"*{figures}*"]
        lines.append("")
    return "\n".join(lines)


def to_json(conversation: Conversation, turns: Sequence[Turn]) -> dict[str, Any]:
    """The whole tree: each turn names its parent."""
    return {
        "format": FORMAT,
        "title": conversation.title,
        "use_case": conversation.use_case,
        "created_at": conversation.created_at.isoformat(),
        "turns": [
            {
                "id": turn.pk,
                "parent": turn.parent_id,
                "message": turn.message,
                "created_at": turn.created_at.isoformat(),
                "attachments": [
                    {"name": each.name, "media_type": each.media_type, "size": each.size}
                    for each in turn.attachments.all()
                ],
                "answers": [_answer(answer) for answer in turn.answers.all()],
            }
            for turn in turns
        ],
    }


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "column": answer.column,
        "step": answer.step,
        "model": answer.model_slug,
        "prompt": answer.prompt_slug,
        "prompt_version": answer.prompt_version,
        "settings": answer.settings,
        "status": answer.status,
        "text": answer.text,
        "reasoning": answer.reasoning,
        "tool_calls": answer.tool_calls,
        "tool_results": answer.tool_results,
        "error": answer.error,
        "request_id": answer.request_id,
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "cost_usd": None if answer.cost_picousd is None else str(to_usd(answer.cost_picousd)),
        "first_token_ms": answer.first_token_ms,
        "duration_ms": answer.duration_ms,
    }


def _figures(answer: Answer) -> str:
    figures = []
    if answer.output_tokens is not None:
        figures.append(f"{answer.input_tokens or 0:,} tokens in, {answer.output_tokens:,} out")
    if answer.cost_picousd is not None:
        figures.append(f"{to_usd(answer.cost_picousd):f} USD")
    return ", ".join(figures)


def _one_line(text: str) -> str:
    return " ".join(text.split())
