"""What can be done to datasets and what stands around them.

Every function takes ``actor`` and only keyword arguments, checks what the actor may do, validates, writes narrowly and
records the act in the audit trail, all in one transaction. They raise ``DomainError``s.
"""

from apps.evaluation.services.inbox import offer_to_inbox

__all__ = ["offer_to_inbox"]
