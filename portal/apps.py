import gc

from django.apps import AppConfig

from portal import logs


class PortalConfig(AppConfig):
    name = "portal"
    verbose_name = "Lobby"

    def ready(self) -> None:
        # Whatever process hands work to the workers hands it to our own broker.
        import portal.celery  # noqa: F401

        logs.configure_structlog()
        # What has been loaded stays: no later collection needs to look through it. See manage.py and web.py.
        gc.freeze()
        gc.enable()
