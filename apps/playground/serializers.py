"""The shapes of rating sets at the management API."""

from __future__ import annotations

from rest_framework import serializers

from apps.playground.types import RatingKind
from apps.tenants.rest.fields import Choice, Input, Output


class RatedOut(Output):
    """What was rated and can be copied."""

    kind = serializers.ChoiceField(RatingKind.choices)
    good = serializers.IntegerField(help_text="Of blind votes: the first answer won.")
    bad = serializers.IntegerField(help_text="Of blind votes: the second answer won.")
    even = serializers.IntegerField(help_text="Ties of votes; of thumbs, answers on which people disagree.")
    unfit = serializers.IntegerField(help_text="Without a text, or on a file: a judge could not judge it.")
    usable = serializers.IntegerField()


class RatingsOut(Output):
    is_allowed = serializers.BooleanField(help_text="Whether the tenant has feedback copied.")
    rated = RatedOut(many=True)


class NewRatingSet(Input):
    kind = Choice(RatingKind.choices)


class RatingSetOut(Output):
    dataset = serializers.CharField(source="dataset.slug")
    version = serializers.IntegerField(source="version.number")
    ratings = serializers.IntegerField(source="version.size")
    created = serializers.BooleanField(help_text="False where nothing has changed since that version.")
    left_out = serializers.IntegerField(help_text="Ratings that a dataset could not hold, or whose prompt is gone.")
