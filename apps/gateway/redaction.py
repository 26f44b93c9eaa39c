"""Personal data in texts: found by its shape and its check digits, and replaced by what it was.

Names and addresses have no shape that tells them from other words: they are left to the person who reads the item.
Equal values get equal placeholders ("[e-mail 1]"), so that a text still says who is who. Every pattern is bounded, so
that no text takes long.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any, NamedTuple


class Detector(NamedTuple):
    """``pattern`` finds candidates; ``holds`` says how many of its characters are one (0: none)."""

    kind: str
    pattern: re.Pattern[str]
    holds: Callable[[str], int]


# The length of an IBAN by country (ISO 13616).
_IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(
        r"([A-Z]{2})(\d\d)",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29"
        " ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28"
        " LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25"
        " QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20",
    )
}


def _iban(text: str) -> int:
    wanted = _IBAN_LENGTHS.get(text[:2].upper(), 0)
    taken = ""
    for at, character in enumerate(text):
        if character not in " -":
            taken += character.upper()
        if wanted and len(taken) == wanted:
            digits = "".join(str(int(each, 36)) for each in taken[4:] + taken[:4])
            return at + 1 if int(digits) % 97 == 1 else 0
    return 0


def _luhn(text: str) -> int:
    digits = [int(each) for each in text if each.isdigit()]
    if not 13 <= len(digits) <= 19 or digits[0] not in range(2, 7):
        return 0
    total = sum(digits[-1::-2]) + sum(sum(divmod(2 * each, 10)) for each in digits[-2::-2])
    return len(text) if total % 10 == 0 else 0


def _address(text: str) -> int:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return 0
    return 0 if found.is_unspecified or found.is_loopback else len(text)


def _phone(text: str) -> int:
    digits = sum(each.isdigit() for each in text)
    is_date = re.match(r"\d{2}[./-]\d{2}[./-]\d{4}", text)
    return len(text) if 7 <= digits <= 15 and not is_date else 0


DETECTORS = (
    Detector(
        "e-mail",
        re.compile(r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,6}[A-Za-z]{2,24}"),
        lambda text: len(text),
    ),
    Detector("IBAN", re.compile(r"\b[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}"), _iban),
    Detector("card number", re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)"), _luhn),
    Detector(
        "IP address",
        re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w:]|\.\d)"),
        _address,
    ),
    Detector(
        "social security number",
        re.compile(r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])"),
        lambda text: len(text),
    ),
    Detector(
        "phone number",
        re.compile(
            r"(?<![\w+])(?<!\d[ -])(?:\+\d{1,3}(?:[ .()/-]{0,2}\d){6,13}"
            r"|\(?(?:00[1-9]\d{0,3}|0[1-9]\d{0,4})\)?[ /.-]{1,3}\d(?:[ .-]?\d){4,9}"
            r"|\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4})(?!\d)"
        ),
        _phone,
    ),
)


class Redactor:
    """Goes over the texts of one thing, so that the same value has the same placeholder in all of them."""

    def __init__(self) -> None:
        self._numbers: dict[str, dict[str, int]] = {}
        self._counts: dict[tuple[str, int], int] = {}

    def text(self, text: str) -> str:
        for detector in DETECTORS:
            text = self._replaced(detector, text)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value with its texts gone over; names of properties stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {name: self.value(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if isinstance(value, int) and abs(value) >= 10**12:  # a card's number that was not written as a text
            said = self.text(str(value))
            return said if said != str(value) else value
        return value

    @property
    def found(self) -> list[dict[str, Any]]:
        """What was replaced: kind, placeholder and how often. The value itself is nowhere."""
        return [
            {"kind": kind, "placeholder": f"[{kind} {number}]", "times": times}
            for (kind, number), times in sorted(self._counts.items())
        ]

    def _replaced(self, detector: Detector, text: str) -> str:
        pieces, at = [], 0
        for match in detector.pattern.finditer(text):
            length = detector.holds(match[0])
            if not length or match.start() < at:
                continue
            pieces += [text[at : match.start()], self._placeholder(detector.kind, match[0][:length])]
            at = match.start() + length
        return "".join([*pieces, text[at:]]) if pieces else text

    def _placeholder(self, kind: str, value: str) -> str:
        known = self._numbers.setdefault(kind, {})
        number = known.setdefault(re.sub(r"[\W_]", "", value).lower(), len(known) + 1)
        self._counts[kind, number] = self._counts.get((kind, number), 0) + 1
        return f"[{kind} {number}]"
