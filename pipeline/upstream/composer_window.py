"""A request as Composer's prompt, within the window of its model.

The one place where the prompt, the window and the estimate of tokens meet: `pipeline.prompt` knows how a request is written and shortened, and
`pipeline.usage` how many tokens a text is likely to be. Where no window is known, nothing is weighed.
"""

from collections.abc import Callable

from pipeline.prompt.composer import assemble_prompt, show_messages
from pipeline.prompt.window import Fitted, Overflow, Window, fit_window
from pipeline.request import Request
from pipeline.usage.estimate import tokens_in


def fitted_prompt(request: Request, window_tokens: int | None, overflow: Overflow | None, *, count: Callable[[str], int] = tokens_in) -> Fitted:
    """The request with its prompt; without an overflow, requests of any length pass and the upstream is the judge. `count` estimates tokens.

    Raises:
        ContextLengthExceeded: it does not fit, and must not or cannot be trimmed.

    >>> from pipeline.request import Message, Role, TextPart
    >>> turns = tuple(Message(Role.USER, (TextPart(word * 1_000),)) for word in ("old ", "new "))
    >>> fitted = fitted_prompt(Request("composer-2.5", turns), 1_200, Overflow.TRIM)
    >>> [message.text[:4] for message in fitted.request.messages], fitted.notices[0].code
    (['new '], 'context_trimmed')
    """
    if window_tokens is None or overflow is None:
        return Fitted(request, assemble_prompt(request))
    return fit_window(request, Window(window_tokens, overflow), write=assemble_prompt, show=show_messages, count=count)
