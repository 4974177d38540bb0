"""How many tokens a text is likely to be, when the upstream does not say.

One token is taken as four characters, whatever the script: crude, quick and the same for everyone. Figures made from it say that they are estimated.
"""

CHARACTERS_PER_TOKEN = 4


def tokens_of(characters: int) -> int:
    """Tokens for a number of characters, rounded up.

    >>> tokens_of(0), tokens_of(1), tokens_of(9)
    (0, 1, 3)
    """
    return -(-characters // CHARACTERS_PER_TOKEN)
