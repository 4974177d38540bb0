"""A request and the text that its model reads, within the window of that model.

The one place where the prompt, the window and the estimate of tokens meet: `pipeline.prompt` knows how a request is written and shortened, and
`pipeline.usage` how many tokens a text is likely to be. What a request's own route says of the window counts before what its upstream says. Where no
window is known, nothing is weighed.

A request may be many times as long as the window. Where it is to be refused, `check_length` says so without writing it: it counts the texts as they
came, piece by piece, and no further than it has to.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from pipeline.errors import ContextLengthExceeded
from pipeline.prompt.composer import assemble_prompt, show_messages
from pipeline.prompt.transcript import check_parts
from pipeline.prompt.window import Fitted, Overflow, Window, fit_window
from pipeline.request import Message, Request, TextPart
from pipeline.usage.estimate import CHARACTERS_PER_TOKEN, Method, new_count, tokens_in

HOPELESS = 2
"""Windows that a request's bare text fills when it is refused unwritten: what the prompt makes of a text never halves its tokens."""

PIECE_CHARS = 65_536


def window_of(request: Request, tokens: int | None, overflow: Overflow | None) -> tuple[int | None, Overflow | None]:
    """The window that counts for a request, where `tokens` and `overflow` are what its upstream says.

    >>> from pipeline.request import ContextRule
    >>> window_of(Request("m", (), context=ContextRule(tokens=8_000)), 200_000, Overflow.TRIM)
    (8000, <Overflow.TRIM: 'trim'>)
    """
    rule = request.context
    return tokens if rule.tokens is None else rule.tokens, overflow if rule.overflow is None else Overflow(rule.overflow)


def fitted_prompt(
    request: Request,
    window_tokens: int | None,
    overflow: Overflow | None,
    *,
    method: Method = "calibrated",
    count: Callable[[str], int] | None = None,
) -> Fitted:
    """The request with Composer's prompt; without an overflow, requests of any length pass and the upstream is the judge.

    The window and the overflow are the upstream's own. `count` estimates tokens, by default as the method says.

    Raises:
        UnsupportedParameter: a part of it is neither text nor an image.
        ContextLengthExceeded: it does not fit, and must not or cannot be trimmed.

    >>> from pipeline.request import Message, Role, TextPart
    >>> turns = tuple(Message(Role.USER, (TextPart(word * 1_000),)) for word in ("old ", "new "))
    >>> fitted = fitted_prompt(Request("composer-2.5", turns), 1_200, Overflow.TRIM)
    >>> [message.text[:4] for message in fitted.request.messages], fitted.notices[0].code
    (['new '], 'context_trimmed')
    """
    check_parts(request)
    return fitted(request, window_tokens, overflow, write=assemble_prompt, show=show_messages, count=count, method=method)


def fitted(
    request: Request,
    window_tokens: int | None,
    overflow: Overflow | None,
    *,
    write: Callable[[Request], str],
    show: Callable[[Sequence[Message]], str],
    count: Callable[[str], int] | None = None,
    method: Method = "calibrated",
) -> Fitted:
    """The same for any text: `write` and `show` are those of `pipeline.prompt.window.fit_window`."""
    window_tokens, overflow = window_of(request, window_tokens, overflow)
    if window_tokens is None or overflow is None:
        return Fitted(request, write(request))
    check_length(request, window_tokens, overflow, method=method)
    return fit_window(request, Window(window_tokens, overflow), write=write, show=show, count=count or partial(tokens_in, method=method))


def check_length(request: Request, window_tokens: int | None, overflow: Overflow | None, *, method: Method = "calibrated") -> None:
    """Refuse a request that is far too long, and leave any other to `fitted_prompt`; raises ContextLengthExceeded."""
    window_tokens, overflow = window_of(request, window_tokens, overflow)
    if window_tokens is None or overflow is None or overflow is Overflow.TRIM:
        return
    counted, most = new_count(method), HOPELESS * window_tokens
    if sum(map(len, _pieces(request))) < most * CHARACTERS_PER_TOKEN:
        return  # most texts are not worth being counted twice
    for piece in _pieces(request):
        counted.add(piece)
        if not counted.within(most):
            raise ContextLengthExceeded(
                f"This model's maximum context length is {window_tokens} tokens. However, your messages resulted in more than {most} tokens. "
                "Please reduce the length of the messages.",
                param="messages",
            )


def _pieces(request: Request) -> Iterator[str]:
    for message in request.messages:
        texts = [part.text for part in message.parts if isinstance(part, TextPart)]
        for text in (*texts, *(call.arguments for call in message.tool_calls)):
            yield from (text[start : start + PIECE_CHARS] for start in range(0, len(text), PIECE_CHARS))
