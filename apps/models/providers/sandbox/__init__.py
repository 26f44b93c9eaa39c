"""The sandbox: a deterministic generator inside the process that speaks OpenAI's dialect. See docs/sandbox.md."""

from apps.models.providers.sandbox.transport import SandboxTransport

__all__ = ["SandboxTransport"]
