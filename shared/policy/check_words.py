"""Checks of the words of categories: said twice, shared, or empty once folded."""

from __future__ import annotations

from shared.policy.folding import fold
from shared.policy.models import PolicyDocument
from shared.policy.source import Keys, Source


def check_words(document: PolicyDocument, source: Source) -> None:
    first: dict[str, str] = {}
    for name, category in document.categories.items():
        for language, words in category.words.items():
            for index, word in enumerate(words):
                keys: Keys = ("categories", name, "words", language, index)
                folded = fold(word)
                if not folded:
                    source.report(keys, "the word is empty")
                elif folded not in first:
                    first[folded] = name
                elif first[folded] == name:
                    source.report(
                        keys, f"'{word}' is said twice: case, width and script are one", warning=True
                    )
                else:
                    source.report(keys, f"'{word}' is a word of {first[folded]}, too", warning=True)
