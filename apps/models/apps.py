from django.apps import AppConfig


class RegistryConfig(AppConfig):
    # The label is "registry": an app called "models" with a module called "models" would read twice as ill.
    name = "apps.models"
    label = "registry"
    verbose_name = "Model registry"
