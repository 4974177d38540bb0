"""What an answer costs, and where prices come from."""

from datetime import UTC, datetime

from pipeline.events import UsageReport
from pipeline.models import MODELS, PRICE_ROWS, PRICES, Price
from pipeline.usage.cost import cost_of


def test_tokens_times_price():
    cost = cost_of(UsageReport(prompt_tokens=1_000_000, completion_tokens=20), Price(input_usd=0.5, output_usd=2.5))
    assert cost == {
        "currency": "USD",
        "estimated": True,
        "input_usd": 0.5,
        "output_usd": 0.00005,
        "total_usd": 0.50005,
        "pricing": {"input_per_million": 0.5, "output_per_million": 2.5},
    }


def test_the_cost_of_measured_tokens_is_not_estimated():
    assert cost_of(UsageReport(1, 1, estimated=False), Price(1, 1))["estimated"] is False


def test_every_price_has_a_source_and_a_day_and_is_of_a_model():
    for row in PRICE_ROWS:
        assert row.model in MODELS
        assert MODELS[row.model].price == PRICES[row.model] == Price(row.input_usd, row.output_usd)
        assert row.source.startswith("https://")
        assert row.date <= datetime.now(UTC).date()
        assert 0 < row.input_usd <= row.output_usd
    assert len(PRICES) == len(PRICE_ROWS) > 0
