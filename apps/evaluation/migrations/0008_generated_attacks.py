"""Examples may be generated attacks."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models

SOURCES = [
    ("upload", "Uploaded"),
    ("request", "From a request"),
    ("feedback", "From feedback"),
    ("answer", "From the playground"),
    ("review", "From a review"),
    ("person", "Written here"),
    ("attack", "From an attack that got through"),
    ("template", "Generated attack"),
]


class Migration(migrations.Migration):
    dependencies: ClassVar = [("evaluation", "0007_acknowledged_checks")]

    operations: ClassVar = [
        migrations.AlterField("examplerevision", "source", models.CharField(choices=SOURCES, max_length=10)),
        migrations.AlterField("inboxitem", "source", models.CharField(choices=SOURCES, max_length=10)),
    ]
