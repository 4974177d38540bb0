"""What a conversation was changed in on its way into an upstream's form, each kind of change named once."""

from pipeline.events import Notice


class Changes:
    """The notices so far, and the names of the client's fields that have no place any more.

    >>> changes = Changes()
    >>> changes.note("arguments_repaired", "two of them"), changes.note("arguments_repaired", "two of them"), len(changes.notices)
    (None, None, 1)
    """

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.lost: list[str] = []

    def note(self, code: str, detail: str) -> None:
        """Say it, unless it was said before."""
        if all(notice.code != code for notice in self.notices):
            self.notices.append(Notice(code, detail))
