"""What usage costs: exact integers of picodollars, one formula for the gateway and the drainer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

# What no provider charges for, a price per request included.
FREE_OPERATIONS: Final = frozenset({"count_tokens"})


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
    def cache_write_1h_picousd(self) -> int | None: ...
    @property
    def reasoning_picousd(self) -> int | None: ...
    @property
    def audio_input_picousd(self) -> int | None: ...
    @property
    def audio_output_picousd(self) -> int | None: ...
    @property
    def image_input_picousd(self) -> int | None: ...
    @property
    def image_output_picousd(self) -> int | None: ...
    @property
    def unit_picousd(self) -> int: ...
    @property
    def request_picousd(self) -> int: ...


class UsageCounts(Protocol):
    """As in ``apps.models.providers.base.Usage``: parts of input, parts of output, and units."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def cache_write_tokens(self) -> int: ...
    @property
    def cache_write_1h_tokens(self) -> int: ...
    @property
    def reasoning_tokens(self) -> int: ...
    @property
    def audio_input_tokens(self) -> int: ...
    @property
    def audio_output_tokens(self) -> int: ...
    @property
    def image_input_tokens(self) -> int: ...
    @property
    def image_output_tokens(self) -> int: ...
    @property
    def units(self) -> int: ...


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """Picodollars per token of each kind, per unit and per request; the fallbacks of empty rates are resolved."""

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int = 0
    unit: int = 0
    request: int = 0

    @classmethod
    def of(cls, price: PriceRow) -> PriceTerms:
        def rate(special: int | None, general: int) -> int:
            return general if special is None else special

        cache_write = rate(price.cache_write_picousd, price.input_picousd)
        return cls(
            input=price.input_picousd,
            output=price.output_picousd,
            cached=rate(price.cached_input_picousd, price.input_picousd),
            cache_write=cache_write,
            cache_write_1h=rate(price.cache_write_1h_picousd, cache_write),
            reasoning=rate(price.reasoning_picousd, price.output_picousd),
            audio_input=rate(price.audio_input_picousd, price.input_picousd),
            audio_output=rate(price.audio_output_picousd, price.output_picousd),
            image_input=rate(price.image_input_picousd, price.input_picousd),
            image_output=rate(price.image_output_picousd, price.output_picousd),
            unit=price.unit_picousd,
            request=price.request_picousd,
        )

    @property
    def dearest_input(self) -> int:
        return max(self.input, self.cached, self.cache_write, self.cache_write_1h, self.audio_input, self.image_input)

    @property
    def dearest_output(self) -> int:
        return max(self.output, self.reasoning, self.audio_output, self.image_output)

    def bound(self, input_tokens: int, output_tokens: int, units: int = 0) -> int:
        """The most that so many tokens can cost, of whatever kind they turn out to be, and so many units."""
        return (
            input_tokens * self.dearest_input + output_tokens * self.dearest_output + units * self.unit + self.request
        )


FREE = PriceTerms()

# The parts that a cost is the sum of: its name, how many, and the rate of each.
Part = tuple[str, int, int]


def parts(terms: PriceTerms, usage: UsageCounts) -> tuple[Part, ...]:
    """Each token in one part. A part larger than its whole (an upstream's slip) stands, and its whole is then empty."""
    of_input = usage.cached_tokens + usage.cache_write_tokens + usage.audio_input_tokens + usage.image_input_tokens
    of_output = usage.reasoning_tokens + usage.audio_output_tokens + usage.image_output_tokens
    return (
        ("Input", max(usage.input_tokens - of_input, 0), terms.input),
        ("Cached input", usage.cached_tokens, terms.cached),
        ("Cache writes", max(usage.cache_write_tokens - usage.cache_write_1h_tokens, 0), terms.cache_write),
        ("Cache writes for an hour", usage.cache_write_1h_tokens, terms.cache_write_1h),
        ("Sound in", usage.audio_input_tokens, terms.audio_input),
        ("Images in", usage.image_input_tokens, terms.image_input),
        ("Output", max(usage.output_tokens - of_output, 0), terms.output),
        ("Reasoning", usage.reasoning_tokens, terms.reasoning),
        ("Sound out", usage.audio_output_tokens, terms.audio_output),
        ("Images out", usage.image_output_tokens, terms.image_output),
    )


def cost_picousd(terms: PriceTerms, usage: UsageCounts) -> int:
    """The exact cost: the sum of the parts, the units and the request. Never below zero."""
    tokens = sum(count * rate for _, count, rate in parts(terms, usage))
    return tokens + usage.units * terms.unit + terms.request
