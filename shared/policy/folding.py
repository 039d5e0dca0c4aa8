"""Text as words are compared: what looks the same or means the same to a reader becomes the same.

Folded are full-width letters, digits and signs (NFKC), case, curly apostrophes, spaces, and traditional
Chinese characters to simplified ones (docs/policy.md). The last by traditional.txt, character by character:
made from the dictionary TSCharacters of OpenCC (Apache-2.0), the first simplified form of each. That is right
for comparing, where both sides are folded, and not for writing: 乾坤 becomes 干坤.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

TABLE_FILE = Path(__file__).parent / "traditional.txt"


def read_table(content: str) -> dict[str, str]:
    """The simplified character of each traditional one, from lines of such pairs."""
    lines = (line for line in content.splitlines() if line and not line.startswith("#"))
    return {line[at]: line[at + 1] for line in lines for at in range(0, len(line), 2)}


_PAIRS = read_table(TABLE_FILE.read_text(encoding="utf-8"))
_SIMPLIFIED = str.maketrans(_PAIRS)
_TRADITIONAL = re.compile(f"[{''.join(_PAIRS)}]")
_WIDE = re.compile("[\u3000\uff01-\uffee]+")
# Nearly every Chinese sentence has these; replacing them one by one takes a tenth of the time.
_PUNCTUATION = tuple((sign, unicodedata.normalize("NFKC", sign)) for sign in "，！？：；（）\u3000")
_APOSTROPHES = "\u2018\u2019\u02bc"


def fold(text: str) -> str:
    """The text folded; folding it again changes nothing."""
    if text.isascii():
        return _one_space(text.lower())
    for sign, plain in _PUNCTUATION:
        text = text.replace(sign, plain)
    text = _normal(text)
    for sign in _APOSTROPHES:
        text = text.replace(sign, "'")
    if _TRADITIONAL.search(text):
        text = text.translate(_SIMPLIFIED)
    return _one_space(text)


def _normal(text: str) -> str:
    """NFKC without case; what loses its case may have to be composed again (ǰ). To look whether a text is
    normal takes a tenth of the time of making it so, and most are but for their wide characters."""
    if not unicodedata.is_normalized("NFKC", text):
        text = _WIDE.sub(lambda match: unicodedata.normalize("NFKC", match.group()), text)
        if not unicodedata.is_normalized("NFKC", text):
            text = unicodedata.normalize("NFKC", text)
    lower = text.casefold()
    return lower if lower == text else unicodedata.normalize("NFKC", lower)


def _one_space(text: str) -> str:
    if "  " in text or not text.isprintable():  # every space but the plain one is not printable
        return " ".join(text.split())
    return text.strip(" ")
