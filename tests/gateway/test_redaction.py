"""Personal data is found by shape and check digits, and what only looks like it stays."""

from __future__ import annotations

import pytest

from apps.gateway.redaction import Redactor


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Write to Ann.Lee+x@mail.example.com.", "Write to [e-mail 1]."),
        ("IBAN DE89 3704 0044 0532 0130 00 please", "IBAN [IBAN 1] please"),
        ("GB29NWBK60161331926819", "[IBAN 1]"),
        ("Card 4111 1111 1111 1111, exp 12/27", "Card [card number 1], exp 12/27"),
        ("SSN 078-05-1120", "SSN [social security number 1]"),
        ("from 192.0.2.17 and 2001:db8::7", "from [IP address 1] and [IP address 2]"),
        ("Call +49 30 1234567 or (030) 123 45 67", "Call [phone number 1] or [phone number 2]"),
        ("Call 555-123-4567", "Call [phone number 1]"),
        ("a@b.example, then A@B.example, then c@d.example", "[e-mail 1], then [e-mail 1], then [e-mail 2]"),
        # What is none of it.
        ("IBAN DE00 3704 0044 0532 0130 00 is wrong", None),
        ("Card 4111 1111 1111 1112", None),
        ("Policy 1234567890123", None),
        ("On 01.02.2026 at 12:30:45, version 300.2.3.4, costs 1,250.00", None),
        ("SSN 000-12-3456 and 666-12-3456", None),
        ("2026-03-01 10:00 for 100 days", None),
    ],
)
def test_what_is_replaced(text: str, said: str | None) -> None:
    assert Redactor().text(text) == (text if said is None else said)


def test_one_thing_has_one_numbering_and_says_what_was_replaced_without_the_value() -> None:
    redactor = Redactor()
    value = redactor.value({"mail": ["a@b.example", "c@d.example"], "card": 4111111111111111, "n": 12, "ok": True})
    assert value == {"mail": ["[e-mail 1]", "[e-mail 2]"], "card": "[card number 1]", "n": 12, "ok": True}
    assert redactor.text("a@b.example") == "[e-mail 1]"
    assert redactor.found == [
        {"kind": "card number", "placeholder": "[card number 1]", "times": 1},
        {"kind": "e-mail", "placeholder": "[e-mail 1]", "times": 2},
        {"kind": "e-mail", "placeholder": "[e-mail 2]", "times": 1},
    ]


@pytest.mark.parametrize("piece", ["a", "1 ", "1", "a@", ":", "0-", "DE89 ", "a.", "+1 "])
def test_no_text_takes_long(piece: str) -> None:
    """A hundred thousand characters of whatever a pattern might stumble over: done, without a clock."""
    assert Redactor().text(piece * 50_000)
