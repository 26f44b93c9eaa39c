"""What evaluation tells whoever stands above it, after the commit.

``evaluation_finished`` (``evaluation``): a run is done, cancelled or failed. A worker that is killed between the commit
and the telling tells nobody: who must not miss one looks, now and then, for runs that ended.
"""

from __future__ import annotations

from django.dispatch import Signal

evaluation_finished = Signal()
