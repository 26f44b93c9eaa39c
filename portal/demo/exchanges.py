"""What the demonstration's people tried in the playground: questions, answers by model, and what they said of them."""

from __future__ import annotations

from dataclasses import dataclass

LARGE, MINI, CLASSIC = "meridian-large", "meridian-mini", "meridian-classic"


@dataclass(frozen=True, slots=True)
class Opinion:
    """By ``by`` (a first name) on the answer of column ``column``."""

    by: str
    column: int
    verdict: str
    reasons: tuple[str, ...] = ()
    note: str = ""
    correction: str = ""
    status: str = "open"


@dataclass(frozen=True, slots=True)
class Example:
    title: str
    column: int
    tags: tuple[str, ...]
    note: str
    stars: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question to one or two models. ``vote`` is the slug that won a blind comparison, ``tie`` or ``both_bad``."""

    tenant: str
    project: str
    owner: str
    days_ago: int
    use_case: str
    system: str
    message: str
    answers: tuple[tuple[str, str], ...]
    vote: str = ""
    shared: bool = False
    opinions: tuple[Opinion, ...] = ()
    examples: tuple[Example, ...] = ()


_TRIAGE = (
    "You triage first notices of loss for a property insurer. Answer in a table: line, severity (1-5), next step. "
    "Then one sentence that says what is missing. Never guess an amount."
)
_NOTICE = (
    "Water came through the ceiling of the third floor on Sunday night. The parquet in two rooms is swollen and the "
    "neighbour below reports damp walls. A plumber has shut the main. No photos yet."
)
_TRIAGE_GOOD = """| Line | Severity | Next step |
|---|---|---|
| Escape of water, building | 4 | Send a loss adjuster within 24 hours |
| Third party below | 3 | Open a liability file, ask for the neighbour's insurer |

**Missing:** photos, the cause of the leak, and whether the rooms can be lived in."""
_TRIAGE_BAD = """This sounds like a serious claim. The damage is probably around **12,000 euros**. I would send
somebody to have a look and ask the policyholder to keep the receipts."""
_SUMMARY = """- The customer was charged twice for one transfer on 3 October.
- She called three times and was told that a refund was on its way; none came.
- She asks for the 240 euros, the overdraft fee of 15 euros, and a written explanation.

**Open:** why the second charge was not reversed by itself."""
_SQL = """```sql
SELECT branch, count(*) AS complaints
FROM complaint
WHERE opened_at >= date_trunc('quarter', current_date)
GROUP BY branch
ORDER BY complaints DESC
LIMIT 10;
```

`date_trunc` gives the first day of this quarter, so the query needs no changing when the next one begins."""
_MAIL = """{
  "sender": "Nordlicht Bau GmbH",
  "subject": "Invoice 2024-1183",
  "amount": "4,380.00 EUR",
  "due": "2024-11-30",
  "department": "Accounts payable"
}"""

EXCHANGES = (
    Exchange(
        "claims", "triage-dev", "Tomas", 12, "classify", _TRIAGE, _NOTICE,
        ((LARGE, _TRIAGE_GOOD), (MINI, _TRIAGE_BAD)),
        vote=LARGE, shared=True,
        opinions=(
            Opinion("Tomas", 1, "down", ("fabricated", "wrong"), "It made up an amount although it was told not to.",
                    _TRIAGE_GOOD, "confirmed"),
            Opinion("Priya", 0, "up"),
            Opinion("Mei", 0, "up"),
        ),
        examples=(
            Example("Triage of a first notice of loss", 0, ("water", "table", "triage"),
                    "The table is what handlers paste into the file. “Never guess an amount” made the difference.",
                    (("Priya", 5), ("Mei", 5), ("Vera", 4))),
        ),
    ),
    Exchange(
        "claims", "triage-dev", "Tomas", 9, "classify", _TRIAGE,
        "A tree fell on the garage during the storm; the car inside has a broken windscreen.",
        ((MINI, "| Line | Severity | Next step |\n|---|---|---|\n| Storm, building | 3 | Ask for photos and a quote |\n"
                "| Motor, own damage | 2 | Refer to the motor team |\n\n**Missing:** the wind speed certificate."),
         (LARGE, "| Line | Severity | Next step |\n|---|---|---|\n| Storm, outbuilding | 3 | Photos, then a desk "
                 "assessment |\n| Motor, glass | 1 | Glass partner, no excess |\n\n**Missing:** whose tree it was.")),
        vote=LARGE,
        opinions=(Opinion("Mei", 1, "up"), Opinion("Tomas", 0, "down", ("unhelpful",), "Which motor team? Say who.")),
    ),
    Exchange(
        "claims", "letters", "Tomas", 6, "draft",
        "You write to policyholders: plain words, no jargon, at most 120 words, and always what happens next.",
        "Tell Mr Okoye that we pay for the kitchen, but not for the fridge, which was 14 years old.",
        ((LARGE, "Dear Mr Okoye,\n\nthank you for sending us everything so quickly. We will pay for the repair of your "
                 "kitchen in full: **€6,240** will reach your account within five working days.\n\nWe cannot pay for "
                 "the fridge. Your policy covers appliances up to ten years old, and yours was fourteen.\n\n**What "
                 "happens next:** you need do nothing. If you see it differently, write to us by 30 November."),
         (MINI, "Dear Mr Okoye, we hereby inform you that pursuant to section 4.2 the kitchen is indemnified whereas "
                "the refrigerator is excluded on account of its age.")),
        vote=LARGE,
        opinions=(
            Opinion("Tomas", 1, "down", ("inappropriate", "unhelpful"), "The very tone that we are getting rid of."),
            Opinion("Priya", 0, "up"),
        ),
        examples=(
            Example("A refusal that stays kind", 0, ("letters", "tone"),
                    "Says no to one thing and yes to another in under 120 words.", (("Priya", 5), ("Rosa", 4))),
        ),
    ),
    Exchange(
        "claims", "triage-dev", "Mei", 4, "extract",
        "Return JSON with sender, subject, amount, due, department. Nothing else.",
        "Read this: Nordlicht Bau GmbH sends invoice 2024-1183 over 4,380.00 EUR, payable by 30 November 2024.",
        ((MINI, _MAIL), (LARGE, _MAIL)),
        vote="tie",
        opinions=(Opinion("Mei", 0, "up"),),
        examples=(
            Example("Invoice to JSON", 0, ("json", "post"), "The small model is enough, at a tenth of the cost.",
                    (("Tomas", 4),)),
        ),
    ),
    Exchange(
        "claims", "triage-dev", "Mei", 2, "answer", "Answer from the policy wording alone; say so when it is silent.",
        "Does the policy cover a hotel while the flat is dried out?",
        ((LARGE, "Yes: section 7.3 pays for **a hotel up to 60 nights** while the home cannot be lived in."),),
        opinions=(
            Opinion("Mei", 0, "down", ("fabricated",), "Section 7.3 speaks of 30 nights.",
                    "Yes: section 7.3 pays for a hotel up to 30 nights while the home cannot be lived in."),
        ),
    ),
    Exchange(
        "retail-banking", "complaints", "Leila", 10, "summarise",
        "Summarise a complaint for the ombudsman's file: what happened, what is asked, what is open. Bullets.",
        "Ms Larsen writes that a transfer on 3 October was booked twice, that three calls led nowhere, and that she "
        "had to pay an overdraft fee of 15 euros.",
        ((LARGE, _SUMMARY), (MINI, "The customer is unhappy about a transfer and wants her money back.")),
        vote=LARGE,
        opinions=(
            Opinion("Jonas", 0, "up"),
            Opinion("Leila", 1, "down", ("unhelpful",), "Leaves out the fee and the calls.", status="resolved"),
        ),
        examples=(
            Example("Complaint in three bullets", 0, ("ombudsman", "bullets"),
                    "“What is open” at the end saves the second reading.", (("Jonas", 5), ("Amina", 5))),
        ),
    ),
    Exchange(
        "retail-banking", "assistant-test", "Tomas", 5, "code", "You write PostgreSQL. Code first, then one sentence.",
        "The ten branches with the most complaints this quarter.",
        ((MINI, _SQL), (LARGE, _SQL.replace("LIMIT 10", "FETCH FIRST 10 ROWS ONLY"))),
        vote=MINI,
        opinions=(Opinion("Tomas", 0, "up"),),
        examples=(
            Example("A query that outlives the quarter", 0, ("sql",), "date_trunc, not two dates.", (("Leila", 4),)),
        ),
    ),
    Exchange(
        "wealth", "research", "Noah", 7, "summarise", "Three sentences for an adviser who has two minutes.",
        "Condense this morning's note on the copper price.",
        ((LARGE, "Copper rose 2.1% on lower stocks in Shanghai. The desk expects the rise to fade once the smelters "
                 "are back. Advisers should not chase it."),
         (CLASSIC, "Copper is a metal that is used in many industries. Its price has moved recently.")),
        vote=LARGE,
        opinions=(
            Opinion("Sofia", 0, "up"),
            Opinion("Noah", 1, "down", ("unhelpful", "wrong"), "Says nothing of the note."),
        ),
        examples=(
            Example("A morning note in three sentences", 0, ("research",), "The last one says what to do.",
                    (("Sofia", 5), ("Mei", 4))),
        ),
    ),
)  # fmt: skip
