from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.tenants import apikeys


def test_generated_key_splits_and_verifies() -> None:
    new = apikeys.generate()
    parts = apikeys.split(new.plaintext)
    assert parts is not None
    prefix, secret = parts
    assert prefix == new.prefix
    assert apikeys.verify(secret, new.secret_hmac)
    assert secret not in new.secret_hmac


def test_keys_do_not_repeat() -> None:
    keys = [apikeys.generate() for _ in range(500)]
    assert len({key.prefix for key in keys}) == len({key.plaintext for key in keys}) == 500


@given(st.integers(0, 42), st.sampled_from("ABCxyz019"))
def test_one_changed_character_is_refused(place: int, character: str) -> None:
    new = apikeys.generate()
    _, secret = apikeys.split(new.plaintext) or ("", "")
    changed = secret[:place] + character + secret[place + 1 :]
    assert apikeys.verify(changed, new.secret_hmac) is (changed == secret)


@given(st.text())
def test_split_never_raises(text: str) -> None:
    assert apikeys.split(text) is None or len(text) == apikeys.KEY_LENGTH


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key[:-1],
        lambda key: key + "a",
        lambda key: "sk-" + key[3:],
        lambda key: key.replace("_", "-"),
        lambda key: key[:-1] + "é",
        lambda key: key[:-1] + "\x00",
        lambda key: key[:-1] + " ",
        lambda key: key[:-1] + "_",
        lambda key: key[:-1] + "٣",
    ],
)
def test_malformed_key_is_no_key(change: Any) -> None:
    assert apikeys.split(change(apikeys.generate().plaintext)) is None


def test_pepper_is_part_of_the_digest(settings: Any) -> None:
    new = apikeys.generate()
    _, secret = apikeys.split(new.plaintext) or ("", "")
    settings.API_KEY_PEPPER = "another pepper of enough characters"
    assert not apikeys.verify(secret, new.secret_hmac)
