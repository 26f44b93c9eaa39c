"""The demonstration's prompts: what they said, version after version. Plain data, no logic."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class DemoVersion:
    author: str  # first name
    message: str
    system: str
    user: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    output_schema: dict[str, Any] | None = None
    tools: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class DemoRelease:
    """After the version ``after`` was saved. ``weights`` by version."""

    after: int
    environment: str
    weights: dict[int, int]
    reason: str
    author: str
    label: str = "live"


@dataclass(frozen=True, slots=True)
class DemoPrompt:
    tenant: str
    slug: str
    name: str
    description: str
    use_case: str
    tags: tuple[str, ...]
    owner: str
    versions: tuple[DemoVersion, ...]
    releases: tuple[DemoRelease, ...] = ()
    model: str = "meridian-large"
    published: str = ""  # the note, where the newest version is published


_CLAIM = {
    "claim": {
        "type": "string",
        "description": "The first notice of loss, as the policyholder wrote it.",
        "maxLength": 20_000,
        "examples": ["Hail broke two skylights on 4 May. Water came in and the parquet is warped."],
    }
}
_LINES = {"lines": {"type": "string", "default": "motor, home, liability, travel"}}
_TRIAGE_SCHEMA = {
    "type": "object",
    "properties": {
        "line": {"type": "string", "enum": ["motor", "home", "liability", "travel"]},
        "severity": {"type": "string", "enum": ["low", "medium", "high"]},
        "next_step": {"type": "string"},
    },
    "required": ["line", "severity", "next_step"],
    "additionalProperties": False,
}
_LANGUAGE = {"language": {"type": "string", "enum": ["English", "German", "French"], "default": "English"}}

PROMPTS = (
    DemoPrompt(
        "claims", "house-style", "House style", "How everything that leaves Claims is written. Put into other prompts.",
        "draft", ("style", "shared"), "Priya",
        (
            DemoVersion("Priya", "First version", "Write plainly and politely. Short sentences. No jargon."),
            DemoVersion(
                "Priya", "Never promise a payment",
                "Write plainly and politely. Short sentences. No jargon. Never promise a payment or an amount.",
            ),
        ),
        published="One paragraph that keeps letters plain and never promises money.",
    ),
    DemoPrompt(
        "claims", "claims-triage", "Claims triage",
        "Reads a first notice of loss and proposes the line, the severity and the next step. Decides nothing.",
        "classify", ("triage", "intake"), "Tomas",
        (
            DemoVersion(
                "Tomas", "First version", "You sort insurance claims into lines: {{lines}}.", "{{claim}}",
                {"temperature": 0.3}, {**_CLAIM, **_LINES},
            ),
            DemoVersion(
                "Tomas", "Ask for the severity, too",
                "You sort insurance claims into lines: {{lines}}. Say how severe the damage is: low, medium or high.",
                "{{claim}}", {"temperature": 0.2}, {**_CLAIM, **_LINES},
            ),
            DemoVersion(
                "Mei", "Answer as JSON, so that nobody parses sentences",
                "You sort insurance claims into lines: {{lines}}. Say how severe the damage is: low, medium or high."
                " Name the next step for the handler. Answer as JSON.",
                "{{claim}}", {"temperature": 0, "max_tokens": 400}, {**_CLAIM, **_LINES}, _TRIAGE_SCHEMA,
            ),
            DemoVersion(
                "Mei", "Injuries are always high: 3 misses in the review of April",
                "You sort insurance claims into lines: {{lines}}. Say how severe the damage is: low, medium or high."
                " Where somebody is hurt it is always high. Name the next step for the handler. Answer as JSON.",
                "{{claim}}", {"temperature": 0, "max_tokens": 400}, {**_CLAIM, **_LINES}, _TRIAGE_SCHEMA,
            ),
        ),
        (
            DemoRelease(2, "dev", {2: 100}, "Good enough to try.", "Tomas"),
            DemoRelease(2, "prod", {2: 100}, "Handlers agreed with 46 of 50.", "Priya"),
            DemoRelease(3, "prod", {3: 100}, "JSON for the new intake screen.", "Tomas"),
            DemoRelease(4, "dev", {4: 100}, "To try with the injury cases.", "Mei"),
            DemoRelease(4, "prod", {3: 90, 4: 10}, "A tenth of the calls, until Friday.", "Mei"),
        ),
    ),
    DemoPrompt(
        "claims", "claim-letter", "Letter to a policyholder",
        "Drafts an answer to a policyholder, for a handler to check and send.",
        "draft", ("letters",), "Tomas",
        (
            DemoVersion(
                "Tomas", "First version", "You draft letters for an insurer's handlers. Write in {{language}}.",
                "What happened: {{facts}}\nWhat was decided: {{decision}}", {"temperature": 0.5},
                {**_LANGUAGE, "facts": {"type": "string", "examples": ["Hail broke two skylights."]},
                 "decision": {"type": "string", "examples": ["Covered, less the excess of 250."]}},
            ),
            DemoVersion(
                "Priya", "The house style comes from its own prompt",
                "You draft letters for an insurer's handlers. Write in {{language}}. {{> house-style}}",
                "What happened: {{facts}}\nWhat was decided: {{decision}}", {"temperature": 0.4},
                {**_LANGUAGE, "facts": {"type": "string", "examples": ["Hail broke two skylights."]},
                 "decision": {"type": "string", "examples": ["Covered, less the excess of 250."]}},
            ),
        ),
        (DemoRelease(2, "prod", {2: 100}, "Read and approved by two handlers.", "Priya"),),
    ),
    DemoPrompt(
        "claims", "claim-summary", "Claim file in ten lines", "What a handler reads first when they take over a file.",
        "summarise", ("handover",), "Mei",
        (
            DemoVersion("Mei", "First version", "Summarise the claim file in at most ten lines.", "{{file}}"),
            DemoVersion(
                "Mei", "Open questions last", "Summarise the claim file in at most ten lines. End with what is still"
                " open, and who has to act.", "{{file}}", {"temperature": 0.1},
            ),
        ),
        (DemoRelease(2, "prod", {2: 100}, "Handlers wanted the open questions.", "Mei"),),
    ),
    DemoPrompt(
        "claims", "fraud-hints", "Hints of fraud", "Points at contradictions in a claim. A person decides, always.",
        "analyse", ("review", "sensitive"), "Mei",
        (
            DemoVersion(
                "Mei", "First version", "List contradictions between the statements. Quote both sides. Accuse nobody.",
                "{{statements}}", {"temperature": 0},
                {"statements": {"type": "array", "items": {"type": "string"}, "minItems": 2,
                                "examples": [["I parked at 8.", "The car was seen moving at 9."]]}},
            ),
        ),
        (DemoRelease(1, "test", {1: 100}, "For the reviewers only.", "Mei"),),
    ),
    DemoPrompt(
        "retail-banking", "intent", "What the customer wants", "Routes a message to the right team.",
        "classify", ("routing",), "Leila",
        (
            DemoVersion(
                "Leila", "First version", "Name the customer's intent: card, loan, account or other.", "{{message}}"
            ),
            DemoVersion(
                "Tomas", "Complaints go first", "Name the customer's intent: complaint, card, loan, account or other."
                " A complaint wins over everything else.", "{{message}}", {"temperature": 0, "max_tokens": 5},
                {"message": {"type": "string", "maxLength": 4_000, "examples": ["My card was charged twice!"]}},
            ),
        ),
        (
            DemoRelease(1, "prod", {1: 100}, "Start.", "Leila"),
            DemoRelease(2, "prod", {1: 50, 2: 50}, "A/B for a week.", "Leila"),
            DemoRelease(2, "prod", {2: 100}, "Fewer complaints in the wrong queue.", "Jonas"),
        ),
        model="meridian-mini",
    ),
    DemoPrompt(
        "retail-banking", "faq", "Answer from the handbook", "Answers customers from the given passages alone.",
        "answer", ("support",), "Tomas",
        (
            DemoVersion(
                "Tomas", "First version", "Answer only from the passages. Where they do not say, say so.",
                "Passages:\n{{passages}}\n\nQuestion: {{question}}", {"temperature": 0.1},
                {"passages": {"type": "string"},
                 "question": {"type": "string", "examples": ["How do I block my card?"]}},
            ),
        ),
        (DemoRelease(1, "prod", {1: 100}, "Start.", "Tomas"),),
        published="Keeps to the given passages and says when they do not answer.",
    ),
    DemoPrompt(
        "retail-banking", "complaint-reply", "Reply to a complaint", "A first reply, without admitting fault.",
        "draft", ("complaints",), "Leila",
        (
            DemoVersion(
                "Leila", "First version", "Thank, repeat the issue, say what happens next and when.", "{{complaint}}"
            ),
        ),
    ),
    DemoPrompt(
        "wealth", "portfolio-note", "Portfolio note", "The quarter's figures as a page for the client. No advice.",
        "summarise", ("reports",), "Noah",
        (
            DemoVersion(
                "Noah", "First version", "Write a calm page on the quarter for a client. No advice, no forecast.",
                "Figures: {{figures}}\nClient's language: {{language}}", {"temperature": 0.3},
                {**_LANGUAGE, "figures": {"type": "object", "examples": [{"return": "1.8%", "benchmark": "1.5%"}]}},
            ),
            DemoVersion(
                "Sofia", "Compliance: say that the past is no promise",
                "Write a calm page on the quarter for a client. No advice, no forecast. End by saying that past results"
                " promise nothing.",
                "Figures: {{figures}}\nClient's language: {{language}}", {"temperature": 0.3},
                {**_LANGUAGE, "figures": {"type": "object", "examples": [{"return": "1.8%", "benchmark": "1.5%"}]}},
            ),
        ),
        (
            DemoRelease(1, "prod", {1: 100}, "Start.", "Noah"),
            DemoRelease(2, "prod", {2: 100}, "Asked for by compliance.", "Sofia"),
        ),
    ),
    DemoPrompt(
        "wealth", "meeting-notes", "Meeting notes", "Decisions and tasks from a transcript.",
        "extract", ("meetings",), "Mei",
        (
            DemoVersion(
                "Mei", "First version", "List decisions, then tasks with their owner and date.", "{{transcript}}",
                {"temperature": 0}, {"transcript": {"type": "string", "maxLength": 100_000}},
            ),
        ),
        (DemoRelease(1, "test", {1: 100}, "For the pilot group.", "Mei"),),
    ),
    DemoPrompt(
        "operations", "ticket-summary", "Ticket in three lines", "For the morning stand-up.",
        "summarise", ("itsm",), "Noah",
        (
            DemoVersion(
                "Noah", "First version", "Summarise the ticket in three lines: what, since when, who is blocked.",
                "{{ticket}}",
            ),
            DemoVersion(
                "Kwame", "Priority in front", "Summarise the ticket in three lines: what, since when, who is blocked."
                " Begin with P1, P2 or P3.", "{{ticket}}", {"temperature": 0},
            ),
        ),
        (DemoRelease(2, "prod", {2: 100}, "Stand-up asked for it.", "Kwame"),),
    ),
    DemoPrompt(
        "operations", "sql-helper", "SQL for the warehouse", "Writes a read-only query from a question.",
        "code", ("sql", "warehouse"), "Noah",
        (
            DemoVersion(
                "Noah", "First version", "Write one read-only PostgreSQL query. Tables: {{tables}}. Answer with the"
                " query alone.", "{{question}}", {"temperature": 0},
                {"tables": {"type": "array", "items": {"type": "string"}, "examples": [["orders(id, placed_at)"]]},
                 "question": {"type": "string", "examples": ["Revenue by month of this year"]}},
                tools=({"function": {"name": "describe_table", "description": "The columns of a table.",
                                     "parameters": {"type": "object", "properties": {"table": {"type": "string"}}}}},),
            ),
        ),
        (DemoRelease(1, "dev", {1: 100}, "To try.", "Noah"),),
    ),
)  # fmt: skip
