"""What can be done to tenants, projects, members, users, keys, limits and budgets.

Every function takes ``actor`` first and only keyword arguments, checks what the actor may do, validates, writes
narrowly, records the act in the audit trail and tells the gateway, all in one transaction. They raise ``DomainError``s.
"""

from apps.tenants.services.api_keys import IssuedKey, create_api_key, revoke_api_key, rotate_api_key
from apps.tenants.services.budgets import delete_budget, set_budget, update_budget
from apps.tenants.services.limits import delete_rate_limit, set_rate_limit, update_rate_limit
from apps.tenants.services.members import add_member, change_member_role, invite_member, remove_member
from apps.tenants.services.projects import archive_project, create_project, restore_project, update_project
from apps.tenants.services.tenants import (
    create_tenant,
    offboard_tenant,
    reactivate_tenant,
    suspend_tenant,
    update_tenant,
)
from apps.tenants.services.users import (
    create_user,
    deactivate_user,
    invite_user,
    reactivate_user,
    set_password,
    set_platform_role,
    update_user,
)

__all__ = [
    "IssuedKey",
    "add_member",
    "archive_project",
    "change_member_role",
    "create_api_key",
    "create_project",
    "create_tenant",
    "create_user",
    "deactivate_user",
    "delete_budget",
    "delete_rate_limit",
    "invite_member",
    "invite_user",
    "offboard_tenant",
    "reactivate_tenant",
    "reactivate_user",
    "remove_member",
    "restore_project",
    "revoke_api_key",
    "rotate_api_key",
    "set_budget",
    "set_password",
    "set_platform_role",
    "set_rate_limit",
    "suspend_tenant",
    "update_budget",
    "update_project",
    "update_rate_limit",
    "update_tenant",
    "update_user",
]
