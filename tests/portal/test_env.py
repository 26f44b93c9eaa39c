"""Reading the environment: what is malformed is refused by name."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db.utils import ConnectionHandler

from portal.env import Env, database_config, load_dotenv, mail_config
from tests.servers import PostgresServer


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is not set"):
        Env({}).str("SECRET_KEY")


def test_blank_counts_as_missing() -> None:
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is not set"):
        Env({"SECRET_KEY": "  "}).str("SECRET_KEY")
    assert Env({"PORT": ""}).int("PORT", 8000) == 8000


@pytest.mark.parametrize("word", ["1", "true", "YES", "on"])
def test_words_for_yes(word: str) -> None:
    assert Env({"DEBUG": word}).bool("DEBUG") is True


@pytest.mark.parametrize("word", ["0", "False", "no", "OFF", ""])
def test_words_for_no(word: str) -> None:
    assert Env({"DEBUG": word}).bool("DEBUG") is False


def test_another_word_is_neither() -> None:
    with pytest.raises(ImproperlyConfigured, match="DEBUG='maybe' is not a yes or no"):
        Env({"DEBUG": "maybe"}).bool("DEBUG")


@pytest.mark.parametrize("text", ["eight", "8.5", "0", "70000", "-1", "8000x", "1e3"])
def test_a_port_out_of_range_or_not_a_number(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"PORT=.* is not a whole number from 1 to 65535"):
        Env({"PORT": text}).int("PORT", 8000, minimum=1, maximum=65535)


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "one"])
def test_a_number_is_finite(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"RATE=.* is not a number"):
        Env({"RATE": text}).float("RATE", 1.0)


def test_a_choice_in_any_case_and_no_other() -> None:
    assert Env({"LOG_LEVEL": "warning"}).choice("LOG_LEVEL", "INFO", ("INFO", "WARNING")) == "WARNING"
    with pytest.raises(ImproperlyConfigured, match="LOG_LEVEL='loud' is not one of INFO, WARNING"):
        Env({"LOG_LEVEL": "loud"}).choice("LOG_LEVEL", "INFO", ("INFO", "WARNING"))


def test_a_list_drops_blanks() -> None:
    assert Env({"ALLOWED_HOSTS": " a.example, ,b.example,"}).list("ALLOWED_HOSTS") == ["a.example", "b.example"]


@pytest.mark.parametrize(
    "url", ["mysql://user:hunter2@db/x", "postgres://user:hunter2@db:port/x", "hunter2", "postgres://[hunter2/x"]
)
def test_a_refused_url_is_named_and_its_password_not_repeated(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL") as refusal:
        Env({"DATABASE_URL": url}).url("DATABASE_URL", schemes=("postgres", "sqlite"))
    assert "hunter2" not in str(refusal.value)


def test_postgres_url() -> None:
    config = database_config("postgres://lo%40bby:p%2Fw@db.example:6432/lobby?sslmode=require")
    assert (config["USER"], config["PASSWORD"]) == ("lo@bby", "p/w")
    assert (config["HOST"], config["PORT"], config["NAME"]) == ("db.example", "6432", "lobby")
    assert config["OPTIONS"]["sslmode"] == "require"


@pytest.mark.parametrize(("url", "name"), [("sqlite:///a.db", "a.db"), ("sqlite:////data/a%20b.db", "/data/a b.db")])
def test_sqlite_url(url: str, name: str) -> None:
    config = database_config(url)
    assert config["NAME"] == name
    assert config["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "postgres://db.example", "postgres://db.example/"])
def test_a_database_url_names_its_database(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL names no"):
        database_config(url)


@pytest.mark.parametrize(
    ("url", "port", "ssl", "starttls"),
    [
        ("smtp://mail.example", 587, False, False),
        ("smtp://user:secret@mail.example:2525", 2525, False, True),
        ("smtps://user:secret@mail.example", 465, True, False),
    ],
)
def test_mail_url_never_sends_a_password_in_the_clear(url: str, port: int, ssl: bool, starttls: bool) -> None:
    config = mail_config(url)
    assert (config["EMAIL_PORT"], config["EMAIL_USE_SSL"], config["EMAIL_USE_TLS"]) == (port, ssl, starttls)


def test_dotenv_fills_in_what_the_environment_leaves_open(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(
        "# a comment\n\nexport A=1\nB = two words  # the rest is a comment\nC='kept # as it is'\nD=\nE=from-file\n"
    )
    environ = {"E": "from-environment"}
    load_dotenv(file, environ)
    assert environ == {"A": "1", "B": "two words", "C": "kept # as it is", "D": "", "E": "from-environment"}


@pytest.mark.parametrize("line", ["just words", "=value", "1A=b", "A B=c"])
def test_a_malformed_dotenv_line_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    file = tmp_path / ".env"
    file.write_text(f"A=1\n{line}\n")
    with pytest.raises(ImproperlyConfigured, match=r"\.env, line 2: expected KEY=value"):
        load_dotenv(file, {})


def test_a_dotenv_in_another_encoding_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes("OIDC_NAME=Anmelden für alle\n".encode("latin-1"))
    with pytest.raises(ImproperlyConfigured, match=r"\.env is not UTF-8 text \(byte 21\)"):
        load_dotenv(file, {})
    file.write_bytes(b"\xef\xbb\xbfPORT=9000\n")
    environ: dict[str, str] = {}
    load_dotenv(file, environ)
    assert environ == {"PORT": "9000"}


def test_a_missing_dotenv_is_no_error(tmp_path: Path) -> None:
    environ: dict[str, Any] = {}
    load_dotenv(tmp_path / "none", environ)
    assert environ == {}


@pytest.mark.postgres
@pytest.mark.django_db
def test_a_database_whose_host_is_gone_is_given_up_within_half_a_minute(session_postgres: PostgresServer) -> None:
    database = ConnectionHandler({"default": database_config(session_postgres.url())})["default"]
    database.ensure_connection()
    try:
        with socket.socket(fileno=os.dup(database.connection.fileno())) as connected:
            options = {
                name: connected.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                for name in ("TCP_USER_TIMEOUT", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
            }
            assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    finally:
        database.close()
    assert options == {"TCP_USER_TIMEOUT": 20_000, "TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
