"""The loop of one worker at one run. Several may work on a run; each holds its own items by leases."""

from __future__ import annotations

import secrets
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.evaluation.models import Evaluation, EvaluationMetric
from apps.evaluation.running import stopping, store, summaries
from apps.evaluation.running.gateway import Gateway, Pace, Token
from apps.evaluation.running.scoring import Metric, Result, Work, perform
from apps.evaluation.running.subjects import Subject
from apps.evaluation.scorers import registry
from apps.evaluation.signals import evaluation_finished
from apps.evaluation.types import ItemStatus, RunStatus
from apps.tenants.errors import DomainError

GROUP: Final = 50  # results that are written together
GROUP_SECONDS: Final = 0.2  # or what there is after so long
CLAIMED_PER_CALL: Final = 4  # items that are held for each call in flight
SLICE_SECONDS: Final = 60.0  # then other work of the worker's has its turn
STOP_RULE_EVERY: Final = 50  # items, or a twentieth of them: it reads all scores

log = structlog.get_logger(__name__)


class Outcome(StrEnum):
    """How a worker left a run."""

    ENDED = "ended"  # it is done, paused or cancelled, or there was nothing to do
    WAITING = "waiting"  # other workers hold what is left
    MORE = "more"  # its time was up


@dataclass(slots=True)
class Worker:
    """``spent`` is the run's, by all of its workers; between looks at the row only its own results are added."""

    run: Evaluation
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    _claimed: deque[Work] = field(default_factory=deque)
    _results: list[Result] = field(default_factory=list)
    _in_flight: dict[Future[Result], Work] = field(default_factory=dict)
    _pace: Pace = field(init=False)
    _subject: Subject = field(init=False)
    _metrics: list[Metric] = field(init=False)
    _done: int = 0
    _spent: int = 0
    _called: int = 0  # its own results that cost something, and what they cost
    _paid: int = 0
    _halted: str = ""
    _written_at: float = 0.0
    _beat_at: float = 0.0
    _asked_at: int = 0

    def work(self, seconds: float = SLICE_SECONDS) -> Outcome:
        """Until the run ends, others hold the rest of it, or ``seconds`` are over."""
        run = self.run
        if not store.begin(run):
            return Outcome.ENDED
        try:
            self._subject = Subject.of(run)
            self._metrics = load_metrics(run)
        except DomainError as error:
            end(run, RunStatus.FAILED, str(error))
            return Outcome.ENDED
        store.make_items(run)
        self._spent = store.spent(run)
        self._pace = Pace(run.concurrency)
        token = Token(run.project, user=run.created_by, api_key=run.api_key, purpose=f"evaluation {run.public_id}")
        gateway = Gateway(settings.GATEWAY_URL, token, self._pace)
        try:
            with ThreadPoolExecutor(run.concurrency, thread_name_prefix="evaluation") as pool:
                try:
                    return self._loop(pool, gateway, time.monotonic() + seconds)
                finally:
                    self._pace.stop()
        finally:
            gateway.close()
            store.release(run, self.name)

    def _loop(self, pool: ThreadPoolExecutor, gateway: Gateway, until: float) -> Outcome:
        self._written_at = self._beat_at = time.monotonic()
        more, goes_on = True, True
        while True:
            timely = time.monotonic() < until
            calls = timely and goes_on and not self._halted
            if calls and more and len(self._claimed) < self.run.concurrency:
                more = self._claim()
            if calls:
                self._submit(pool, gateway)
            if not self._in_flight:
                self._write()
                exhausted = not more and not self._claimed
                if not calls or exhausted or not self._affordable():
                    return self._leave(goes_on=goes_on, timely=timely, exhausted=exhausted)
                continue
            finished, _ = wait(self._in_flight, timeout=GROUP_SECONDS, return_when=FIRST_COMPLETED)
            for future in finished:
                self._take(future)
            if not timely or not goes_on or self._halted:
                self._pace.stop()  # whoever waits for a limit gives its item back
            self._write_in_groups()
            goes_on = self._beat(goes_on)
            if goes_on and self._is_enough():
                more = False

    def _claim(self) -> bool:
        """Whether there may be more."""
        most = self.run.concurrency * CLAIMED_PER_CALL
        items = store.claim(self.run, self.name, most)
        self._claimed.extend(store.prepare(self.run, self._subject, self._metrics, items))
        return len(items) == most

    def _submit(self, pool: ThreadPoolExecutor, gateway: Gateway) -> None:
        while self._claimed and len(self._in_flight) < self._pace.allowed and self._affordable():
            work = self._claimed.popleft()
            self._in_flight[pool.submit(perform, work, gateway, self._subject)] = work

    def _affordable(self) -> bool:
        """Whether one more call fits: what is in flight counts as the average of those before, or the estimate."""
        budget = self.run.budget_picousd
        if budget is None:
            return True
        if not self._called and not self._in_flight:
            return self._spent < budget  # one call tells more than any estimate
        each = (self.run.estimate_picousd or 0) / max(self.run.items_total, 1)
        if self._called:
            each = self._paid / self._called
        return self._spent + each * (len(self._in_flight) + 1) <= budget

    def _take(self, future: Future[Result]) -> None:
        del self._in_flight[future]
        result = future.result()
        if result.halted and not self._halted:
            self._halted = result.halted
        if result.cost_picousd:
            self._spent += result.cost_picousd
            self._paid += result.cost_picousd
            self._called += 1
        self._results.append(result)

    def _write_in_groups(self) -> None:
        if len(self._results) >= GROUP or (self._results and time.monotonic() - self._written_at >= GROUP_SECONDS):
            self._write()

    def _write(self) -> None:
        self._written_at = time.monotonic()
        if self._results:
            self._done += store.write(self.run, self.name, self._results)
            self._results = []
            if self.run.budget_picousd is not None:
                self._spent = store.spent(self.run)  # others spend of it, too

    def _beat(self, goes_on: bool) -> bool:
        now = time.monotonic()
        if now - self._beat_at < min(1.0, settings.EVALUATION_LEASE_SECONDS / 4):
            return goes_on
        self._beat_at = now
        # Once told to stop it stops: its calls were, and a run that goes on again has sent for another worker.
        return store.beat(self.run, self.name, self._pace.trouble) and goes_on

    def _is_enough(self) -> bool:
        """Whether a gate has seen enough; then what nobody holds is skipped."""
        if self._done - self._asked_at < max(STOP_RULE_EVERY, self.run.items_total // 20):
            return False
        self._asked_at = self._done
        why = stopping.enough(self.run)
        if not why:
            return False
        skipped = store.skip_rest(self.run)
        log.info("evaluation_stopped_early", evaluation=self.run.public_id, skipped=skipped, why=why)
        return True

    def _leave(self, *, goes_on: bool, timely: bool, exhausted: bool) -> Outcome:
        run = self.run
        store.release(run, self.name)
        if not goes_on:
            _summarise_cancelled(run)
            return Outcome.ENDED
        if self._halted:
            store.pause(run, self._halted)
            return Outcome.ENDED
        if not self._affordable():
            store.pause(run, "Its own budget is used up: raise it, and resume.")
            return Outcome.ENDED
        if exhausted and conclude(run):
            return Outcome.ENDED
        return Outcome.MORE if not timely else Outcome.WAITING


def load_metrics(run: Evaluation) -> list[Metric]:
    """Raises ``DomainError`` where a scorer is no longer to be had."""
    rows = EvaluationMetric.objects.unscoped(store.WHY).filter(evaluation=run)
    return [
        Metric(row.scorer_version_id, registry.make(row.scorer_version.scorer.kind, row.scorer_version.parameters))
        for row in rows.select_related("scorer_version__scorer")
    ]


def conclude(run: Evaluation) -> bool:
    """Whether the run has ended: all of its items have."""
    left = store.counts(run.pk)
    if left.get(ItemStatus.PENDING):
        return False
    failed = bool(left.get(ItemStatus.ERROR)) and not left.get(ItemStatus.DONE)
    why = ""
    if failed:
        first = store.items_of(run.pk).filter(status=ItemStatus.ERROR).order_by("position", "repetition").first()
        why = f"No example has an answer. The first one's error: {first.error if first else ''}"
    end(run, RunStatus.FAILED if failed else RunStatus.DONE, why)
    return True


@transaction.atomic
def _summarise_cancelled(run: Evaluation) -> None:
    """Calls that were in flight when it was cancelled have ended since, and count."""
    rows = Evaluation.objects.unscoped(store.WHY).select_for_update()
    row = rows.filter(pk=run.pk, status=RunStatus.CANCELLED).first()
    if row is not None:
        summaries.summarise(row)


@transaction.atomic
def end(run: Evaluation, status: str, why: str = "") -> None:
    """Once: with its summaries, in one transaction. Whoever comes second finds it ended."""
    row = Evaluation.objects.unscoped(store.WHY).select_for_update().filter(pk=run.pk, status=RunStatus.RUNNING).first()
    if row is None:
        return
    summaries.summarise(row)
    row.status, row.error, row.finished_at = status, why[:500], timezone.now()
    row.save(update_fields=["status", "error", "finished_at"])
    transaction.on_commit(lambda: evaluation_finished.send_robust(Evaluation, evaluation=row))
