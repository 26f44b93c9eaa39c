"""Datasets, examples, versions and sign-offs; and the outsider, who sees none of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.evaluation import services
from apps.evaluation.errors import ExampleInvalid
from apps.evaluation.exports import export_lines
from apps.evaluation.models import Dataset, DatasetVersion, Example, ExampleRevision, InboxItem
from apps.evaluation.selectors import datasets as selectors
from apps.evaluation.selectors.inbox import clusters_of, inbox_for
from apps.evaluation.services.inbox import sort_inbox
from apps.tenants import audit
from apps.tenants.archive import archive
from apps.tenants.errors import Conflict, Invalid, NotFound, PermissionDenied
from apps.tenants.models import AuditEntry
from tests.cast import Cast

Add = Callable[..., Any]


@pytest.fixture
def add(cast: Cast, dataset: Dataset) -> Add:
    def make(claim: str, expected: Any = None, **more: Any) -> Any:
        given = {"actor": cast.actor("developer"), "dataset": dataset, "input": {"claim": claim}, "expected": expected}
        return services.add_example(**{**given, **more})

    return make


def freeze(cast: Cast, dataset: Dataset, message: str = "") -> services.Frozen:
    return services.freeze_version(actor=cast.actor("scientist"), dataset=dataset, message=message)


def test_each_change_is_a_revision_and_a_version_keeps_the_old_one(cast: Cast, dataset: Dataset, add: Add) -> None:
    stored = add("Hail", "home", tags=["Roof", "roof"], slice=" by  hail ")
    assert (stored.revision.number, stored.revision.tags, stored.revision.slice) == (1, ["roof"], "by hail")
    first = freeze(cast, dataset).version
    edit = {"actor": cast.actor("developer"), "example": stored.example, "input": {"claim": "Hail"}}
    assert services.edit_example(**edit, expected="house").revision.number == 2
    assert services.edit_example(**edit, expected="house").outcome == "same"
    add("Car", "motor")
    second = freeze(cast, dataset, "A correction and a car").version
    found = selectors.difference(first, second)
    assert (len(found.added), len(found.removed), len(found.changed)) == (1, 0, 1)
    assert [row["expected"] for row in selectors.exported(first)] == ["home"]
    services.remove_example(actor=cast.actor("developer"), example=stored.example)
    third = freeze(cast, dataset).version
    assert len(selectors.difference(second, third).removed) == 1
    assert (third.number, third.size, third.splits) == (3, 1, {"test": 1})
    with pytest.raises(TypeError, match="never changes"):
        stored.revision.save()
    assert audit.verify().ok


def test_freezing_the_same_rows_again_gives_the_version_there_is(
    cast: Cast, dataset: Dataset, add: Add, archive_folder: Path
) -> None:
    with pytest.raises(Conflict, match="no example yet"):
        freeze(cast, dataset)
    add("Hail", "home")
    first, again = freeze(cast, dataset), freeze(cast, dataset)
    assert (first.created, again.created, again.version.pk) == (True, False, first.version.pk)
    # One object for one version, and in it the rows, as an upload takes them back.
    assert len([path for path in archive_folder.rglob("*") if path.is_file()]) == 1
    with archive().open(first.version.archive_key) as file:
        lines = file.read().decode()
    assert json.loads(lines)["expected"] == "home"
    assert lines == "".join(export_lines(first.version, "jsonl"))


def test_a_text_of_the_prompt_itself_is_told_when_it_is_frozen(cast: Cast, dataset: Dataset, add: Add) -> None:
    add("Hail broke two skylights, on the fourth of May!", key="leaks")
    add("Hail broke two windows on the fourth of May", key="fine")
    assert freeze(cast, dataset).version.leaks == [
        {"key": "leaks", "prompt_version": 1, "text": "Hail broke two skylights, on the fourth of May!"}
    ]


def test_people_sign_off_or_object_and_the_last_word_of_each_counts(cast: Cast, dataset: Dataset, add: Add) -> None:
    add("Hail", "home")
    number = freeze(cast, dataset).version.number

    def version() -> DatasetVersion:
        return selectors.get_version_of(dataset, number)

    assert selectors.standing_of(version()) == "open"
    services.sign_off(actor=cast.actor("reviewer"), version=version(), is_approval=True)
    assert selectors.standing_of(version()) == "signed"
    with pytest.raises(Invalid, match="what is wrong"):
        services.sign_off(actor=cast.actor("owner"), version=version(), is_approval=False)
    services.sign_off(actor=cast.actor("owner"), version=version(), is_approval=False, note="Line 3 is motor.")
    assert selectors.standing_of(version()) == "objected"
    services.sign_off(actor=cast.actor("owner"), version=version(), is_approval=True, note="Mended.")
    assert (selectors.standing_of(version()), len(selectors.opinions_on(version()))) == ("signed", 2)
    with pytest.raises(PermissionDenied):
        services.sign_off(actor=cast.actor("viewer"), version=version(), is_approval=True)


def test_a_spreadsheet_runs_nothing(cast: Cast, dataset: Dataset, add: Add) -> None:
    add("=HYPERLINK(1)", "+49", tags=["-x"], key="@k", context=["a"])
    lines = list(export_lines(freeze(cast, dataset).version, "csv"))
    assert lines[0] == "key,input.claim,expected,context,tags,slice,split\r\n"
    assert lines[1] == '\'@k,\'=HYPERLINK(1),\'+49,"[""a""]",\'-x,,test\r\n'


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"input": {"claim": "x" * 1_100_000}}, "input"),
        ({"input": []}, "input"),
        ({"expected": float("inf")}, "expected"),
        ({"context": [1]}, "context"),
        ({"tags": ["x" * 41]}, "tags"),
        ({"split": "holdout"}, "split"),
        ({"slice": "x" * 101}, "slice"),
        ({"key": "x" * 101}, "key"),
    ],
)
def test_what_an_example_cannot_say_is_refused_by_part(add: Add, given: dict[str, Any], field: str) -> None:
    with pytest.raises(ExampleInvalid) as refused:
        add("Hail", **given)
    assert refused.value.field == field


def test_schemas_hold_for_what_is_saved_from_then_on(cast: Cast, dataset: Dataset, add: Add) -> None:
    add("Before", 5)
    actor = cast.actor("developer")
    services.update_dataset(actor=actor, dataset=dataset, expected_schema={"enum": ["home", "motor"]})
    dataset.refresh_from_db()
    add("Hail", "home")
    with pytest.raises(ExampleInvalid, match="is not one of: home, motor"):
        add("Car", "moon")
    for schema in ({"$ref": "http://example.com"}, {"pattern": "(a+)+$"}, {"type": "moon"}):
        with pytest.raises(Invalid):
            services.update_dataset(actor=actor, dataset=dataset, input_schema=schema)


def test_an_archived_dataset_takes_nothing(cast: Cast, dataset: Dataset, add: Add) -> None:
    services.archive_dataset(actor=cast.actor("developer"), dataset=dataset)
    with pytest.raises(Conflict, match="is archived"):
        add("Hail")
    assert not selectors.search_datasets(cast.actor("viewer"), cast.claims).exists()
    services.restore_dataset(actor=cast.actor("developer"), dataset=dataset)
    add("Hail")
    found = selectors.search_datasets(cast.actor("viewer"), cast.claims).get()
    assert (found.size, found.newest) == (1, None)  # type: ignore[attr-defined]


def test_a_dataset_is_deleted_only_while_nothing_ever_stood_in_it(
    cast: Cast,
    dataset: Dataset,
    upload: Callable[..., Any],
    archive_folder: Path,
    django_capture_on_commit_callbacks: Any,
) -> None:
    def delete(who: str) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            services.delete_dataset(actor=cast.actor(who), dataset=dataset)

    with pytest.raises(PermissionDenied):
        delete("reviewer")
    with pytest.raises(NotFound):
        delete("outsider")
    ready = upload(b"claim\nHail\n")
    services.start_import(actor=cast.actor("developer"), upload=ready)
    with pytest.raises(Conflict, match="on its way"):
        delete("developer")
    services.cancel_upload(actor=cast.actor("developer"), upload=ready)
    stored = services.add_example(actor=cast.actor("developer"), dataset=dataset, input={"claim": "Hail"})
    services.remove_example(actor=cast.actor("developer"), example=stored.example)
    with pytest.raises(Conflict, match="has had examples"):
        delete("developer")
    Example.objects.unscoped("test").all().delete()
    waiting = upload(b"claim\nHail\n")
    delete("developer")
    assert not Dataset.objects.unscoped("test").exists()
    assert not (archive_folder / waiting.archive_key).exists()
    assert AuditEntry.objects.unscoped("test").filter(action="dataset.deleted", data__slug="golden").exists()


def test_to_the_outsider_there_is_no_such_dataset(cast: Cast, dataset: Dataset, add: Add) -> None:
    example = add("Hail").example
    outsider = cast.actor("outsider")
    assert not selectors.datasets_for(outsider).exists()
    for find in (
        lambda: selectors.get_dataset_for(outsider, "claims", "golden"),
        lambda: services.add_example(actor=outsider, dataset=dataset, input={"claim": "x"}),
        lambda: services.remove_example(actor=outsider, example=example),
        lambda: services.freeze_version(actor=outsider, dataset=dataset),
        lambda: services.accept_items(actor=outsider, dataset=dataset, items=[]),
        lambda: services.dismiss_items(actor=outsider, tenant=cast.claims, items=[]),
    ):
        with pytest.raises(NotFound):
            find()


def test_deleting_a_tenant_takes_its_versions_too(cast: Cast, dataset: Dataset, add: Add) -> None:
    add("Hail")
    freeze(cast, dataset)
    dataset.delete()
    assert not ExampleRevision.objects.unscoped("test").exists()


# The inbox, from here on with a dataset.


def offer(cast: Cast, dataset: Dataset, text: str, **more: Any) -> InboxItem:
    given: dict[str, Any] = {"tenant": cast.claims, "source": "feedback", "prompt": dataset.prompt}
    return services.offer_to_inbox(actor=cast.actor("viewer"), input={"claim": text}, **{**given, **more})


def test_items_are_clustered_by_the_words_they_share_and_warned_of(cast: Cast, dataset: Dataset, add: Add) -> None:
    add("The storm tore tiles from the roof of the garage", "home", key="tiles")
    hail = [
        offer(cast, dataset, f"Hail smashed the skylight of the {room}, water came in") for room in ("loft", "bath")
    ]
    cars = [offer(cast, dataset, f"My parked car was scratched by a {thing} overnight") for thing in ("bike", "truck")]
    alone = offer(cast, dataset, "The dentist abroad wants cash")
    twin = offer(cast, dataset, "The storm tore tiles from the roof of the garage!")
    leaks = offer(cast, dataset, "hail broke two skylights on the fourth of May")
    assert sort_inbox(cast.claims.pk) == 7
    assert sort_inbox(cast.claims.pk) == 0
    row = {item.pk: item for item in InboxItem.objects.for_tenant(cast.claims)}
    assert row[hail[0].pk].cluster == row[hail[1].pk].cluster != row[cars[0].pk].cluster == row[cars[1].pk].cluster
    assert "skylight" in row[hail[0].pk].cluster
    assert row[alone.pk].cluster == ""
    assert [(each["kind"], each["key"], each["percent"]) for each in row[twin.pk].warnings] == [
        ("duplicate", "tiles", 100)
    ]
    assert [(each["kind"], each["prompt_version"]) for each in row[leaks.pk].warnings] == [("leak", 1)]
    assert [n for _, n in clusters_of(cast.actor("viewer"), cast.claims)][:2] == [2, 2]


def test_items_become_examples_that_say_where_they_came_from_and_undo_takes_them_back(
    cast: Cast, dataset: Dataset, add: Add
) -> None:
    add("Hail", "home")
    good = offer(cast, dataset, "Ask ann@x.example about the hail", source_ref="feedback/1")
    double = offer(cast, dataset, "Hail", expected="home")
    actor = cast.actor("developer")
    services.correct_item(actor=actor, item=good, expected="home, says bob@x.example")
    accepted = services.accept_items(actor=actor, dataset=dataset, items=[good, double], split="dev", tags=["field"])
    [example] = accepted.examples
    assert list(accepted.skipped) == [double.pk]
    revision = example.current
    assert revision is not None
    assert revision.input == {"claim": "Ask [e-mail 1] about the hail"}
    assert (revision.expected, revision.source, revision.source_ref) == (
        "home, says [e-mail 1]",
        "feedback",
        "feedback/1",
    )
    assert (revision.scrub, revision.split, revision.tags) == ("redacted", "dev", ["field"])
    services.dismiss_items(actor=actor, tenant=cast.claims, items=[double, good])
    statuses = dict(InboxItem.objects.for_tenant(cast.claims).values_list("pk", "status"))
    assert statuses == {good.pk: "accepted", double.pk: "dismissed"}
    services.reopen_items(actor=actor, tenant=cast.claims, items=[good, double])
    assert inbox_for(actor, cast.claims).count() == 2
    assert selectors.examples_of(dataset).count() == 1
    with pytest.raises(PermissionDenied):
        services.accept_items(actor=cast.actor("viewer"), dataset=dataset, items=[good])
    actions = AuditEntry.objects.unscoped("test").filter(action__startswith="dataset.inbox").order_by("sequence")
    assert list(actions.values_list("action", flat=True)) == [
        "dataset.inbox_corrected", "dataset.inbox_accepted", "dataset.inbox_dismissed", "dataset.inbox_reopened",
    ]  # fmt: skip
