"""The registry's addresses below /api/."""

from django.urls import path

from apps.models.api import models, providers

urlpatterns = [
    path("providers", providers.ProviderList.as_view(), name="provider-list"),
    path("providers/<str:provider>", providers.ProviderDetail.as_view(), name="provider-detail"),
    path("providers/<str:provider>/credential", providers.ProviderCredential.as_view(), name="provider-credential"),
    path("providers/<str:provider>/test", providers.ProviderTest.as_view(), name="provider-test"),
    path("providers/<str:provider>/models", providers.ProviderModels.as_view(), name="provider-models"),
    path("providers/<str:provider>/enable", providers.ProviderEnabling.as_view(), name="provider-enable"),
    path("providers/<str:provider>/disable", providers.ProviderDisabling.as_view(), name="provider-disable"),
    path("endpoints", providers.EndpointList.as_view(), name="endpoint-list"),
    path("endpoints/<int:id>", providers.EndpointDetail.as_view(), name="endpoint-detail"),
    path("endpoints/<int:id>/enable", providers.EndpointEnabling.as_view(), name="endpoint-enable"),
    path("endpoints/<int:id>/disable", providers.EndpointDisabling.as_view(), name="endpoint-disable"),
    path("models", models.ModelList.as_view(), name="model-list"),
    # Model names hold slashes: acme/writer:8b. So nothing comes after one.
    path("models/<path:model>", models.ModelDetail.as_view(), name="model-detail"),
    path("prices", models.PriceList.as_view(), name="price-list"),
    path("licences/accept", models.LicenceAccepting.as_view(), name="licence-accept"),
    path("grants", models.GrantList.as_view(), name="grant-list"),
    path("grants/<int:id>", models.GrantDetail.as_view(), name="grant-detail"),
]
