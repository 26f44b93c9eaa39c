"""The two profiles: what production demands before it starts, and what the embedded one makes for itself."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
STRONG = {
    "SECRET_KEY": "kQ2vX9tR5wZ8mB4nH7jL1pC6sD3fG0aY",
    "API_KEY_PEPPER": "Tz5xM8qW2eR9yU4iO7pA1sD6fG3hJ0kL",
    "CREDENTIALS_KEY": "bN4mV8cX2zL7kJ1hG5fD9sA3pO6iU0yT",
}
PRODUCTION = {
    "LOBBY_ENV": "production",
    "DATABASE_URL": "postgres://lobby@db.example/lobby",
    "REDIS_URL": "redis://redis.example:6379/0",
    "ALLOWED_HOSTS": "lobby.example",
    **STRONG,
}


def load(environment: dict[str, str], data_dir: Path, expression: str = "''") -> subprocess.CompletedProcess[str]:
    """Import the settings in a process of their own and print ``expression`` of them."""
    return subprocess.run(
        [sys.executable, "-c", f"from portal import settings; print({expression})"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "LOBBY_ENV_FILE": os.devnull,
            "DATA_DIR": str(data_dir),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def refusal(environment: dict[str, str], data_dir: Path) -> str:
    done = load(environment, data_dir)
    assert done.returncode != 0, "these settings should have been refused"
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("django.core.exceptions.ImproperlyConfigured: ")
    return last.partition(": ")[2]


def test_production_starts_with_what_it_needs(tmp_path: Path) -> None:
    done = load(
        PRODUCTION, tmp_path, "settings.DEBUG, settings.DEMO, settings.LOG_FORMAT, settings.SESSION_COOKIE_NAME"
    )
    assert done.stdout.strip() == "False False json __Host-session", done.stderr
    assert list(tmp_path.iterdir()) == []  # no secret of its own making


@pytest.mark.parametrize("name", ["SECRET_KEY", "API_KEY_PEPPER", "CREDENTIALS_KEY", "DATABASE_URL", "REDIS_URL"])
def test_production_names_what_is_missing(name: str, tmp_path: Path) -> None:
    environment = {key: value for key, value in PRODUCTION.items() if key != name}
    assert refusal(environment, tmp_path).startswith(name)


def test_production_names_missing_hosts(tmp_path: Path) -> None:
    assert "ALLOWED_HOSTS" in refusal({**PRODUCTION, "ALLOWED_HOSTS": ""}, tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "a" * 64),
        ("SECRET_KEY", "django-insecure-kQ2vX9tR5wZ8mB4nH7jL1pC6sD3"),
        ("API_KEY_PEPPER", "changeme-kQ2vX9tR5wZ8mB4nH7jL1pC6sD3fG0"),
        ("CREDENTIALS_KEY", "Password-kQ2vX9tR5wZ8mB4nH7jL1pC6sD3fG0"),
        ("DEBUG", "true"),
        ("DEMO", "true"),
        ("ALLOWED_HOSTS", "*"),
        ("ALLOWED_HOSTS", "lobby.example,*"),
        ("DATABASE_URL", "sqlite:///lobby.db"),
    ],
)
def test_production_refuses_what_is_weak_or_open(name: str, value: str, tmp_path: Path) -> None:
    message = refusal({**PRODUCTION, name: value}, tmp_path)
    assert name in message
    if name in STRONG:
        assert value not in message


def test_production_refuses_one_secret_for_two_purposes(tmp_path: Path) -> None:
    message = refusal({**PRODUCTION, "API_KEY_PEPPER": STRONG["SECRET_KEY"]}, tmp_path)
    assert "must differ" in message


def test_more_than_one_web_worker_needs_redis(tmp_path: Path) -> None:
    assert refusal({"WEB_WORKERS": "2"}, tmp_path).startswith("WEB_WORKERS=2 needs REDIS_URL")
    assert load({"WEB_WORKERS": "2", "REDIS_URL": "redis://localhost/0"}, tmp_path).returncode == 0


def test_an_unknown_profile_is_refused(tmp_path: Path) -> None:
    assert refusal({"LOBBY_ENV": "staging"}, tmp_path).startswith("LOBBY_ENV='staging'")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("DEBUG", "perhaps"),
        ("DATABASE_URL", "oracle://x"),
        ("REDIS_URL", "localhost:6379"),
        ("CELERY_BROKER_URL", "sqs://"),
        ("MLFLOW_TRACKING_URI", "file:///x"),
        ("ARCHIVE_URL", "ftp://x"),
        ("OIDC_ISSUER", "idp.example"),
        ("EMAIL_URL", "http://mail"),
        ("LOG_LEVEL", "chatty"),
        ("SPOOL_MAX_BYTES", "1"),
    ],
)
def test_a_malformed_variable_is_named(name: str, value: str, tmp_path: Path) -> None:
    assert name in refusal({name: value}, tmp_path)


def test_sign_on_needs_all_three_of_its_variables(tmp_path: Path) -> None:
    assert "OIDC_CLIENT_ID" in refusal({"OIDC_ISSUER": "https://idp.example"}, tmp_path)


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("not a directory")
    message = refusal({}, blocker / "data")
    assert message.startswith(f"DATA_DIR={blocker / 'data'} cannot be used")


def test_embedded_makes_secrets_once_and_keeps_them_private(tmp_path: Path) -> None:
    shown = "settings.SECRET_KEY, settings.API_KEY_PEPPER, settings.CREDENTIALS_KEY"
    first, second = load({}, tmp_path, shown), load({}, tmp_path, shown)
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert len(set(first.stdout.split())) == 3
    files = list((tmp_path / "secrets").iterdir())
    assert sorted(file.name for file in files) == ["api_key_pepper", "credentials_key", "secret_key"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_processes_that_start_together_agree_on_the_secrets(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from portal import settings; print(settings.SECRET_KEY)"]
    environment = {"PATH": os.environ["PATH"], "LOBBY_ENV_FILE": os.devnull, "DATA_DIR": str(tmp_path)}
    together = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]
    answers = {process.communicate()[0] for process in together}
    assert len(answers) == 1
    assert all(process.returncode == 0 for process in together)


def test_the_dotenv_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("PORT=9100\nHOST=127.0.0.9\n")
    done = load({"LOBBY_ENV_FILE": str(file), "PORT": "9200"}, tmp_path, "settings.PORT, settings.HOST")
    assert done.stdout.strip() == "9200 127.0.0.9"


def test_one_version_everywhere(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert load({}, tmp_path, "settings.LOBBY_VERSION").stdout.strip() == project["version"]


def test_every_variable_is_documented() -> None:
    source = (ROOT / "portal" / "settings.py").read_text()
    read = set(re.findall(r'\benv\.\w+\(\s*"([A-Z0-9_]+)"', source)) | {"LOBBY_ENV_FILE"}
    documented = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", (ROOT / "docs" / "configuration.md").read_text()))
    assert len(read) > 30
    assert sorted(read - documented) == []
