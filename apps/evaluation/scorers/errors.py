"""What can go wrong when a scorer is chosen. (What goes wrong when it scores is a ``Failure`` of that score.)

DomainError (apps/tenants/errors.py)
 +- Invalid            422
     +- ScorerUnknown       no scorer of this name; or it is one that could not be loaded
     +- ParametersInvalid   ``field`` names the parameter
"""

from __future__ import annotations

from apps.tenants.errors import Invalid


class ScorerUnknown(Invalid):
    default_code = "scorer_unknown"


class ParametersInvalid(Invalid):
    default_code = "scorer_parameters_invalid"
