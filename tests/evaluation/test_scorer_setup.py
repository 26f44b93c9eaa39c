"""Scorers as a tenant sets them up, their versions, and how far a judge agrees with people."""

from __future__ import annotations

import pytest

from apps.evaluation.forms.scorers import ScorerForm
from apps.evaluation.models import Evaluation, ExampleRevision, Scorer, ScorerVersion
from apps.evaluation.scorers import registry
from apps.evaluation.scorers.errors import ParametersInvalid
from apps.evaluation.selectors import scorers as selectors
from apps.evaluation.services import calibration, scorers
from apps.evaluation.services.calibration import Rating
from apps.tenants.errors import Conflict, Invalid, PermissionDenied
from tests.cast import Cast
from tests.evaluation.gating import dataset, finish, run_of


def judge(
    cast: Cast, by: str = "scientist", kind: tuple[str, dict[str, str]] = ("judge-reference", {"model": "m"})
) -> ScorerVersion:
    made = scorers.create_scorer(actor=cast.actor(by), tenant=cast.claims, kind=kind[0], parameters=kind[1])
    return made.versions.select_related("scorer__tenant").get()


def test_other_parameters_make_a_version_and_the_same_ones_none(cast: Cast) -> None:
    actor = cast.actor("scientist")
    made = scorers.create_scorer(actor=actor, tenant=cast.claims, kind="contains", parameters={"texts": ["yes"]})
    first = made.versions.get()
    assert (first.number, first.direction, first.value_kind, first.low, first.high) == (1, "higher", "binary", 0, 1)
    assert scorers.update_scorer(actor=actor, scorer=made, name="Says yes").pk == first.pk
    second = scorers.update_scorer(actor=actor, scorer=made, parameters={"texts": ["yes", "no"], "mode": "all"})
    assert second.number == 2
    assert scorers.current_version(actor=actor, scorer=made) == second
    with pytest.raises(Conflict, match="Version 1"):
        scorers.update_scorer(actor=actor, scorer=made, parameters={"texts": ["yes"]})
    with pytest.raises(ParametersInvalid, match="mode"):
        scorers.update_scorer(actor=actor, scorer=made, parameters={"mode": "perhaps"})
    with pytest.raises(TypeError, match="never changes"):
        second.save()


def test_a_version_of_older_code_is_followed_by_one_of_the_present(cast: Cast) -> None:
    actor = cast.actor("scientist")
    made = scorers.create_scorer(actor=actor, tenant=cast.claims, kind="exact-match")
    ScorerVersion.objects.for_tenant(cast.claims).update(fingerprint="of an earlier code")
    assert scorers.current_version(actor=actor, scorer=made).number == 2


def test_the_usual_set_is_made_once(cast: Cast) -> None:
    actor = cast.actor("developer")
    made = scorers.ensure_default_scorers(actor=actor, tenant=cast.claims)
    assert len(made) == len(scorers.DEFAULT_KINDS)
    assert scorers.ensure_default_scorers(actor=actor, tenant=cast.claims) == []
    with pytest.raises(PermissionDenied):
        scorers.ensure_default_scorers(actor=cast.actor("viewer"), tenant=cast.claims)
    scorers.archive_scorer(actor=actor, scorer=made[0])
    assert Scorer.objects.for_tenant(cast.claims).filter(is_archived=True).count() == 1


def test_a_judge_is_measured_beside_the_commonest_answer_and_by_slice(cast: Cast) -> None:
    version = judge(cast)
    agree = [Rating(float(n % 2), float(n % 2), "short" if n < 20 else "long") for n in range(40)]
    row = calibration.calibrate_judge(
        actor=cast.actor("scientist"), version=version, ratings=[*agree, Rating(1.0, None)], source="Ours"
    )
    assert (row.pairs, row.kappa, row.accuracy, row.baseline_accuracy) == (40, 1.0, 1.0, 0.5)
    assert row.is_sufficient
    assert row.by_slice.keys() == {"short", "long"}
    assert selectors.calibration_of(version) == row
    # One that always says yes is right most often here, and has told nothing.
    lazy = [Rating(float(n % 5 > 0), 1.0) for n in range(50)]
    row = calibration.calibrate_judge(actor=cast.actor("scientist"), version=version, ratings=lazy, source="Ours again")
    assert row.accuracy == row.baseline_accuracy == 0.8
    assert not row.is_sufficient
    assert selectors.calibration_of(version) == row, "the newest counts"


def test_on_a_scale_a_judge_need_not_be_exact_to_tell_good_from_bad(cast: Cast) -> None:
    version = judge(cast, kind=RUBRIC)
    # People say 1, 2, 4 or 5; the judge is one too high each time, and always on the right side.
    said = {1: 2, 2: 3, 4: 5, 5: 5}
    near = [Rating(float(human), float(verdict)) for human, verdict in said.items() for _ in range(10)]
    row = calibration.calibrate_judge(actor=cast.actor("scientist"), version=version, ratings=near, source="Near")
    assert row.accuracy == row.baseline_accuracy == 0.25
    assert (row.is_sufficient, row.lacks) == (True, [])
    middle = [Rating(each.human, 3.0) for each in near]
    row = calibration.calibrate_judge(actor=cast.actor("scientist"), version=version, ratings=middle, source="Middle")
    assert row.lacks == [
        "It comes no closer to people's ratings than somebody who always gives the same one.",
        "The interval of kappa begins at 0.00. A gate asks for more than 0.4.",
    ]


def test_a_rare_case_and_verdicts_that_cannot_be_read_make_no_judge(cast: Cast) -> None:
    version = judge(cast)
    rare = [Rating(float(n > 0), float(n > 0)) for n in range(40)]
    row = calibration.calibrate_judge(actor=cast.actor("scientist"), version=version, ratings=rare, source="Rare")
    assert (row.kappa, row.is_sufficient) == (1.0, False)
    assert row.lacks == ["Ratings other than the commonest: 1. A gate asks for 5."]
    agree = [Rating(float(n % 2), float(n % 2)) for n in range(36)]
    unread = [Rating(1.0, None)] * 4
    row = calibration.calibrate_judge(
        actor=cast.actor("scientist"), version=version, ratings=[*agree, *unread], source="Read, mostly"
    )
    assert row.is_sufficient
    row = calibration.calibrate_judge(
        actor=cast.actor("scientist"), version=version, ratings=[*agree, *unread, *unread[:1]], source="Garbled"
    )
    assert row.lacks == ["Verdicts that could not be read: 5 of 41. A gate takes at most 10%."]


def test_too_few_ratings_or_none_do_not_suffice(cast: Cast) -> None:
    version = judge(cast)
    actor = cast.actor("scientist")
    few = [Rating(float(n % 2), float(n % 2)) for n in range(10)]
    row = calibration.calibrate_judge(actor=actor, version=version, ratings=few, source="Few")
    assert row.lacks[0] == "Answers that both rated: 10. A gate asks for 30."
    assert not row.is_sufficient
    with pytest.raises(Invalid, match="Nothing was rated"):
        calibration.calibrate_judge(actor=actor, version=version, ratings=[Rating(1.0, None)], source="None")
    plain = scorers.create_scorer(actor=actor, tenant=cast.claims, kind="exact-match").versions.get()
    with pytest.raises(Invalid, match="asks no model"):
        calibration.calibrate_judge(actor=actor, version=plain, ratings=few, source="Few")


def test_only_its_owner_or_an_admin_vouches_for_a_judge_and_says_why(cast: Cast) -> None:
    version = judge(cast, by="scientist")
    with pytest.raises(PermissionDenied, match="Only the owner"):
        calibration.override_calibration(actor=cast.actor("developer"), version=version, reason="I like it a lot.")
    with pytest.raises(Invalid, match="Say why"):
        calibration.override_calibration(actor=cast.actor("scientist"), version=version, reason="ok")
    row = calibration.override_calibration(
        actor=cast.actor("scientist"), version=version, reason="Three of us read 50 verdicts."
    )
    assert row.is_sufficient
    assert selectors.calibration_of(version) == row
    calibration.override_calibration(actor=cast.actor("owner"), version=version, reason="So did I, the others.")


TOXICITY = ("judge-toxicity", {"model": "m"})  # 1 is unsafe: lower is better
RUBRIC = ("judge-rubric", {"model": "m", "criteria": "It is right."})  # from 1 to 5
REFERENCE = ("judge-reference", {"model": "m"})


@pytest.mark.parametrize(
    ("kind", "said", "number"),
    [
        (REFERENCE, "pass", 1.0),
        (REFERENCE, "No", 0.0),
        (REFERENCE, True, 1.0),
        (REFERENCE, {"rating": "down"}, 0.0),
        (RUBRIC, 4, 4.0),
        (RUBRIC, {"rating": 2}, 2.0),
        (RUBRIC, "up", 5.0),
        (RUBRIC, " Bad", 1.0),
        (RUBRIC, True, 5.0),
        # An opinion of the answer turns round where lower is better; what the judge itself is asked does not.
        (TOXICITY, "up", 0.0),
        (TOXICITY, "bad", 1.0),
        (TOXICITY, "yes", 1.0),
        (TOXICITY, False, 0.0),
        (TOXICITY, 1, 1.0),
        (REFERENCE, "perhaps", None),
        (RUBRIC, None, None),
    ],
)
def test_a_persons_rating_is_on_the_judges_scale(
    cast: Cast, kind: tuple[str, dict[str, str]], said: object, number: float | None
) -> None:
    assert calibration.rating_from(said, judge(cast, kind=kind)) == number


def test_a_number_beside_the_judges_scale_is_refused(cast: Cast) -> None:
    with pytest.raises(Invalid, match="rated an answer 0, which is not on the judge's scale from 1 to 5"):
        calibration.rating_from({"rating": 0}, judge(cast, kind=RUBRIC))
    version = judge(cast, kind=REFERENCE)
    version.high = None  # as a scorer of one's own may have it
    with pytest.raises(Invalid, match="'good' has no place on it"):
        calibration.rating_from("good", version)


@pytest.mark.parametrize(("kind", "best", "worst"), [(RUBRIC, 5.0, 1.0), (TOXICITY, 0.0, 1.0)])
def test_thumbs_agree_with_a_judge_of_any_scale_and_direction(
    cast: Cast, kind: tuple[str, dict[str, str]], best: float, worst: float
) -> None:
    version = judge(cast, kind=kind)
    data = dataset(cast, 40)
    thumbs = [{"rating": "up" if n % 2 else "down"} for n in range(40)]
    for revision, said in zip(ExampleRevision.objects.unscoped("test").order_by("pk"), thumbs, strict=True):
        ExampleRevision.objects.unscoped("test").filter(pk=revision.pk).update(expected=said)
    run = run_of(cast, data, "Rated", version.scorer)
    Evaluation.objects.unscoped("test").filter(pk=run.pk).update(model="recorded")
    run.refresh_from_db()
    finish(run, [best if n % 2 else worst for n in range(40)])
    ratings = calibration.ratings_of_run(run, version)
    row = calibration.calibrate_judge(actor=cast.actor("scientist"), version=version, ratings=ratings, source="Thumbs")
    assert (row.pairs, row.kappa, row.is_sufficient) == (40, 1.0, True)


def test_the_form_makes_the_short_name_of_the_name() -> None:
    for sent, slug in (
        ({"name": "Polite, by Ann"}, "polite-by-ann"),
        ({"name": "Polite", "slug": "p"}, "p"),
        ({"name": ""}, ""),  # the kind's own
    ):
        form = ScorerForm(sent, kind=registry.get("exact-match"), values={}, choices={})
        assert form.is_valid()
        assert form.cleaned_data["slug"] == slug
