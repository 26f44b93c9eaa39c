"""/api/datasets: datasets, their examples, versions and uploads."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from apps.evaluation import exports, services
from apps.evaluation.models import Dataset
from apps.evaluation.receiving import ArchiveUploadHandler, receiving_in
from apps.evaluation.selectors import datasets as selectors
from apps.evaluation.serializers.datasets import (
    ChangesOut,
    DatasetChanges,
    DatasetOut,
    ExampleChanges,
    ExampleOut,
    FrozenVersionOut,
    NewDataset,
    NewDatasetVersion,
    NewExample,
    NewImport,
    NewSignOff,
    NewUpload,
    SignOffOut,
    UploadOut,
    VersionOfDatasetOut,
)
from apps.evaluation.services import Receiving
from apps.evaluation.types import Split, UploadStatus
from apps.prompts.selectors import get_prompt_for
from apps.tenants import selectors as tenants
from apps.tenants.access import Actor, require
from apps.tenants.rest.filters import ChoiceFilter, Filters, FlagFilter, NumberFilter, TextFilter, cleaned
from apps.tenants.rest.schema import CONFLICT, NOT_FOUND, operation
from apps.tenants.rest.views import ApiView, no_content

DATASETS = "Datasets"
MOST_KEYS = 1_000


class DatasetFilters(Filters):
    orderings = ("name", "slug", "updated_at", "created_at")
    search_in = ("name", "slug", "description", "tags")
    tenant = TextFilter("tenant__slug")
    prompt = TextFilter("prompt__slug")
    is_archived = FlagFilter()


class _Datasets(ApiView):
    def facts(self, body: dict[str, Any], tenant: str) -> dict[str, Any]:
        """The body with the prompt that it names."""
        if body.get("prompt"):
            slug = body["prompt"]
            body["prompt"] = self.referenced("prompt", lambda: get_prompt_for(self.actor, tenant, slug))
        return body


class DatasetList(_Datasets):
    @operation("list-datasets", "List datasets", tag=DATASETS, response=DatasetOut, filters=DatasetFilters, paged=True)
    def get(self, request: Request) -> Response:
        return self.page(selectors.datasets_for(self.actor), DatasetOut, DatasetFilters)

    @operation(
        "create-dataset",
        "Create a dataset",
        tag=DATASETS,
        request=NewDataset,
        response=DatasetOut,
        status=201,
        errors=CONFLICT,
        description="Without an example yet. For developers, data scientists and tenant admins.",
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewDataset)
        slug = body.pop("tenant")
        tenant = self.referenced("tenant", lambda: tenants.get_tenant_for(self.actor, slug))
        made = services.create_dataset(actor=self.actor, tenant=tenant, **self.facts(body, slug))
        return self.shown(DatasetOut, made, 201)


class _OfDataset(_Datasets):
    def found(self, tenant: str, dataset: str) -> Dataset:
        return selectors.get_dataset_for(self.actor, tenant, dataset)


class DatasetDetail(_OfDataset):
    @operation("get-dataset", "Get a dataset", tag=DATASETS, response=DatasetOut, errors=NOT_FOUND)
    def get(self, request: Request, tenant: str, dataset: str) -> Response:
        return self.shown(DatasetOut, self.found(tenant, dataset))

    @operation(
        "change-dataset",
        "Change a dataset",
        tag=DATASETS,
        request=DatasetChanges,
        response=DatasetOut,
        errors=NOT_FOUND,
        description="A schema that is changed holds for what is saved from then on.",
    )
    def patch(self, request: Request, tenant: str, dataset: str) -> Response:
        row = self.found(tenant, dataset)
        changes = self.facts(self.body(DatasetChanges), tenant)
        return self.shown(DatasetOut, services.update_dataset(actor=self.actor, dataset=row, **changes))

    @operation(
        "delete-dataset",
        "Delete an empty dataset",
        tag=DATASETS,
        status=204,
        errors=NOT_FOUND | CONFLICT,
        description="Only one that never had an example; archive any other.",
    )
    def delete(self, request: Request, tenant: str, dataset: str) -> Response:
        services.delete_dataset(actor=self.actor, dataset=self.found(tenant, dataset))
        return no_content()


class DatasetArchiving(_OfDataset):
    @operation(
        "archive-dataset",
        "Archive a dataset",
        tag=DATASETS,
        response=DatasetOut,
        errors=NOT_FOUND,
        description="Nothing can be added until it is restored; what was measured on it stays.",
    )
    def post(self, request: Request, tenant: str, dataset: str) -> Response:
        row = self.found(tenant, dataset)
        return self.shown(DatasetOut, services.archive_dataset(actor=self.actor, dataset=row))


class DatasetRestoring(_OfDataset):
    @operation("restore-dataset", "Restore a dataset", tag=DATASETS, response=DatasetOut, errors=NOT_FOUND)
    def post(self, request: Request, tenant: str, dataset: str) -> Response:
        row = self.found(tenant, dataset)
        return self.shown(DatasetOut, services.restore_dataset(actor=self.actor, dataset=row))


class ExampleFilters(Filters):
    orderings = ("pk", "key")
    search_in = ("current__text", "key")
    key = TextFilter()
    slice = TextFilter("current__slice")
    split = ChoiceFilter("current__split", choices=Split.choices)


class ExampleList(_OfDataset):
    @operation(
        "list-examples",
        "List a dataset's examples",
        tag=DATASETS,
        response=ExampleOut,
        filters=ExampleFilters,
        paged=True,
        errors=NOT_FOUND,
        description="As they are now; a version keeps how they were.",
    )
    def get(self, request: Request, tenant: str, dataset: str) -> Response:
        rows = selectors.examples_of(self.found(tenant, dataset))
        return self.page(rows.filter(current__isnull=False), ExampleOut, ExampleFilters)

    @operation(
        "add-example",
        "Add an example",
        tag=DATASETS,
        request=NewExample,
        response=ExampleOut,
        status=201,
        errors=NOT_FOUND | CONFLICT,
    )
    def post(self, request: Request, tenant: str, dataset: str) -> Response:
        row = self.found(tenant, dataset)
        stored = services.add_example(actor=self.actor, dataset=row, **self.body(NewExample))
        return self.shown(ExampleOut, stored.example, 201)


class ExampleDetail(_OfDataset):
    @operation("get-example", "Get an example", tag=DATASETS, response=ExampleOut, errors=NOT_FOUND)
    def get(self, request: Request, tenant: str, dataset: str, id: int) -> Response:
        return self.shown(ExampleOut, selectors.get_example_of(self.found(tenant, dataset), id))

    @operation(
        "edit-example",
        "Edit an example",
        tag=DATASETS,
        request=ExampleChanges,
        response=ExampleOut,
        errors=NOT_FOUND | CONFLICT,
        description="Makes a new revision; versions keep the one that they hold.",
    )
    def put(self, request: Request, tenant: str, dataset: str, id: int) -> Response:
        row = selectors.get_example_of(self.found(tenant, dataset), id)
        stored = services.edit_example(actor=self.actor, example=row, **self.body(ExampleChanges))
        return self.shown(ExampleOut, stored.example)

    @operation(
        "remove-example",
        "Remove an example",
        tag=DATASETS,
        status=204,
        errors=NOT_FOUND | CONFLICT,
        description="Left out of the next version; those that are frozen keep it.",
    )
    def delete(self, request: Request, tenant: str, dataset: str, id: int) -> Response:
        services.remove_example(actor=self.actor, example=selectors.get_example_of(self.found(tenant, dataset), id))
        return no_content()


class DatasetVersionFilters(Filters):
    orderings = ("number", "created_at")
    default_ordering = "-number"
    hash = TextFilter("manifest_hash")


class DatasetVersionList(_OfDataset):
    @operation(
        "list-dataset-versions",
        "List a dataset's versions",
        tag=DATASETS,
        response=VersionOfDatasetOut,
        filters=DatasetVersionFilters,
        paged=True,
        errors=NOT_FOUND,
    )
    def get(self, request: Request, tenant: str, dataset: str) -> Response:
        rows = selectors.versions_of(self.found(tenant, dataset))
        return self.page(rows, VersionOfDatasetOut, DatasetVersionFilters)

    @operation(
        "freeze-dataset-version",
        "Freeze a version",
        tag=DATASETS,
        request=NewDatasetVersion,
        response=FrozenVersionOut,
        status=201,
        errors=NOT_FOUND | CONFLICT,
        description="Of every example as it is now. Where a version of exactly these rows is there, it is shown, with"
        " `created` false.",
    )
    def post(self, request: Request, tenant: str, dataset: str) -> Response:
        row = self.found(tenant, dataset)
        frozen = services.freeze_version(actor=self.actor, dataset=row, **self.body(NewDatasetVersion))
        frozen.version.created = frozen.created  # type: ignore[attr-defined]
        return self.shown(FrozenVersionOut, frozen.version, 201)


class DatasetVersionDetail(_OfDataset):
    @operation("get-dataset-version", "Get a version", tag=DATASETS, response=VersionOfDatasetOut, errors=NOT_FOUND)
    def get(self, request: Request, tenant: str, dataset: str, number: int) -> Response:
        return self.shown(VersionOfDatasetOut, selectors.get_version_of(self.found(tenant, dataset), number))


class DatasetVersionSignOff(_OfDataset):
    @operation(
        "sign-off-dataset-version",
        "Sign a version off, or object",
        tag=DATASETS,
        request=NewSignOff,
        response=SignOffOut,
        status=201,
        errors=NOT_FOUND,
        description="For people: an API key cannot. The last word of each counts.",
    )
    def post(self, request: Request, tenant: str, dataset: str, number: int) -> Response:
        version = selectors.get_version_of(self.found(tenant, dataset), number)
        return self.shown(
            SignOffOut, services.sign_off(actor=self.actor, version=version, **self.body(NewSignOff)), 201
        )


class ComparisonFilters(Filters):
    before = NumberFilter(help_text="The number of the version to compare with; by default the one before.")


class DatasetVersionChanges(_OfDataset):
    @operation(
        "compare-dataset-versions",
        "Compare two versions",
        tag=DATASETS,
        response=ChangesOut,
        filters=ComparisonFilters,
        errors=NOT_FOUND,
    )
    def get(self, request: Request, tenant: str, dataset: str, number: int) -> Response:
        row = self.found(tenant, dataset)
        new = selectors.get_version_of(row, number)
        wanted = cleaned(request, ComparisonFilters)["before"]
        old = selectors.version_before(new) if wanted is None else selectors.get_version_of(row, wanted)
        found = selectors.difference(old, new)
        added, removed, changed = found.added[:MOST_KEYS], found.removed[:MOST_KEYS], found.changed[:MOST_KEYS]
        rows = selectors.revisions_by_id([*added, *removed, *(pair[1] for pair in changed)])
        keys = {pk: revision.example.key for pk, revision in rows.items()}
        shown = {
            "before": None if old is None else old.number,
            "added": [keys[pk] for pk in added],
            "removed": [keys[pk] for pk in removed],
            "changed": [keys[pk] for _, pk in changed],
            "total": found.total,
        }
        return self.shown(ChangesOut, shown)


class ExportFilters(Filters):
    format = ChoiceFilter(choices=[(name, name) for name in exports.FORMATS], help_text="By default jsonl.")


class DatasetVersionExport(_OfDataset):
    @operation(
        "export-dataset-version",
        "Download a version",
        tag=DATASETS,
        filters=ExportFilters,
        errors=NOT_FOUND,
        files=list(exports.FORMATS.values()),
        description="JSON Lines, which an upload takes back; or CSV, in which what would be a formula has an apostrophe"
        " before it.",
    )
    def get(self, request: Request, tenant: str, dataset: str, number: int) -> StreamingHttpResponse:
        version = selectors.get_version_of(self.found(tenant, dataset), number)
        format = cleaned(request, ExportFilters)["format"] or "jsonl"
        return export_response(version, format)


def export_response(version: Any, format: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(exports.export_lines(version, format), content_type=exports.FORMATS[format])
    response["Content-Disposition"] = f'attachment; filename="{exports.file_name(version, format)}"'
    return response


class UploadFilters(Filters):
    orderings = ("pk",)
    default_ordering = "-pk"
    status = ChoiceFilter(choices=UploadStatus.choices)


class UploadList(_OfDataset):
    """The file goes into the archive while it arrives; its handler has to be there before anything reads the form."""

    parser_classes = (MultiPartParser,)
    _handler: ArchiveUploadHandler | None = None

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        if request.method == "POST":
            self._handler = ArchiveUploadHandler(self._begin)
            request.upload_handlers = [self._handler]
        return super().initialize_request(request, *args, **kwargs)

    def finalize_response(self, *args: Any, **kwargs: Any) -> Any:
        if self._handler is not None:
            self._handler.close()
        return super().finalize_response(*args, **kwargs)

    def _begin(self, name: str) -> Receiving:
        # Where the caller has a session, the check of its CSRF token reads the form while we are asking who calls.
        known = getattr(self.request, "_auth", None)
        actor = known if isinstance(known, Actor) else Actor.of_user(self.request._request.user)  # type: ignore[arg-type]
        dataset = selectors.get_dataset_for(actor, self.kwargs["tenant"], self.kwargs["dataset"])
        return services.begin_upload(actor=actor, dataset=dataset, file_name=name)

    @operation(
        "list-uploads",
        "List a dataset's uploads",
        tag=DATASETS,
        response=UploadOut,
        filters=UploadFilters,
        paged=True,
        errors=NOT_FOUND,
    )
    def get(self, request: Request, tenant: str, dataset: str) -> Response:
        return self.page(selectors.uploads_of(self.found(tenant, dataset)), UploadOut, UploadFilters)

    @operation(
        "upload-file",
        "Upload a file",
        tag=DATASETS,
        request={"multipart/form-data": NewUpload},
        response=UploadOut,
        status=201,
        errors=NOT_FOUND | CONFLICT,
        description="Its columns are looked at and their parts guessed; then it waits to be imported.",
    )
    def post(self, request: Request, tenant: str, dataset: str) -> Response:
        row = self.found(tenant, dataset)
        require(self.actor, "dataset.edit", row.tenant, what="upload to this dataset")
        self.body(NewUpload)
        return self.shown(UploadOut, receiving_in(request.data).finish(), 201)


class UploadDetail(_OfDataset):
    @operation("get-upload", "Get an upload", tag=DATASETS, response=UploadOut, errors=NOT_FOUND)
    def get(self, request: Request, tenant: str, dataset: str, id: int) -> Response:
        return self.shown(UploadOut, selectors.get_upload_of(self.found(tenant, dataset), id))


class UploadImport(_OfDataset):
    @operation(
        "import-upload",
        "Import an upload",
        tag=DATASETS,
        request=NewImport,
        response=UploadOut,
        status=202,
        errors=NOT_FOUND | CONFLICT,
        description="By a worker: ask for the upload again to see how far it is. Without `mapping` as it was guessed,"
        " unless that leaves out the expected answer, which examples of the dataset have.",
    )
    def post(self, request: Request, tenant: str, dataset: str, id: int) -> Response:
        upload = selectors.get_upload_of(self.found(tenant, dataset), id)
        started = services.start_import(actor=self.actor, upload=upload, **self.body(NewImport))
        return self.shown(UploadOut, started, 202)


class UploadCancelling(_OfDataset):
    @operation(
        "cancel-upload",
        "Cancel an upload",
        tag=DATASETS,
        response=UploadOut,
        errors=NOT_FOUND | CONFLICT,
        description="What was imported already stays.",
    )
    def post(self, request: Request, tenant: str, dataset: str, id: int) -> Response:
        upload = selectors.get_upload_of(self.found(tenant, dataset), id)
        return self.shown(UploadOut, services.cancel_upload(actor=self.actor, upload=upload))
