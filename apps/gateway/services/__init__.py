"""What can be done to routes.

Every function takes ``actor`` and only keyword arguments, checks what the actor may do, validates, writes narrowly,
records the act in the audit trail and tells the gateway, all in one transaction. They raise ``DomainError``s.
"""

from apps.gateway.services.revisions import guard_route, put_in_force, put_in_force_decided
from apps.gateway.services.routes import (
    add_target,
    create_route,
    delete_route,
    remove_target,
    set_targets,
    update_route,
    update_target,
)
from apps.gateway.services.targets import TargetSpec

__all__ = [
    "TargetSpec",
    "add_target",
    "create_route",
    "delete_route",
    "guard_route",
    "put_in_force",
    "put_in_force_decided",
    "remove_target",
    "set_targets",
    "update_route",
    "update_target",
]
