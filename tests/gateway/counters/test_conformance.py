"""What every backend of the counters promises."""

from __future__ import annotations

import asyncio

import pytest

from apps.gateway.counters.base import SLICES, Admitted, Denied, Limit, Unseeded
from tests.gateway.counters.conftest import Desk

PER_MINUTE = Limit("key:1:requests", "requests", 3)
TOKENS = Limit("key:1:tokens", "tokens", 100)
PARALLEL = Limit("key:1:concurrency", "concurrency", 4, 0)


async def test_the_first_request_is_never_refused(desk: Desk) -> None:
    budget = await desk.seeded("tenant:1:2027-01", 1_000)
    ask = desk.ask(Limit("a", "requests", 1), TOKENS, PARALLEL, budgets=(budget,), tokens=100, cost=1_000)
    assert (await desk.admitted(ask)).tokens == 100


async def test_requests_of_a_window_are_counted_and_come_back_after_it(desk: Desk) -> None:
    for left in (2, 1, 0):
        (remaining,) = (await desk.admitted(desk.ask(PER_MINUTE))).remaining
        assert (remaining.limit, remaining.left) == (PER_MINUTE, left)
        assert 60 <= remaining.reset_after <= 60 + 60 / SLICES
    denial = await desk.denied(desk.ask(PER_MINUTE))
    assert (denial.key, denial.left, denial.too_large) == ("key:1:requests", 0, False)
    assert 60 <= denial.retry_after <= 60 + 60 / SLICES + 0.01

    desk.now += denial.retry_after - 0.1
    await desk.denied(desk.ask(PER_MINUTE))
    desk.now += 0.1
    assert (await desk.admitted(desk.ask(PER_MINUTE))).remaining[0].left == 2


async def test_retry_after_counts_only_what_has_to_leave(desk: Desk) -> None:
    await desk.admitted(desk.ask(TOKENS, tokens=60))
    desk.now += 30
    await desk.admitted(desk.ask(TOKENS, tokens=40))
    denial = await desk.denied(desk.ask(TOKENS, tokens=50))
    assert 30 <= denial.retry_after <= 35.01  # the 60 leave, the 40 may stay
    later = await desk.denied(desk.ask(TOKENS, tokens=70))
    assert 60 <= later.retry_after <= 65.01
    desk.now += denial.retry_after
    await desk.admitted(desk.ask(TOKENS, tokens=50))


async def test_663_tokens_never_pass_a_limit_of_100_a_minute(desk: Desk) -> None:
    granted = 0
    for _ in range(663):
        if isinstance(await desk.admit(desk.ask(TOKENS, tokens=1)), Admitted):
            granted += 1
    assert granted == 100

    whole = await desk.denied(desk.ask(Limit("key:2:tokens", "tokens", 100), tokens=663))
    assert whole.too_large
    assert whole.left == 100


async def test_663_tokens_asked_at_once_never_pass_a_limit_of_100_a_minute(desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.admit(desk.ask(TOKENS, tokens=13)) for _ in range(51)))
    granted = [answer.tokens for answer in answers if isinstance(answer, Admitted)]
    assert sum(granted) == 7 * 13


async def test_an_elastic_ask_takes_what_is_left_of_a_token_limit(desk: Desk) -> None:
    await desk.admitted(desk.ask(TOKENS, tokens=70))
    answer = await desk.admitted(desk.ask(TOKENS, tokens=4_096, minimum_tokens=20))
    assert (answer.tokens, answer.remaining[0].left) == (30, 0)
    assert (await desk.denied(desk.ask(TOKENS, tokens=4_096, minimum_tokens=20))).left == 0


async def test_an_elastic_ask_is_refused_below_its_minimum(desk: Desk) -> None:
    await desk.admitted(desk.ask(TOKENS, tokens=90))
    denial = await desk.denied(desk.ask(TOKENS, tokens=4_096, minimum_tokens=11))
    assert (denial.left, denial.too_large) == (10, False)
    assert (await desk.admitted(desk.ask(TOKENS, tokens=4_096, minimum_tokens=10))).tokens == 10


async def test_an_elastic_grant_is_the_smallest_over_all_limits_and_holds_its_own_cost(desk: Desk) -> None:
    budget = await desk.seeded("b", 1_000_000)
    wide = Limit("tenant:1:tokens", "tokens", 500)
    ask = desk.ask(wide, TOKENS, budgets=(budget,), tokens=1_000, minimum_tokens=1, cost=10_000, token_cost=9)
    answer = await desk.admitted(ask)
    assert answer.tokens == 100
    assert [remaining.left for remaining in answer.remaining] == [400, 0]
    assert await desk.spent("b") == (0, 10_000 - 900 * 9)


async def test_an_elastic_ask_takes_what_a_hard_budget_can_still_pay(desk: Desk) -> None:
    first, second = await desk.seeded("b", 1_000), await desk.seeded("c", 500, spent=100)
    # 50 for the input, 10 for each of 200 tokens: 400 are left, which is 35 tokens.
    ask = desk.ask(TOKENS, budgets=(first, second), tokens=200, minimum_tokens=5, cost=2_050, token_cost=10)
    answer = await desk.admitted(ask)
    assert (answer.tokens, answer.remaining[0].left) == (35, 65)
    assert await desk.spent("b") == (0, 400)
    assert await desk.spent("c") == (100, 400)
    again = desk.ask(TOKENS, budgets=(first, second), tokens=200, minimum_tokens=5, cost=2_050, token_cost=10)
    assert (await desk.denied(again)).key == "c"


async def test_a_token_that_does_not_divide_the_rest_of_a_budget_is_not_granted(desk: Desk) -> None:
    budget = await desk.seeded("b", 99)
    answer = await desk.admitted(desk.ask(budgets=(budget,), tokens=100, minimum_tokens=1, cost=700, token_cost=7))
    assert answer.tokens == 14
    assert await desk.spent("b") == (0, 98)


async def test_settling_gives_back_what_was_not_used(desk: Desk) -> None:
    budget = await desk.seeded("b", 1_000)
    ask = desk.ask(TOKENS, PARALLEL, budgets=(budget,), tokens=80, cost=800)
    await desk.admitted(ask)
    assert await desk.spent("b") == (0, 800)
    await desk.settle(ask, tokens=10, cost=100)
    assert await desk.spent("b") == (100, 0)
    answer = await desk.admitted(desk.ask(TOKENS, PARALLEL, tokens=90))
    assert [remaining.left for remaining in answer.remaining] == [0, 3]


async def test_unused_tokens_are_given_back_to_the_slice_they_were_taken_from(desk: Desk) -> None:
    ask = desk.ask(TOKENS, tokens=80)
    await desk.admitted(ask)
    desk.now += 50
    await desk.admitted(desk.ask(TOKENS, tokens=20))
    await desk.settle(ask, tokens=10)
    assert (await desk.admitted(desk.ask(TOKENS, tokens=70))).remaining[0].left == 0
    desk.now += 15.01  # the first slice is gone with its 10, the 90 of the later one are not
    assert (await desk.denied(desk.ask(TOKENS, tokens=11))).left == 10


async def test_tokens_given_back_after_their_slice_left_change_nothing(desk: Desk) -> None:
    ask = desk.ask(TOKENS, tokens=80)
    await desk.admitted(ask)
    desk.now += 70
    await desk.admitted(desk.ask(TOKENS, tokens=100))
    await desk.settle(ask, tokens=0)
    await desk.denied(desk.ask(TOKENS, tokens=1))


async def test_tokens_beyond_the_reservation_are_counted_now(desk: Desk) -> None:
    ask = desk.ask(TOKENS, tokens=10)
    await desk.admitted(ask)
    desk.now += 62
    await desk.settle(ask, tokens=130)
    denial = await desk.denied(desk.ask(TOKENS, tokens=1))
    assert denial.left == 0
    assert 60 <= denial.retry_after <= 65.01


async def test_an_overspent_budget_refuses_and_says_so_without_a_negative_rest(desk: Desk) -> None:
    budget = await desk.seeded("b", 1_000)
    ask = desk.ask(budgets=(budget,), cost=1_000)
    await desk.admitted(ask)
    await desk.settle(ask, cost=1_500)
    assert await desk.spent("b") == (1_500, 0)
    denial = await desk.denied(desk.ask(budgets=(budget,), tokens=9, minimum_tokens=1, cost=9, token_cost=1))
    assert (denial.key, denial.left) == ("b", 0)
    assert denial.retry_after == pytest.approx(3_600)


async def test_a_request_that_costs_nothing_passes_a_spent_budget(desk: Desk) -> None:
    budget = await desk.seeded("b", 1_000, spent=5_000)
    await desk.admitted(desk.ask(budgets=(budget,), cost=0))


async def test_settling_twice_books_once(desk: Desk) -> None:
    budget = await desk.seeded("b", 1_000)
    ask = desk.ask(TOKENS, PARALLEL, budgets=(budget,), tokens=50, cost=500)
    other = desk.ask(TOKENS, PARALLEL, budgets=(budget,), tokens=50, cost=500)
    await desk.admitted(ask)
    await desk.admitted(other)
    for _ in range(3):
        await desk.settle(ask, tokens=20, cost=200)
    assert await desk.spent("b") == (200, 500)
    answer = await desk.admitted(desk.ask(TOKENS, PARALLEL, tokens=30))
    assert [remaining.left for remaining in answer.remaining] == [0, 2]


async def test_asking_twice_with_one_lease_takes_once(desk: Desk) -> None:
    budget = await desk.seeded("b", 500)
    ask = desk.ask(PER_MINUTE, TOKENS, PARALLEL, budgets=(budget,), tokens=100, cost=500)
    await desk.admitted(ask)
    answer = await desk.admitted(ask)
    assert answer.tokens == 100
    assert [remaining.left for remaining in answer.remaining] == [2, 0, 3]
    assert await desk.spent("b") == (0, 500)


async def test_200_concurrent_asks_against_a_budget_for_10_admit_exactly_10(desk: Desk) -> None:
    budget = await desk.seeded("b", 10 * 70 + 69)
    answers = await asyncio.gather(*(desk.admit(desk.ask(budgets=(budget,), cost=70)) for _ in range(200)))
    assert sum(isinstance(answer, Admitted) for answer in answers) == 10
    denials = [answer for answer in answers if isinstance(answer, Denied)]
    assert {denial.key for denial in denials} == {"b"}
    assert all(denial.left == 69 and 0 < denial.retry_after <= 1 for denial in denials)  # those in flight may give back
    assert await desk.spent("b") == (0, 700)


async def test_settled_and_held_never_exceed_a_hard_budget(desk: Desk) -> None:
    budget = await desk.seeded("b", 1_000)

    async def call(number: int) -> bool:
        ask = desk.ask(budgets=(budget,), cost=100)
        if not isinstance(await desk.admit(ask), Admitted):
            return False
        settled, held = await desk.spent("b")
        assert settled + held <= 1_000
        await desk.settle(ask, cost=40 + number % 60)
        return True

    while any(await asyncio.gather(*(call(number) for number in range(40)))):
        pass
    settled, held = await desk.spent("b")
    assert held == 0
    assert 900 < settled <= 1_000


async def test_budgets_of_millions_of_dollars_are_exact_to_the_picodollar(desk: Desk) -> None:
    amount = 2_000_000 * 10**12 + 1
    budget = await desk.seeded("b", amount, spent=amount - 3)
    denial = await desk.denied(desk.ask(budgets=(budget,), cost=4))
    assert denial.left == 3
    ask = desk.ask(budgets=(budget,), cost=3)
    await desk.admitted(ask)
    assert await desk.spent("b") == (amount - 3, 3)
    await desk.denied(desk.ask(budgets=(budget,), cost=1))
    await desk.settle(ask, cost=2)
    assert await desk.spent("b") == (amount - 1, 0)
    await desk.admitted(desk.ask(budgets=(budget,), cost=1))
    await desk.denied(desk.ask(budgets=(budget,), cost=1))


async def test_a_soft_budget_counts_and_never_refuses(desk: Desk) -> None:
    budget = await desk.seeded("b", 10, hard=False)
    for _ in range(3):
        ask = desk.ask(budgets=(budget,), cost=100)
        await desk.admitted(ask)
        await desk.settle(ask, cost=90)
    assert await desk.spent("b") == (270, 0)


async def test_a_spent_budget_says_when_its_period_ends(desk: Desk) -> None:
    budget = await desk.seeded("b", 1_000, spent=990)
    denial = await desk.denied(desk.ask(budgets=(budget,), cost=11))
    assert (denial.key, denial.left, denial.too_large) == ("b", 10, False)
    assert denial.retry_after == pytest.approx(3_600)
    assert (await desk.denied(desk.ask(budgets=(budget,), cost=1_001))).too_large


async def test_an_unknown_budget_asks_to_be_seeded_and_takes_nothing(desk: Desk) -> None:
    known, unknown, other = await desk.seeded("b", 100), desk.budget("c", 100), desk.budget("d", 100)
    ask = desk.ask(PARALLEL, budgets=(known, unknown, other), cost=10)
    assert await desk.admit(ask) == Unseeded(("c", "d"))
    assert await desk.spent("b") == (0, 0)
    await desk.counters.seed({"c": (95, unknown.ends_at), "d": (0, other.ends_at)})
    assert (await desk.denied(ask)).key == "c"
    assert (await desk.admitted(desk.ask(PARALLEL))).remaining[0].left == 3


async def test_seeding_leaves_a_known_budget_as_it_is(desk: Desk) -> None:
    budget = await desk.seeded("b", 1_000, spent=10)
    await desk.admitted(desk.ask(budgets=(budget,), cost=100))
    await desk.seeded("b", 1_000, spent=0)
    assert await desk.spent("b") == (10, 100)
    assert await desk.counters.spent(("b", "nobody")) == {"b": (10, 100)}


async def test_parallel_requests_never_exceed_the_concurrency_limit(desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.admit(desk.ask(PARALLEL, lease_seconds=1)) for _ in range(20)))
    assert sum(isinstance(answer, Admitted) for answer in answers) == 4
    desk.now += 2
    running = highest = served = 0

    async def call() -> None:
        nonlocal running, highest, served
        ask = desk.ask(PARALLEL)
        while True:
            answer = await desk.admit(ask)
            if isinstance(answer, Admitted):
                break
            assert isinstance(answer, Denied)
            assert 0 < answer.retry_after <= 1
            await asyncio.sleep(0)
        running += 1
        highest = max(highest, running)
        for _ in range(3):
            await asyncio.sleep(0)
        running -= 1
        served += 1
        await desk.settle(ask)

    await asyncio.gather(*(call() for _ in range(32)))
    assert highest <= 4
    assert served == 32


async def test_nothing_is_taken_anywhere_when_one_of_many_refuses(desk: Desk) -> None:
    budget, empty = await desk.seeded("b", 1_000), await desk.seeded("empty", 5)
    full = Limit("full", "requests", 1)
    await desk.admitted(desk.ask(full))
    refusing = [
        desk.ask(PER_MINUTE, TOKENS, PARALLEL, full, budgets=(budget,), tokens=50, cost=100),
        desk.ask(PER_MINUTE, TOKENS, PARALLEL, budgets=(budget, empty), tokens=50, cost=100),
        desk.ask(PER_MINUTE, TOKENS, PARALLEL, budgets=(budget,), tokens=101, cost=100),
    ]
    for ask, key in zip(refusing, ("full", "empty", "key:1:tokens"), strict=True):
        for _ in range(10):
            assert (await desk.denied(ask)).key == key
    answer = await desk.admitted(desk.ask(PER_MINUTE, TOKENS, PARALLEL, budgets=(budget,), tokens=100, cost=1_000))
    assert [remaining.left for remaining in answer.remaining] == [2, 0, 3]
    assert await desk.spent("empty") == (0, 0)


async def test_the_denial_names_what_refuses_for_longest(desk: Desk) -> None:
    minute, hour = Limit("minute", "requests", 1), Limit("hour", "requests", 1, 3_600)
    await desk.admitted(desk.ask(minute, hour))
    denial = await desk.denied(desk.ask(minute, hour))
    assert denial.key == "hour"
    assert denial.retry_after >= 3_600


async def test_one_key_with_two_windows_is_two_counters(desk: Desk) -> None:
    minute, hour = Limit("k", "tokens", 10), Limit("k", "tokens", 15, 3_600)
    await desk.admitted(desk.ask(minute, hour, tokens=10))
    desk.now += 66
    answer = await desk.admitted(desk.ask(minute, hour, tokens=5))
    assert [remaining.left for remaining in answer.remaining] == [5, 0]


async def test_a_changed_amount_keeps_what_was_counted(desk: Desk) -> None:
    await desk.admitted(desk.ask(Limit("k", "tokens", 100), tokens=60))
    assert (await desk.denied(desk.ask(Limit("k", "tokens", 50), tokens=1))).left == 0
    assert (await desk.admitted(desk.ask(Limit("k", "tokens", 200), tokens=100))).remaining[0].left == 40


async def test_an_orphan_lease_expires_and_gives_back_its_hold_and_its_place(desk: Desk) -> None:
    budget = await desk.seeded("b", 100)
    one = Limit("one", "concurrency", 1, 0)
    await desk.admitted(desk.ask(one, budgets=(budget,), cost=100, lease_seconds=30))
    desk.now += 29.9
    await desk.denied(desk.ask(one, budgets=(budget,), cost=100))
    desk.now += 0.2
    await desk.admitted(desk.ask(one, budgets=(budget,), cost=100))
    assert await desk.spent("b") == (0, 100)


async def test_a_settlement_after_the_expiry_books_once_and_releases_nothing_twice(desk: Desk) -> None:
    budget = await desk.seeded("b", 1_000)
    late = desk.ask(PARALLEL, budgets=(budget,), cost=100, lease_seconds=30)
    await desk.admitted(late)
    desk.now += 31
    await desk.admitted(desk.ask(PARALLEL, budgets=(budget,), cost=300))
    assert await desk.spent("b") == (0, 300)
    for _ in range(2):
        await desk.settle(late, cost=70)
    assert await desk.spent("b") == (70, 300)
    assert (await desk.admitted(desk.ask(PARALLEL))).remaining[0].left == 2


async def test_leases_of_different_lengths_expire_each_in_its_time(desk: Desk) -> None:
    budget = await desk.seeded("b", 1_000)
    for seconds in (300, 10, 100):
        await desk.admitted(desk.ask(PARALLEL, budgets=(budget,), cost=seconds, lease_seconds=seconds))
    for passed, held in ((11, 400), (90, 300), (200, 0)):
        desk.now += passed
        await desk.admitted(desk.ask(budgets=(budget,)))
        assert await desk.spent("b") == (0, held)


async def test_a_limit_of_nothing_refuses_everything(desk: Desk) -> None:
    for limit in (Limit("r", "requests", 0), Limit("t", "tokens", 0), Limit("c", "concurrency", 0, 0)):
        assert (await desk.denied(desk.ask(limit))).too_large


async def test_a_clock_that_goes_back_opens_no_window(desk: Desk) -> None:
    for _ in range(3):
        await desk.admitted(desk.ask(PER_MINUTE))
    desk.now -= 120
    await desk.denied(desk.ask(PER_MINUTE))
