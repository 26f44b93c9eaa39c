"""From an answer to the golden-dataset inbox, where those who keep the datasets decide on it."""

from __future__ import annotations

from typing import Any

from apps.evaluation.models import InboxItem
from apps.evaluation.services import offer_to_inbox
from apps.evaluation.types import Source
from apps.playground.catalog import chosen_version
from apps.playground.messages import messages_for, text_of
from apps.playground.models import Answer
from apps.playground.selectors import chain_to, feedback_of, turns_of
from apps.playground.services.turns import as_served
from apps.playground.services.validation import require_own
from apps.playground.types import column_of
from apps.prompts.models import Prompt
from apps.prompts.rendering import Template
from apps.tenants.access import Actor
from apps.tenants.errors import Conflict


def offer_answer(*, actor: Actor, answer: Answer) -> InboxItem:
    """What was asked, what was answered, and what the actor said of it: the reasons, the note, the corrected answer."""
    conversation = answer.turn.conversation
    require_own(actor, conversation)
    if conversation.is_blind:
        raise Conflict("Vote first: then the answer can go on its way.", code="still_blind")
    if not answer.text:
        raise Conflict("There is no answer to send.", code="no_answer")
    given = feedback_of(actor, conversation).get(answer.pk)
    asked, prompt = _asked(actor, answer)
    return offer_to_inbox(
        actor=actor,
        tenant=conversation.tenant,
        source=Source.ANSWER,
        source_ref=f"answer/{answer.pk}",
        input=asked,
        output=answer.text,
        expected=given.correction or None if given else None,
        reasons=given.reasons if given else (),
        note=given.note if given else "",
        prompt=prompt,
    )


def _asked(actor: Actor, answer: Answer) -> tuple[dict[str, Any], Prompt | None]:
    """A prompt's values where the prompt said it all; else the messages, a prompt's among them as they were sent."""
    column = as_served(column_of(answer.settings), answer.prompt_version)
    chain = chain_to(turns_of(answer.turn.conversation), answer.turn_id)
    said = messages_for(chain, answer.column, column)
    while said and said[-1]["role"] not in ("user", "system"):
        said.pop()
    messages = [{"role": each["role"], "content": text} for each in said if (text := text_of(each))]
    if column.prompt is None:
        return {"messages": messages}, None
    chosen = chosen_version(actor, answer.turn.conversation.project, column.prompt)
    if not messages:
        return dict(column.prompt.variables), chosen.prompt
    sent = Template(chosen.version.content).preview(column.prompt.variables)
    return {"messages": [{"role": each.role, "content": each.content} for each in sent] + messages}, chosen.prompt
