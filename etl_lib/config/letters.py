"""One spelling for letters that can be written in two ways, for cells, headers, file names, mappings, keys."""

from __future__ import annotations

import re
import unicodedata

# Ideographs of names that Unicode's own normal form would exchange for another one (神 written as U+FA19
# would become U+795E): a name stays as its owner writes it.
_KEPT = re.compile("([\uf900-\ufaff\U0002f800-\U0002fa1f]+)")


def composed(text: str) -> str:
    """The text with every accent and vowel sign joined to its letter (NFC); nothing else about it changes.

    `é` may come as one sign or as an `e` and an accent: people see the same, and so do we from here on.
    """
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return text
    pieces = _KEPT.split(text)
    return "".join(
        piece if place % 2 else unicodedata.normalize("NFC", piece)
        for place, piece in enumerate(pieces)
    )
