from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "apps.gateway"
    label = "gateway"
    verbose_name = "Gateway"

    def ready(self) -> None:
        from apps.gateway.routing.selectors import route_named
        from apps.models.names import share_names_with

        share_names_with(route_named)
