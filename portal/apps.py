from django.apps import AppConfig

from portal import logs


class PortalConfig(AppConfig):
    name = "portal"
    verbose_name = "Lobby"

    def ready(self) -> None:
        logs.configure_structlog()
