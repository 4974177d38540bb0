"""Leading characters of an answer that may turn out not to belong to it.

Some models think aloud in the text field and only then say `<｜final｜>`. Where the operator says so, that many characters are held: they are dropped
when the token comes, and passed on as soon as it cannot come any more.
"""


class HiddenPrefix:
    """The leading characters of an answer that may turn out not to belong to it."""

    def __init__(self, chars: int) -> None:
        self.holds = chars > 0
        self._left = chars
        self._held: list[str] = []

    def hold(self, text: str) -> str:
        """Keep more text; what is given back is to be passed on, because it became too much."""
        self._held.append(text)
        self._left -= len(text)
        return self.release() if self._left < 0 else ""

    def release(self) -> str:
        """Nothing is held any more; all that was."""
        self.holds = False
        text = "".join(self._held)
        self._held = []
        return text

    def drop(self) -> int:
        """Nothing is held any more; how many characters are dropped."""
        return len(self.release())
