"""How far apart the starts of a program are that keeps ending."""

import msgspec


class Backoff(msgspec.Struct, frozen=True):
    """How long, in seconds, after the end of a bridge the next is started, and how far apart starts are at least."""

    first_seconds: float = 0.5
    most_seconds: float = 30.0
    healthy_seconds: float = 60.0
    apart_seconds: float = 1.0

    def after(self, failures: int) -> float:
        """The pause behind so many starts in a row that came to nothing, or to little.

        >>> [Backoff().after(failures) for failures in (1, 2, 6, 7, 10_000)]
        [0.5, 1.0, 16.0, 30.0, 30.0]
        """
        return min(self.most_seconds, self.first_seconds * 2.0 ** min(failures - 1, 60))
