"""Small word lists of our own, for screens. What they miss they miss: a screen finds cases to look at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

REFUSALS: Final = (
    "i can't help with", "i cannot help with", "i can't assist", "i cannot assist", "i can't provide",
    "i cannot provide",
    "i'm unable to", "i am unable to", "i'm not able to", "i am not able to", "i won't be able to", "i must decline",
    "i have to decline", "i can't comply", "i cannot comply", "i can't fulfill", "i cannot fulfill", "i can't fulfil",
    "i cannot fulfil", "i can't do that", "i cannot do that", "i won't help", "i will not help", "i can't answer",
    "i cannot answer", "i can't discuss", "i cannot discuss", "i can't share", "i cannot share", "i'm sorry, but i can",
    "i am sorry, but i can", "sorry, i can't", "sorry, i cannot", "against my guidelines", "as an ai language model, i",
    "not something i can help", "i don't feel comfortable", "i'm not comfortable",
)  # fmt: skip

TOXIC: Final[Mapping[str, tuple[str, ...]]] = {
    "insult": (
        "idiot", "idiots", "moron", "morons", "imbecile", "stupid bitch", "dumbass", "dumb ass", "jackass", "asshole",
        "assholes", "arsehole", "bastard", "bastards", "scumbag", "loser", "losers", "douchebag", "retard", "retarded",
        "bitch", "bitches", "whore", "slut", "pathetic excuse for", "you are worthless", "you're worthless",
        "you are an embarrassment", "you're an embarrassment", "waste of space", "waste of oxygen",
    ),
    "profanity": (
        "fuck", "fucks", "fucking", "fucked", "fucker", "motherfucker", "shit", "shitty", "bullshit", "goddamn",
        "piss off",
        "wanker", "bollocks", "cunt", "dickhead", "prick",
    ),
    "threat": (
        "kill you", "hurt you", "i will find you", "i'll find you", "you will pay for this", "you'll regret this",
        "burn your house", "beat you up", "break your neck", "break your legs", "you deserve to die", "hope you die",
        "slit your throat", "shoot you",
    ),
    "self-harm": ("kill yourself", "kys", "end your life", "hang yourself", "better off dead"),
    "dehumanising": (
        "subhuman", "subhumans", "vermin", "go back to your country", "are animals", "are parasites", "are a plague",
        "should be exterminated", "inferior race", "master race", "ethnic cleansing is", "don't deserve rights",
    ),
}  # fmt: skip


def finder(phrases: Iterable[str]) -> re.Pattern[str]:
    """Finds any of the phrases as whole words, in any case, with any blanks between their words."""
    told = sorted({phrase.strip().casefold() for phrase in phrases if phrase.strip()}, key=len, reverse=True)
    patterns = (r"\s+".join(map(re.escape, phrase.split())) for phrase in told)
    return re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)")


def plain(text: str) -> str:
    """As the phrases are written: lower case, straight apostrophes."""
    return text.casefold().replace("’", "'").replace("‘", "'")
