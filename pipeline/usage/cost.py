"""What an answer cost, for models whose price is known."""

from typing import TypedDict

from pipeline.events import UsageReport
from pipeline.models import Price

PER_MILLION = 1_000_000


class Pricing(TypedDict):
    """US dollars per million tokens."""

    input_per_million: float
    output_per_million: float


class Cost(TypedDict):
    """The `cost` block of a usage object, in US dollars; `estimated` when the token counts are."""

    currency: str
    estimated: bool
    input_usd: float
    output_usd: float
    total_usd: float
    pricing: Pricing


def cost_of(usage: UsageReport, price: Price) -> Cost:
    """The cost of a usage at a price."""
    paid_in = usage.prompt_tokens * price.input_usd / PER_MILLION
    paid_out = usage.completion_tokens * price.output_usd / PER_MILLION
    return {
        "currency": "USD",
        "estimated": usage.estimated,
        "input_usd": round(paid_in, 8),
        "output_usd": round(paid_out, 8),
        "total_usd": round(paid_in + paid_out, 8),
        "pricing": {"input_per_million": price.input_usd, "output_per_million": price.output_usd},
    }
