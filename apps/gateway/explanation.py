"""Why a request was answered as it was: the facts that the gateway wrote down, as steps that a person reads.

The facts are ``RequestLog.why`` (made by ``books.py``) and the ledger's records of the attempts. Older rows may lack
a fact; a step then says less, and no step is made up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from apps.gateway.ledger.pricing import PriceTerms, parts
from apps.gateway.models import RequestLog, UsageRecord
from apps.gateway.routing.explaining import route_words
from apps.gateway.types import Outcome, UsageStatus
from apps.tenants.money import format_usd
from apps.tenants.wording import counted

LICENCE_CODE = "licence_not_accepted"
ENDED_CODE = "no_access"
MODEL_CODES = frozenset({"model_not_found", "wrong_model_kind", LICENCE_CODE, ENDED_CODE})
PROMPT_CODES = frozenset(
    {"prompt_not_found", "prompt_label_not_found", "prompt_version_not_found", "prompt_variables_invalid"}
)
LIMIT_CODES = frozenset({"rate_limit_exceeded", "request_over_limit"})
BUDGET_CODES = frozenset({"budget_exceeded"})
ROUTE_CODES = frozenset({"no_endpoint", "endpoints_unhealthy", "residency"})
COUNTER_CODES = frozenset({"counters_unavailable", "unavailable"})

HEADLINES = {
    Outcome.OK: "Answered",
    Outcome.DENIED: "Refused by a rule",
    Outcome.INVALID: "Refused as it was asked",
    Outcome.UPSTREAM_ERROR: "The provider failed",
    Outcome.CANCELLED: "The caller left",
    Outcome.INTERRUPTED: "Cut off: the server stopped",
}
_USAGE_NOTES = {
    UsageStatus.MEASURED: "Counted by the provider.",
    UsageStatus.ESTIMATED: "Estimated: the provider gave no count, so what passed through was counted.",
    UsageStatus.INTERRUPTED: "Interrupted: the server stopped, so what had passed through was counted.",
    UsageStatus.RECONCILED: "Corrected against the provider's invoice.",
}


@dataclass(frozen=True, slots=True)
class Step:
    """``kind`` names what decided (key, model, limits, budgets, route, attempt, settlement, answer)."""

    kind: str
    icon: str
    title: str
    tone: str = ""  # ok, danger or nothing
    note: str = ""
    details: tuple[str, ...] = ()
    at: str = ""  # when in the request's life, for the right edge


@dataclass(frozen=True, slots=True)
class BillLine:
    """So many tokens, units or requests of a kind, at a rate in picodollars each; ``each``: these are no tokens."""

    kind: str
    count: int
    rate_picousd: int
    each: bool = False

    @property
    def cost_picousd(self) -> int:
        return self.count * self.rate_picousd

    @property
    def per_million_picousd(self) -> int:
        return self.rate_picousd * 10**6


def never_arrived(record: UsageRecord) -> bool:
    """Whether it is known that the provider had nothing of the attempt."""
    measured = record.status == UsageStatus.MEASURED
    return measured and not (record.http_status or record.input_tokens or record.output_tokens or record.units)


def _usage_note(record: UsageRecord) -> str:
    return "It never reached the provider." if never_arrived(record) else _USAGE_NOTES[UsageStatus(record.status)]


@dataclass(frozen=True, slots=True)
class Bill:
    """What one attempt cost, and by which price."""

    record: UsageRecord
    lines: tuple[BillLine, ...]

    @property
    def never_arrived(self) -> bool:
        return never_arrived(self.record)

    @property
    def note(self) -> str:
        return _usage_note(self.record)


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of the request's life. ``x`` and ``width`` are percent of the whole."""

    label: str
    tone: str  # own, wait or answer
    ms: int
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Denial:
    """Why it was refused, in the words its caller read; ``where`` says what can be changed.

    It is one of limits, budgets, model, licence.
    """

    rule: str
    said: str
    where: str


@dataclass(frozen=True, slots=True)
class Explanation:
    headline: str
    steps: tuple[Step, ...]
    bars: tuple[Bar, ...] = ()
    bills: tuple[Bill, ...] = ()
    denial: Denial | None = None
    simulated: bool = False
    own_ms: int | None = field(default=None)  # spent in Lobby, not at a provider


def explain(request: RequestLog, records: Sequence[UsageRecord]) -> Explanation:
    """``records`` are the request's attempts as the ledger has them, in their order."""
    why: Mapping[str, Any] = request.why
    # An interrupted request's facts name no attempt: the ledger's records then tell more.
    told = [attempt for attempt in why.get("attempts", ()) if isinstance(attempt, dict) and attempt.get("id")]
    by_id = {record.attempt_id: record for record in records}
    steps: list[Step | None] = [_caller(request, why), _prompt(request, why)]
    if request.error_code not in PROMPT_CODES:
        steps.append(_model(request, why))
    if request.error_code not in MODEL_CODES | PROMPT_CODES:
        steps += [_limits(request, why), _budgets(request, why), _route(request, why)]
    if told:
        steps += [
            _attempt(number, len(told), attempt, by_id.get(str(attempt.get("id", ""))))
            for number, attempt in enumerate(told, 1)
        ]
    else:
        steps += [_attempt_of_record(number, len(records), record) for number, record in enumerate(records, 1)]
    if records or told:
        steps.append(_settlement(request, why, records))
    steps.append(_answer(request))
    upstream_ms = sum(int(attempt.get("ms") or 0) for attempt in told)
    return Explanation(
        headline=HEADLINES[Outcome(request.outcome)],
        steps=tuple(step for step in steps if step is not None),
        bars=_bars(request, told),
        bills=tuple(_bill(record) for record in records),
        denial=_denial(request, why),
        simulated=any(record.endpoint is not None and record.endpoint.provider.is_simulated for record in records),
        own_ms=max(request.duration_ms - upstream_ms, 0) if told else None,
    )


def _caller(request: RequestLog, why: Mapping[str, Any]) -> Step:
    project = request.project.name if request.project is not None else str(why.get("project", "its project"))
    if request.api_key is not None:
        return Step(
            "key", "key-round", f"Key {request.api_key.name} of {project}", "ok", "The key was found and valid."
        )
    if request.user is not None:
        note = "Signed in to the portal, or by a token of the identity provider."
        return Step("user", "user", f"{request.user} for {project}", "ok", note)
    return Step("caller", "key-round", f"{why.get('caller') or 'A caller'} of {project}", "ok")


def _model(request: RequestLog, why: Mapping[str, Any]) -> Step:
    tenant = request.tenant.name if request.tenant is not None else "this tenant"
    if request.error_code in MODEL_CODES:
        titles = {
            "model_not_found": f"{request.model_slug or 'No model'} may not be called",
            "wrong_model_kind": f"{request.model_slug} is of another kind",
            LICENCE_CODE: f"The licence of {request.model_slug} is not accepted",
            ENDED_CODE: f"Access to what {request.model_slug} serves has ended",
        }
        notes = {
            "model_not_found": f"Unknown, not approved, not granted to {tenant}, or not allowed for the key.",
            "wrong_model_kind": f"It cannot serve {request.operation}.",
            LICENCE_CODE: f"{tenant} may call the model once one of its admins has accepted the licence.",
            ENDED_CODE: f"{tenant} was granted it until then. A service admin can renew it.",
        }
        return Step("model", "box", titles[request.error_code], "danger", notes.get(request.error_code, ""))
    # Whether it was open to everybody or granted is not among the facts, and may have changed since.
    note = f"Open or granted to {tenant}, and allowed for the caller."
    return Step("model", "box", f"{request.model_slug} may be called", "ok", note)


def _prompt(request: RequestLog, why: Mapping[str, Any]) -> Step | None:
    told = why.get("prompt")
    facts: Mapping[str, Any] = told if isinstance(told, dict) else {}
    if request.error_code in PROMPT_CODES:
        titles = {
            "prompt_not_found": "The prompt is not in the catalog",
            "prompt_label_not_found": "The prompt has no such label here",
            "prompt_version_not_found": "The prompt has no such version",
            "prompt_variables_invalid": f"{facts.get('id', 'The prompt')} could not be filled in",
        }
        note = "A variable was missing, not declared or of another type; the caller was told which."
        is_render = request.error_code == "prompt_variables_invalid"
        return Step("prompt", "scroll-text", titles[request.error_code], "danger", note if is_render else "")
    if not facts:
        return None
    title = f"Prompt {facts.get('id')}, version {facts.get('version')}"
    if not facts.get("label"):
        return Step("prompt", "scroll-text", title, "ok", "The caller asked for this version.")
    note = f"The label {facts['label']} in {facts.get('environment')} meant it."
    if "percent" in facts:
        note += f" It has {facts['percent']}% of that label's calls; chosen by {facts.get('by')}."
    return Step("prompt", "scroll-text", title, "ok", note)


def _limits(request: RequestLog, why: Mapping[str, Any]) -> Step | None:
    if request.error_code in LIMIT_CODES:
        return Step("limits", "gauge", "A rate limit said no", "danger", _sentence(str(why.get("denied_by", ""))))
    if request.error_code in COUNTER_CODES:
        return Step(
            "limits", "gauge", "Limits and budgets could not be checked", "danger", "Nothing is called unchecked."
        )
    if request.error_code in ROUTE_CODES or "limits" not in why:
        return None  # it never came to the limits, or nobody wrote down what they said
    left = [each for each in why.get("limits", ()) if isinstance(each, dict)]
    if request.error_code in BUDGET_CODES and not left:
        return None
    if not left:
        return Step("limits", "gauge", "No rate limit covers this call", "")
    details = tuple(
        f"{_sentence(str(each.get('rule', '')))}: {int(each.get('left', 0)):,} left after it" for each in left
    )
    count = len(left)
    return Step("limits", "gauge", f"{count} rate limit{'s' if count > 1 else ''} had room", "ok", "", details)


def _budgets(request: RequestLog, why: Mapping[str, Any]) -> Step | None:
    if request.error_code in BUDGET_CODES:
        return Step(
            "budgets", "wallet", "A budget could not cover it", "danger", _sentence(str(why.get("denied_by", "")))
        )
    if request.error_code in LIMIT_CODES | COUNTER_CODES | ROUTE_CODES:
        return None
    budgets = [_sentence(str(each)) for each in why.get("budgets", ())]
    if not budgets and "held" not in why:
        return None  # as with the limits
    if not budgets:
        return Step("budgets", "wallet", "No budget covers this call", "")
    held = why.get("held") or {}
    title = "The budget had room" if len(budgets) == 1 else f"{len(budgets)} budgets had room"
    note = ""
    if held:
        note = (
            f"{format_usd(int(held.get('cost_picousd', 0)))} was held while it ran: the most it could cost, with up to"
            f" {counted(int(held.get('tokens', 0)), 'token')}."
        )
    if asked := int(held.get("asked_tokens", 0)):
        note += f" There was no room for the {asked:,} that it might have used: the answer was held to what there was."
    return Step("budgets", "wallet", title, "ok", note, tuple(budgets))


def _route(request: RequestLog, why: Mapping[str, Any]) -> Step | None:
    candidates = [str(each) for each in why.get("candidates", ())]
    left_out = [each for each in why.get("left_out", ()) if isinstance(each, dict)]
    details = tuple(f"Left out: {each.get('endpoint')}, {each.get('why')}" for each in left_out)
    by_route, note, ranks = route_words(why, candidates)
    if request.error_code in ROUTE_CODES:
        said = str(why.get("said", "")) or note
        return Step("route", "route", by_route or "No endpoint may serve it", "danger", said, details)
    if not candidates or request.outcome == Outcome.DENIED:
        return None
    if by_route:
        return Step("route", "route", by_route, "ok", note, ranks + details)
    if len(candidates) == 1:
        return Step("route", "route", f"One endpoint may serve it: {candidates[0]}", "ok", "", details)
    order = tuple(f"{number}. {name}" for number, name in enumerate(candidates, 1))
    return Step("route", "route", f"{len(candidates)} endpoints may serve it, in this order", "ok", "", order + details)


def _attempt(number: int, of: int, attempt: Mapping[str, Any], record: UsageRecord | None) -> Step:
    name = str(attempt.get("endpoint") or (_place(record) if record else "An endpoint"))
    ms, first = int(attempt.get("ms") or 0), attempt.get("first_token_ms")
    details = [f"Region {attempt['region']}"] if attempt.get("region") else []
    if attempt.get("arm"):
        details.append(f"Arm {attempt['arm']}")
    if first is not None:
        details.append(f"First token after {int(first):,} ms")
    if record is not None and record.endpoint is not None:
        details.append(f"The provider's name for it: {record.endpoint.upstream_model}")
    if record is not None and record.upstream_request_id:
        details.append(f"The provider's own id: {record.upstream_request_id}")
    return _attempt_step(
        number,
        of,
        name,
        str(attempt.get("outcome", "")),
        int(attempt.get("status") or 0),
        ms,
        str(attempt.get("error", "")),
        details,
        hedged=bool(attempt.get("hedged")),
    )


def _place(record: UsageRecord) -> str:
    if record.endpoint is None or record.model is None:
        return "An endpoint"
    return f"{record.model.name} at {record.endpoint.provider.name}"


def _attempt_of_record(number: int, of: int, record: UsageRecord) -> Step:
    details = [f"First token after {record.first_token_ms:,} ms"] if record.first_token_ms is not None else []
    return _attempt_step(
        number, of, _place(record), record.outcome, record.http_status, record.duration_ms, "", details
    )


def _attempt_step(
    number: int,
    of: int,
    name: str,
    outcome: str,
    status: int,
    ms: int,
    error: str,
    details: list[str],
    *,
    hedged: bool = False,
) -> Step:
    when = ": another, asked at the same time, was quicker" if hedged else " when the caller left"
    ends = {
        Outcome.OK: ("answered", "ok"),
        Outcome.CANCELLED: (f"was stopped{when}", ""),
        Outcome.INTERRUPTED: ("was cut off when the server stopped", "danger"),
        Outcome.INVALID: ("refused the request", "danger"),
    }
    end, tone = ends.get(Outcome(outcome), ("failed", "danger")) if outcome in Outcome.values else ("failed", "danger")
    title = f"{name} {end}"
    if of > 1:
        title = f"Attempt {number}: {title}"
    note = error
    if status and status != 200:
        note = f"HTTP {status}. {error}".strip()
    elif not status and not error and tone == "danger":
        note = "No answer came."
    return Step("attempt", "server", title, tone, note, tuple(details), f"{ms:,} ms")


def _settlement(request: RequestLog, why: Mapping[str, Any], records: Sequence[UsageRecord]) -> Step:
    title = f"Settled: {counted(request.input_tokens, 'token')} in, {request.output_tokens:,} out"
    notes = [_usage_note(record) for record in records[-1:]]
    held = int((why.get("held") or {}).get("cost_picousd", 0)) if why.get("budgets") else 0
    if held > request.cost_picousd:
        notes.append("The rest of the hold was given back.")
    return Step("settlement", "receipt-text", title, "ok", " ".join(notes))


def _answer(request: RequestLog) -> Step:
    status = request.http_status
    at = f"{request.duration_ms:,} ms"
    if request.outcome == Outcome.OK:
        how = "as a stream" if request.streamed else "in one piece"
        return Step("answer", "circle-check", f"Answered {how}", "ok", f"HTTP {status}", (), at)
    if request.outcome == Outcome.CANCELLED:
        return Step(
            "answer", "log-out", "The caller left before the end", "", "What was used until then is counted.", (), at
        )
    if request.outcome == Outcome.INTERRUPTED and not status:
        title = "The answer was not finished" if request.streamed else "No answer was sent"
        note = "The gateway's process ended first. What was used until then is counted."
        return Step("answer", "circle-x", title, "danger", note)
    code = f", {request.error_code}" if request.error_code else ""
    return Step("answer", "circle-x", "Answered with an error", "danger", f"HTTP {status}{code}", (), at)


def _denial(request: RequestLog, why: Mapping[str, Any]) -> Denial | None:
    if request.outcome != Outcome.DENIED and request.error_code not in MODEL_CODES:
        return None
    if request.error_code == LICENCE_CODE:
        return Denial(_sentence(str(why.get("denied_by", ""))), str(why.get("said", "")), "licence")
    where = ""
    for codes, name in (
        (MODEL_CODES, "model"),
        (LIMIT_CODES, "limits"),
        (BUDGET_CODES, "budgets"),
        (ROUTE_CODES, "model"),
    ):
        if request.error_code in codes:
            where = name
    return Denial(_sentence(str(why.get("denied_by", ""))), str(why.get("said", "")), where)


def _bill(record: UsageRecord) -> Bill:
    if record.price is None:
        return Bill(record, ())
    terms = PriceTerms.of(record.price)
    always = () if record.units else ("Input", "Output")
    lines = [BillLine(kind, count, rate) for kind, count, rate in parts(terms, record) if count or kind in always]
    if record.units:
        unit = record.price.get_unit_display() or "Unit"
        lines.append(BillLine(unit, record.units, terms.unit, each=True))
    if terms.request:
        lines.append(BillLine("Per request", 1, terms.request, each=True))
    return Bill(record, tuple(lines))


def _bars(request: RequestLog, attempts: Sequence[Mapping[str, Any]]) -> tuple[Bar, ...]:
    """The request's life as stretches on one line each. Nothing without the attempts' own times."""
    total = max(request.duration_ms, 1)
    if not attempts or any("after_ms" not in attempt for attempt in attempts):
        return ()

    def bar(label: str, tone: str, start: int, ms: int) -> Bar:
        x = min(start / total * 100, 100.0)
        return Bar(label, tone, ms, round(x, 2), round(max(min(ms / total * 100, 100 - x), 0.6), 2))

    bars = [bar("Checks in Lobby", "own", 0, int(attempts[0]["after_ms"]))]
    for number, attempt in enumerate(attempts, 1):
        start, ms = int(attempt["after_ms"]), int(attempt.get("ms") or 0)
        prefix = f"Attempt {number}: " if len(attempts) > 1 else ""
        first = attempt.get("first_token_ms")
        if attempt.get("outcome") != Outcome.OK and first is None:
            bars.append(bar(f"{prefix}no answer", "failed", start, ms))
            continue
        if first is None:
            bars.append(bar(f"{prefix}provider's answer", "answer", start, ms))
            continue
        bars.append(bar(f"{prefix}waiting for the first token", "wait", start, int(first)))
        bars.append(bar(f"{prefix}streaming", "answer", start + int(first), max(ms - int(first), 0)))
    return tuple(replace(each, label=_sentence(each.label)) for each in bars)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
