"""The model hub's pages, and those of the providers. A model's name may hold slashes, dots and colons."""

from django.urls import path

from apps.models.views import hub, providers

app_name = "models"
urlpatterns = [
    path("models/", hub.model_list, name="list"),
    # A model's name holds slashes, so nothing comes after one.
    path("licences/<path:slug>/", hub.licence_accept, name="licence-accept"),
    path("approvals/<path:slug>/", providers.model_approve, name="approve"),
    path("models/<path:slug>/", hub.model_card, name="card"),
    path("providers/", providers.provider_list, name="provider-list"),
    path("new-provider/", providers.provider_create, name="provider-create"),
    path("new-provider/try/", providers.provider_try, name="provider-try"),
    path("providers/<slug:provider>/", providers.provider_detail, name="provider-detail"),
    path("providers/<slug:provider>/edit/", providers.provider_edit, name="provider-edit"),
    path("providers/<slug:provider>/test/", providers.provider_test, name="provider-test"),
    path("providers/<slug:provider>/switch/", providers.provider_switch, name="provider-switch"),
    path("providers/<slug:provider>/credential/", providers.provider_rotate, name="provider-rotate"),
    path("providers/<slug:provider>/models/", providers.provider_models, name="provider-models"),
]
