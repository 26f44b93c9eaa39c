import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0002_strict_parameters"),
    ]

    operations = [
        migrations.AddField(
            model_name="project",
            name="content_percent",
            field=models.PositiveSmallIntegerField(
                default=0,
                help_text="Of its requests, how many are kept with what they say, redacted, for monitors; 0: none.",
                validators=[django.core.validators.MaxValueValidator(100)],
            ),
        ),
    ]
