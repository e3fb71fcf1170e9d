"""The known word that a misspelt one probably means."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHARED = "random"
_CUTOFF = 0.65


def similarity(one: str, other: str) -> float:
    """Twice the matching characters over all, 0 to 1; capitals do not count."""
    return difflib.SequenceMatcher(None, one.lower(), other.lower()).ratio()


def nearest(word: object, known: Iterable[str], cutoff: float = _CUTOFF) -> str | None:
    """Known word most like a misspelt one, or None; capitals do not count.

    What many names begin with does not count either: RandomTranslation is no misspelt RandomContrast.

    Args:
        word: The misspelt word.
        known: Words that it may be.
        cutoff: Least `similarity`.
    """
    lower = {name.lower(): name for name in known}
    text = str(word).lower()
    for name in difflib.get_close_matches(text, list(lower), n=3, cutoff=cutoff):
        shared = text.startswith(_SHARED) and name.startswith(_SHARED)
        if not shared or similarity(text.removeprefix(_SHARED), name.removeprefix(_SHARED)) >= cutoff:
            return lower[name]
    return None


def did_you_mean(word: object, known: Iterable[str], otherwise: str = "") -> str:
    """``; did you mean 'dropout_rate'?`` for a misspelt word, else `otherwise`."""
    near = nearest(word, known)
    return f"; did you mean {near!r}?" if near else otherwise
