"""The types that many settings have, with their bounds. Bounds on durations keep out `nan` and `inf`."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

DAY_SECONDS = 86_400

Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=DAY_SECONDS)]
OptionalSeconds: TypeAlias = Annotated[float, Meta(ge=0, le=DAY_SECONDS)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]
Size: TypeAlias = Annotated[int, Meta(ge=1024, le=1 << 40)]
Tokens: TypeAlias = Annotated[int, Meta(ge=1, le=100_000_000)]
OverflowRule: TypeAlias = Literal["error", "trim", "signal"]
Dollars: TypeAlias = Annotated[float, Meta(ge=0, le=1_000_000)]
Name: TypeAlias = Annotated[str, Meta(min_length=1)]
Private: TypeAlias = Annotated[str, Meta(extra={"private": True})]
"""Text that may be a key, or that a key is put into by mistake: no message shows it."""
