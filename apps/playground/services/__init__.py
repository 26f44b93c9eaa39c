"""The playground's acts. Each takes the actor first, checks, writes, and records what matters in the audit trail."""

from apps.playground.services.answers import finish_answer, interrupt_answers, save_figures, save_progress
from apps.playground.services.conversations import (
    delete_conversation,
    fork_conversation,
    rename_conversation,
    set_use_case,
    share_conversation,
    unshare_conversation,
)
from apps.playground.services.examples import fork_example, rate_example, remove_example, share_example
from apps.playground.services.feedback import give_feedback, triage_feedback, withdraw_feedback
from apps.playground.services.offers import offer_answer
from apps.playground.services.prompts import save_as_prompt
from apps.playground.services.ratings import allow_rating_sets, make_rating_set, may_make_rating_sets
from apps.playground.services.retention import delete_expired
from apps.playground.services.turns import Begun, begin_turn, begun_before, continue_answer
from apps.playground.services.votes import cast_vote

__all__ = [
    "Begun",
    "allow_rating_sets",
    "begin_turn",
    "begun_before",
    "cast_vote",
    "continue_answer",
    "delete_conversation",
    "delete_expired",
    "finish_answer",
    "fork_conversation",
    "fork_example",
    "give_feedback",
    "interrupt_answers",
    "make_rating_set",
    "may_make_rating_sets",
    "offer_answer",
    "rate_example",
    "remove_example",
    "rename_conversation",
    "save_as_prompt",
    "save_figures",
    "save_progress",
    "set_use_case",
    "share_conversation",
    "share_example",
    "triage_feedback",
    "unshare_conversation",
    "withdraw_feedback",
]
