"""What usage costs: exact integers of picodollars, one formula for the gateway and the drainer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class PriceRow(Protocol):
    """The columns of a ``Price`` that the formula reads; an empty special rate falls back to its general one."""

    @property
    def input_picousd(self) -> int: ...
    @property
    def output_picousd(self) -> int: ...
    @property
    def cached_input_picousd(self) -> int | None: ...
    @property
    def cache_write_picousd(self) -> int | None: ...
    @property
    def reasoning_picousd(self) -> int | None: ...
    @property
    def request_picousd(self) -> int: ...


class TokenCounts(Protocol):
    """Cached and cache-write tokens are parts of input, reasoning tokens a part of output."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def cache_write_tokens(self) -> int: ...
    @property
    def reasoning_tokens(self) -> int: ...


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """Picodollars per token of each kind, and per request; the fallbacks of the price's empty rates are resolved."""

    input: int
    output: int
    cached: int
    cache_write: int
    reasoning: int
    request: int

    @classmethod
    def of(cls, price: PriceRow) -> PriceTerms:
        def rate(special: int | None, general: int) -> int:
            return general if special is None else special

        return cls(
            input=price.input_picousd,
            output=price.output_picousd,
            cached=rate(price.cached_input_picousd, price.input_picousd),
            cache_write=rate(price.cache_write_picousd, price.input_picousd),
            reasoning=rate(price.reasoning_picousd, price.output_picousd),
            request=price.request_picousd,
        )

    @property
    def dearest_input(self) -> int:
        return max(self.input, self.cached, self.cache_write)

    @property
    def dearest_output(self) -> int:
        return max(self.output, self.reasoning)

    def bound(self, input_tokens: int, output_tokens: int) -> int:
        """The most that so many tokens can cost, of whatever kind they turn out to be."""
        return input_tokens * self.dearest_input + output_tokens * self.dearest_output + self.request


FREE = PriceTerms(0, 0, 0, 0, 0, 0)


def cost_picousd(terms: PriceTerms, usage: TokenCounts) -> int:
    """The exact cost. A part larger than its whole (an upstream's slip) costs its own rate; never below zero."""
    plain_input = max(usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens, 0)
    plain_output = max(usage.output_tokens - usage.reasoning_tokens, 0)
    return (
        plain_input * terms.input
        + usage.cached_tokens * terms.cached
        + usage.cache_write_tokens * terms.cache_write
        + plain_output * terms.output
        + usage.reasoning_tokens * terms.reasoning
        + terms.request
    )
