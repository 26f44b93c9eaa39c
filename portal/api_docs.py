"""The API's description (OpenAPI 3.1) and two ways to read it, from files of our own: no page asks another server.

Both readers write style elements as they run, which the portal's CSP forbids; these two pages alone allow it. Scripts
stay what they are everywhere: files from here.
"""

from __future__ import annotations

from csp.decorators import csp_update
from django.utils.decorators import method_decorator
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularRedocView, SpectacularSwaggerSplitView

STYLES_AT_RUN_TIME = {"style-src": ["'unsafe-inline'"]}


class Schema(SpectacularJSONAPIView):
    throttle_classes = ()


@method_decorator(csp_update(STYLES_AT_RUN_TIME), name="dispatch")
class Swagger(SpectacularSwaggerSplitView):
    url_name = "api:schema"
    throttle_classes = ()
    template_name = "api/swagger.html"


@method_decorator(csp_update({**STYLES_AT_RUN_TIME, "worker-src": ["blob:"]}), name="dispatch")
class Redoc(SpectacularRedocView):
    url_name = "api:schema"
    throttle_classes = ()
    template_name = "api/redoc.html"
