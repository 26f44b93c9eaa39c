"""No part of a credential is left in what an upstream said of it."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from apps.models.providers.base import ProviderError
from apps.models.providers.concealing import HIDDEN, conceal, conceal_in

SECRET, TOKEN = "wJalr/XUtn+FEMI", "IQoJb3JpZ2luX2Vj/token=="
KEY = json.dumps({"access_key": "AKIALOBBYTEST001", "secret_key": SECRET, "token": TOKEN})


@pytest.mark.parametrize("shown", [SECRET, TOKEN, KEY, quote(TOKEN, safe=""), quote(TOKEN), quote(SECRET, safe="")])
def test_the_parts_of_an_access_key_are_hidden_as_the_whole_is(shown: str) -> None:
    said = f"The canonical string is\nx-amz-security-token:{shown}\nhost:x"
    assert conceal(said, KEY) == f"The canonical string is\nx-amz-security-token:{HIDDEN}\nhost:x"
    assert "AKIALOBBYTEST001" in conceal("AKIALOBBYTEST001 is not known", KEY), "whose it was stays to be read"


@pytest.mark.parametrize("length", range(6, len(TOKEN)))
def test_what_a_text_that_was_cut_short_shows_of_it_is_hidden(length: int) -> None:
    assert conceal(f"You sent {TOKEN[:length]}", KEY) == f"You sent {HIDDEN}"


@pytest.mark.parametrize("credential", ["sk-secret", '{"a key": "of its own"}', "  sk-secret\n"])
def test_any_other_credential_is_hidden_as_it_stands(credential: str) -> None:
    error = ProviderError("credential", f"No {credential.strip()}.", code=credential.strip(), param="x")
    conceal_in(error, credential)
    assert (error.message, error.code, error.param) == (f"No {HIDDEN}.", HIDDEN, "x")


def test_nothing_is_hidden_where_there_is_no_credential() -> None:
    assert conceal("It is down.", None) == conceal("It is down.", "") == "It is down."
