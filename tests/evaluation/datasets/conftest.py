from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from apps.evaluation import services
from apps.evaluation.models import Dataset, Upload
from apps.evaluation.services.uploads import prepare_upload, run_import
from apps.prompts import services as prompts
from tests.cast import Cast

Import = Callable[..., Upload]


@pytest.fixture(autouse=True)
def archive_folder(settings: Settings, tmp_path: Path) -> Path:
    settings.ARCHIVE_URL = f"file://{tmp_path / 'archive'}"
    return tmp_path / "archive"


@pytest.fixture
def dataset(cast: Cast) -> Dataset:
    """Of a prompt with the variable ``claim`` and the number ``amount``, which may be left out."""
    actor = cast.actor("developer")
    prompt = prompts.create_prompt(actor=actor, tenant=cast.claims, slug="triage", name="Claims triage")
    text = "Sort this claim: {{claim}} ({{amount}}). For example: hail broke two skylights on the fourth of May. High."
    variables: dict[str, Any] = {"amount": {"type": "number", "default": 0}}
    content = {"messages": [{"role": "user", "content": text}], "variables": variables}
    prompts.save_version(actor=actor, prompt=prompt, content=content)
    return services.create_dataset(actor=actor, tenant=cast.claims, slug="golden", name="Golden claims", prompt=prompt)


@pytest.fixture
def upload(cast: Cast, dataset: Dataset) -> Callable[..., Upload]:
    """A file, as far as its preview."""

    def put(data: bytes, name: str = "claims.csv", by: str = "developer") -> Upload:
        receiving = services.begin_upload(actor=cast.actor(by), dataset=dataset, file_name=name)
        stream = io.BytesIO(data)
        try:
            while chunk := stream.read(64 * 1024):
                receiving.write(chunk)
            made = receiving.finish()
        finally:
            receiving.close()
        prepare_upload(made.pk)
        return Upload.objects.unscoped("test").select_related("dataset__tenant", "dataset__prompt").get(pk=made.pk)

    return put


@pytest.fixture
def imported(cast: Cast, upload: Callable[..., Upload], django_capture_on_commit_callbacks: Any) -> Import:
    """A file, imported by a worker."""

    def put(data: bytes, name: str = "claims.csv", mapping: dict[str, str] | None = None) -> Upload:
        made = upload(data, name)
        services.start_import(actor=cast.actor("developer"), upload=made, mapping=mapping)
        with django_capture_on_commit_callbacks(execute=True):
            run_import(made.pk)
        made.refresh_from_db()
        return made

    return put
