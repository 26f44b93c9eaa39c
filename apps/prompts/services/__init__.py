"""What can be done to prompts, their versions, releases and publications.

Every function takes ``actor`` and only keyword arguments, checks what the actor may do, validates, writes narrowly,
records the act in the audit trail and tells the gateway, all in one transaction. They raise ``DomainError``s.
"""

from apps.prompts.services.prompts import archive_prompt, create_prompt, restore_prompt, update_prompt
from apps.prompts.services.releases import release_decided, release_versions, roll_back, withdraw_label
from apps.prompts.services.sharing import fork_version, publish_version, withdraw_publication
from apps.prompts.services.versions import Saved, save_version

__all__ = [
    "Saved",
    "archive_prompt",
    "create_prompt",
    "fork_version",
    "publish_version",
    "release_decided",
    "release_versions",
    "restore_prompt",
    "roll_back",
    "save_version",
    "update_prompt",
    "withdraw_label",
    "withdraw_publication",
]
