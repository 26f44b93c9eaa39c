"""The Celery application. Tasks live in each app's ``tasks.py``."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from celery import Celery
from celery.exceptions import SecurityWarning
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

# Celery advises against root, for fear of pickles. We take JSON alone, and who starts Lobby as root knows it.
warnings.simplefilter("ignore", SecurityWarning)

TRANSPORT_ALIASES["filesystem"] = "portal.file_broker:Transport"

app = Celery("lobby")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def make_queue_folders() -> None:
    """The file-backed broker expects its folders to be there."""
    options = app.conf.broker_transport_options or {}
    for name in ("data_folder_in", "data_folder_out", "control_folder"):
        if name in options:
            Path(options[name]).mkdir(parents=True, exist_ok=True, mode=0o700)


make_queue_folders()
