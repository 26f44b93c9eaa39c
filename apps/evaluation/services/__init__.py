"""What can be done to datasets and what stands around them.

Every function takes ``actor`` and only keyword arguments, checks what the actor may do, validates, writes narrowly and
records the act in the audit trail, all in one transaction. They raise ``DomainError``s.
"""

from apps.evaluation.services.datasets import (
    archive_dataset,
    create_dataset,
    delete_dataset,
    restore_dataset,
    update_dataset,
)
from apps.evaluation.services.examples import add_example, edit_example, remove_example, restore_example
from apps.evaluation.services.inbox import (
    accept_items,
    correct_item,
    dismiss_items,
    offer_failed_requests,
    offer_failing_samples,
    offer_to_inbox,
    reopen_items,
)
from apps.evaluation.services.uploads import Receiving, begin_upload, cancel_upload, start_import
from apps.evaluation.services.versions import Frozen, freeze_version, sign_off

__all__ = [
    "Frozen",
    "Receiving",
    "accept_items",
    "add_example",
    "archive_dataset",
    "begin_upload",
    "cancel_upload",
    "correct_item",
    "create_dataset",
    "delete_dataset",
    "dismiss_items",
    "edit_example",
    "freeze_version",
    "offer_failed_requests",
    "offer_failing_samples",
    "offer_to_inbox",
    "remove_example",
    "reopen_items",
    "restore_dataset",
    "restore_example",
    "sign_off",
    "start_import",
    "update_dataset",
]
