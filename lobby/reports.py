"""A gate's decision for a CI server: JUnit XML, and Markdown for a comment on a pull request.

What a model has written is hostile here: it is escaped in both, and cannot close the block that it stands in.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as xml

from lobby.gates import headline, is_refused, is_released, subject

LONGEST = 1_200
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(decision: dict[str, Any]) -> str:
    """One test case for the verdict, one for each metric, one for each of the worst regressions.

    A metric that got worse fails; one that shows nothing is skipped. Regressions fail where the verdict is worse: on a
    better version they are only named. Nothing fails of what was released: the report says what the exit code says.
    """
    evidence, verdict = decision.get("evidence") or {}, decision["verdict"]
    may_fail = not is_released(decision)
    name = subject(decision)
    whose = decision.get("prompt") or "models"
    root = xml.Element("testsuites")
    suite = xml.SubElement(root, "testsuite")
    properties = xml.SubElement(suite, "properties")
    for key in ("tenant", "prompt", "version", "subject", "status", "verdict", "candidate", "baseline"):
        if key not in decision:
            continue
        xml.SubElement(properties, "property", name=key, value=_fit(str(decision.get(key) or "")))

    def case(kind: str, title: str) -> xml.Element:
        return xml.SubElement(suite, "testcase", classname=f"lobby.{whose}.{kind}", name=_fit(title), time="0")

    whole = case("gate", "verdict")
    told = "\n".join(decision["reasons"])
    if decision["status"] == "failed":
        _outcome(whole, "error", "Could not be decided", told)
    elif decision["status"] == "running":
        _outcome(whole, "error", "Not decided in time", told)
    elif may_fail and is_refused(decision):
        _outcome(whole, "failure", headline(decision), told)
    elif may_fail and verdict != "better":
        _outcome(whole, "skipped", headline(decision))
    for metric in evidence.get("metrics", []):
        row = case("metric", f"{metric['name']} ({metric['role']})")
        if may_fail and metric["verdict"] == "worse" and metric["role"] != "watch":
            _outcome(row, "failure", metric["reason"], metric["reason"])
        elif metric["verdict"] == "inconclusive":
            _outcome(row, "skipped", metric["reason"])
    for each in evidence.get("worst", []):
        row = case("regression", str(each["example"]))
        if may_fail and verdict == "worse":
            message = f"{each['metric']}: {each['baseline']:.4g} before, {each['candidate']:.4g} now"
            _outcome(row, "failure", message, f"Before:\n{each['baseline_output']}\n\nNow:\n{each['candidate_output']}")
    cases = suite.findall("testcase")
    for target in (suite, root):
        target.set("name", _fit(f"lobby: {name}"))
        target.set("tests", str(len(cases)))
        for kind in ("failure", "error"):
            target.set(f"{kind}s", str(sum(row.find(kind) is not None for row in cases)))
        target.set("time", "0")
    suite.set("skipped", str(sum(row.find("skipped") is not None for row in cases)))
    suite.set("timestamp", str(decision["created_at"])[:19])
    suite.set("hostname", "lobby")
    xml.SubElement(suite, "system-out").text = _fit(told)
    xml.SubElement(suite, "system-err")
    xml.indent(root)
    return xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _outcome(row: xml.Element, kind: str, message: str, text: str = "") -> None:
    made = xml.SubElement(row, kind, message=_fit(message)[:LONGEST])
    if kind != "skipped":
        made.set("type", kind)
        made.text = _fit(text)[: 4 * LONGEST]


def _fit(text: str) -> str:
    """Without what XML has no words for."""
    return _UNFIT.sub("\ufffd", text)


def markdown(decision: dict[str, Any], url: str = "") -> str:
    evidence = decision.get("evidence") or {}
    against = decision["policy"].get("baseline_version")
    compared = f"Against version {against}." if against is not None else "There is no released version to compare with."
    if "subject" in decision:
        compared = f"On the same examples, by the statistics of gates. Against {plain(decision['policy']['against'])}."
    lines = [
        f"### {plain(subject(decision))}: {headline(decision)}",
        "",
        compared,
        "",
        *(f"- {plain(reason)}" for reason in decision["reasons"]),
    ]
    if metrics := evidence.get("metrics"):
        lines += [
            "",
            "| metric | role | before | now | difference | interval | improved / regressed / tied | verdict |",
            "|---|---|--:|--:|--:|---|---|---|",
            *map(_row, metrics),
        ]
    if judges := [each for each in decision["policy"].get("metrics", []) if each.get("judge")]:
        lines += ["", *(f"- {plain(each['name'])}: {plain(_standing(each['judge']))}" for each in judges)]
    worst = evidence.get("worst", [])
    if worst:
        lines += ["", "<details><summary>Where it lost most</summary>", ""]
        for each in worst:
            lines += [
                f"**{plain(each['example'])}**: {plain(each['metric'])}"
                f" {each['baseline']:.3g} → {each['candidate']:.3g}",
                "",
                "Before:",
                *_block(each["baseline_output"]),
                "Now:",
                *_block(each["candidate_output"]),
                "",
            ]
        lines.append("</details>")
    for warning in evidence.get("warnings", []):
        lines += ["", f"> {plain(warning)}"]
    if url:
        lines += ["", f"[The decision in Lobby]({url})"]
    return "\n".join(lines) + "\n"


def _row(metric: dict[str, Any]) -> str:
    interval = metric.get("interval")
    kind = metric["value_kind"]
    between = "–"
    if interval:
        between = f"{_change(interval['low'], kind).removesuffix(' points')} to {_change(interval['high'], kind)}"
    counts = f"{metric['improved']} / {metric['regressed']} / {metric['tied']}"
    means = [_level(metric[name], kind) for name in ("baseline_mean", "candidate_mean")]
    cells = [plain(metric["name"]), metric["role"], *means, _change(metric["difference"], kind), between, counts]
    return f"| {' | '.join((*cells, metric['verdict']))} |"


def _standing(judge: dict[str, Any]) -> str:
    """How far a metric's judge was trusted when the gate was opened."""
    if judge.get("reason"):
        return f"judge vouched for by {judge.get('by') or 'its owner'} until {judge['until'][:10]}: {judge['reason']}"
    if "until" not in judge:
        return "judge not calibrated"
    interval = "" if judge["low"] is None else f" ({_figure(judge['low'])} to {_figure(judge['high'])})"
    agrees = "agrees" if judge["is_sufficient"] else "agrees too little"
    return f"judge {agrees} with people: kappa {_figure(judge['kappa'])}{interval}, {judge['pairs']} ratings"


def _level(value: float | None, kind: str) -> str:
    return f"{value:.1%}" if kind == "binary" and value is not None else _figure(value)


def _change(value: float | None, kind: str) -> str:
    return f"{100 * value:+.1f} points" if kind == "binary" and value is not None else _figure(value, "+")


def _figure(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.3g}"


def plain(text: object) -> str:
    """On one line, with nothing that Markdown or HTML would read."""
    line = " ".join(str(text).split())
    return re.sub(r"([\\`*_{}\[\]<>#|~!@])", r"\\\1", line)


def _block(text: str) -> list[str]:
    """A fenced block that the text cannot end."""
    text = text[:LONGEST]
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", text, fence]
