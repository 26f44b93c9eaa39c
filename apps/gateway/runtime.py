"""What one gateway process holds: snapshot, counters, spool and upstream client; and how it starts and ends."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any

import structlog
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection

from apps.gateway import database, metrics
from apps.gateway.auth import check_still
from apps.gateway.budget_seeds import read_spent
from apps.gateway.counters.base import Ask, Counters
from apps.gateway.counters.memory import MemoryCounters
from apps.gateway.ending import end
from apps.gateway.errors import GatewayError, Unavailable
from apps.gateway.ledger.errors import SpoolError
from apps.gateway.ledger.progress import ProgressTable
from apps.gateway.ledger.spool import Spool
from apps.gateway.overload import LoadShedder
from apps.gateway.routing.health import Health
from apps.gateway.routing.health_keeper import HealthKeeper
from apps.gateway.routing.plans import Plan
from apps.gateway.routing.shared_health import make_board
from apps.gateway.signing_keys import IssuerKeys
from apps.gateway.snapshot import Principal, Snapshot
from apps.gateway.snapshot_loader import load_snapshot
from apps.gateway.snapshot_prompts import PromptFacts, VersionFacts, pinned_version, read_version
from apps.gateway.upstream import UpstreamClient, Watch
from apps.models.cloud_credentials import CLOUD
from apps.models.providers.adapters import make_adapters
from apps.models.providers.sandbox import SandboxTransport
from apps.tenants.control_plane import control_plane_version

log = structlog.get_logger(__name__)

# A change of the control plane, a revocation above all, is in force within a second: polled at this pace, read anew in
# well under the rest. See docs/decisions.md for why it is a poll on both profiles.
POLL_SECONDS = 0.3
MAX_BACKOFF_SECONDS = 5.0
# Failing over may add this share to the upstreams' load, and this many attempts at once.
RETRY_SHARE = 0.2
RETRY_BURST = 10.0
# Mirrored requests that run at once; beyond them a shadow sees less of the traffic, and nobody waits.
MOST_SHADOWS = 32
# A caller that is refused hundreds of times a second must not fill the database with its refusals.
DENIALS_LOGGED_PER_SECOND = 50.0
# Settlements that a failing disk did not take wait here for it; each has its intent in the spool, so a crash meanwhile
# still leaves an interrupted record.
MAX_WAITING = 100_000
SEED_WAIT_SECONDS = 3.0
ACCESS_SECONDS = 1.0


class TokenBucket:
    """``take`` answers whether one more is allowed: ``rate`` a second, ``burst`` at once."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = self._left = burst
        self._at = time.monotonic()

    def put(self, amount: float) -> None:
        self._left = min(self._burst, self._left + amount)

    def take(self) -> bool:
        if self._rate:
            now = time.monotonic()
            self.put((now - self._at) * self._rate)
            self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


def _make_counters() -> Counters:
    if not settings.REDIS_URL:
        return MemoryCounters()
    # The Redis client is not loaded where it is not used.
    from apps.gateway.counters.degraded import FallbackCounters
    from apps.gateway.counters.redis import RedisCounters

    return FallbackCounters(
        RedisCounters(settings.REDIS_URL),
        policy="lease" if settings.COUNTERS_ON_FAILURE == "lease" else "refuse",
        share=settings.COUNTERS_LEASE_SHARE,
    )


class Runtime:
    """One per process, made when the server starts (``start``) and ended when it has drained (``stop``)."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self.counters = _make_counters()
        self.spool = Spool(settings.SPOOL_DIR, max_bytes=settings.SPOOL_MAX_BYTES)
        self.progress: ProgressTable
        self.client: UpstreamClient
        self.adapters = make_adapters()
        self.signing_keys = IssuerKeys(settings.OIDC_ISSUER, settings.OIDC_AUDIENCE)
        self.health = Health(failures=settings.BREAKER_FAILURES, seconds=settings.BREAKER_SECONDS)
        self._keeper = HealthKeeper(self.health, make_board())
        self.load = LoadShedder(max_in_flight=settings.GATEWAY_MAX_IN_FLIGHT)
        self.draining = False
        self._seen_at = time.monotonic()
        metrics.snapshot_age.set_function(lambda: time.monotonic() - self._seen_at)
        self._stopping = threading.Event()
        self._refresher: threading.Thread | None = None
        self._credentials = 0  # the generation of what AWS keeps that the snapshot was read with
        self._retries = TokenBucket(rate=0.0, burst=RETRY_BURST)
        self._denials = TokenBucket(rate=DENIALS_LOGGED_PER_SECOND, burst=DENIALS_LOGGED_PER_SECOND)
        self._waiting: deque[bytes] = deque()
        self._seeding = asyncio.Lock()
        self._seeded = False
        self._tasks: list[asyncio.Task[None]] = []
        self._shadows: set[asyncio.Task[None]] = set()
        self.streams: dict[Watch, Principal] = {}  # those under way, and whose they are

    @property
    def snapshot(self) -> Snapshot:
        """The control plane as last seen. Raises ``Unavailable`` before it was ever seen."""
        if self._snapshot is None:
            raise Unavailable("Lobby is starting and does not know its keys yet.", retry_after=1.0)
        return self._snapshot

    # Start and stop.

    async def start(self) -> None:
        """Open the spool, read the control plane. With the database down it starts, and is not ready."""
        self.spool.open()
        self.progress = ProgressTable(settings.SPOOL_DIR, self.spool.writer)
        self.client = UpstreamClient(SandboxTransport())
        await sync_to_async(self._refresh, thread_sensitive=False)()
        threading.Thread(target=self._keep_credentials, name="cloud-credentials", daemon=True).start()
        self._refresher = threading.Thread(target=self._keep_fresh, name="control-plane", daemon=True)
        self._refresher.start()
        if settings.OIDC_ISSUER:
            threading.Thread(target=self._keep_keys, name="signing-keys", daemon=True).start()
        self._tasks = [
            asyncio.create_task(self.load.watch()),
            asyncio.create_task(self._retry_settlements()),
            asyncio.create_task(self._end_streams()),
            asyncio.create_task(self._keeper.run(lambda: self._snapshot)),
        ]

    async def stop(self) -> None:
        """After the last request: release everything."""
        self.draining = True
        self._stopping.set()
        await end([*self._tasks, *self._shadows])
        closing = (self.client.aclose(), self.counters.aclose(), self._keeper.aclose())
        for failure in await asyncio.gather(*closing, return_exceptions=True):
            if failure is not None:  # Redis is away: what the disk has yet to get comes all the same
                log.warning("not_closed", error=repr(failure))
        self._record_waiting()
        self.progress.close()
        self.spool.close()
        if self._refresher is not None:
            await asyncio.to_thread(self._refresher.join, 2.0)

    def readiness(self) -> dict[str, bool]:
        """What must be true to be sent requests, each by its name."""
        return {
            "control_plane_known": self._snapshot is not None,
            "ledger_writable": not self._waiting,
            "not_draining": not self.draining,
        }

    # The snapshot.

    def _keep_keys(self) -> None:
        """Apart from the control plane: a provider that hangs must not delay a revocation."""
        while True:
            self.signing_keys.refresh()
            if self._stopping.wait(1.0):
                return

    def _keep_credentials(self) -> None:
        """What AWS keeps. Apart from the control plane, for the same reason."""
        while True:
            try:
                CLOUD.refresh()
            except Exception:
                log.exception("credentials_unreadable")
            if self._stopping.wait(POLL_SECONDS if CLOUD.unread else 1.0):
                return

    def _keep_fresh(self) -> None:
        wait = POLL_SECONDS
        while not self._stopping.wait(wait):
            try:
                seen = self._refresh()
            except Exception:
                # A row that cannot be read must not end the thread: no revocation would be heard of any more.
                log.exception("control_plane_unreadable")
                seen = False
            wait = POLL_SECONDS if seen else min(wait * 2, MAX_BACKOFF_SECONDS)

    def _refresh(self) -> bool:
        """Read the control plane anew if it has changed. On failure the last picture goes on serving."""
        try:
            close_old_connections()
            credentials = CLOUD.generation
            if (
                self._snapshot is None
                or control_plane_version() != self._snapshot.version
                or credentials != self._credentials
            ):
                self._snapshot = load_snapshot()
                self._credentials = credentials
            self._seen_at = time.monotonic()
        except DatabaseError as error:
            log.warning("control_plane_unreachable", error=type(error).__name__)
            with contextlib.suppress(DatabaseError):
                connection.close()
            return False
        return True

    async def _end_streams(self) -> None:
        """Those whose callers may not call any more, within a second or so of its being known here."""
        while True:
            await asyncio.sleep(ACCESS_SECONDS)
            now = time.time()
            for watch, principal in tuple(self.streams.items()):
                try:
                    check_still(principal, self.snapshot, now)
                except GatewayError as refusal:
                    watch.access_ended(refusal)

    # Counters.

    async def seed_budgets(self, plan: Plan, keys: tuple[str, ...]) -> None:
        """Tell the counters what the ledger says was spent. Raises ``Unavailable`` while the ledger cannot be read."""
        now = time.time()
        try:
            # One at a time: of many requests that find a budget unknown, the first one reads.
            async with asyncio.timeout(database.PATIENCE_SECONDS), self._seeding:
                known = await self.counters.spent(keys)
                windows = {budget.window(now).key: budget for budget in plan.budgets}
                wanted = [budget for key, budget in windows.items() if key in keys and key not in known]
                # What the process before this one left is waited for once.
                wait = 0.0 if self._seeded else SEED_WAIT_SECONDS
                spent = await database.ask(read_spent, wanted, now, settings.SPOOL_DIR, wait)
                self._seeded = True
                await self.counters.seed(spent)
        except (database.DatabaseAway, TimeoutError):
            raise Unavailable(
                "What was spent so far cannot be read right now. Try again in a moment.", retry_after=2.0
            ) from None

    async def pinned_version(self, prompt: PromptFacts, number: int) -> VersionFacts | None:
        """A version that no label points to: read once, then kept. Raises ``Unavailable``."""
        known = pinned_version(prompt.id, number)
        if known is not None:
            return known
        try:
            return await database.ask(read_version, prompt.id, number)
        except database.DatabaseAway:
            raise Unavailable(
                "The prompt's version cannot be read right now. Try again in a moment.", retry_after=2.0
            ) from None

    async def settle_counters(self, ask: Ask, *, tokens: int, cost: int) -> None:
        """The lease expires by itself, so counters that are away cost a late correction, not a wrong ledger."""
        now = time.time()
        try:
            await self.counters.settle(ask, tokens=tokens, cost=cost, now=now)
        except asyncio.CancelledError:
            # The server stops. It may have been heard or not; what is said twice books once.
            await self.counters.settle(ask, tokens=tokens, cost=cost, now=now)
            raise

    def may_retry(self) -> bool:
        return self._retries.take()

    def may_mirror(self) -> bool:
        return len(self._shadows) < MOST_SHADOWS and not self.draining

    def mirror(self, serving: Coroutine[Any, Any, None]) -> None:
        """Serve a shadow's request beside the others."""
        task = asyncio.create_task(serving)
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)

    def count_request(self) -> None:
        self._retries.put(RETRY_SHARE)

    def may_log_denial(self) -> bool:
        return self._denials.take()

    # The spool.

    def record(self, lines: bytes) -> None:
        """Write lines about what was already done. What the disk does not take waits, and readiness goes off."""
        if not self._waiting:
            try:
                self.spool.append_settled(lines)
            except SpoolError as error:
                log.error("settlement_waits", error=str(error))
            else:
                return
        if len(self._waiting) >= MAX_WAITING:
            log.error("settlement_left_to_recovery", waiting=len(self._waiting))
            return
        self._waiting.append(lines)
        metrics.settlements_waiting.set(len(self._waiting))

    async def _retry_settlements(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._record_waiting()

    def _record_waiting(self) -> None:
        while self._waiting:
            try:
                self.spool.append_settled(self._waiting[0])
            except SpoolError:
                break
            self._waiting.popleft()
        metrics.settlements_waiting.set(len(self._waiting))
