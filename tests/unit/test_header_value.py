"""Attributes of CloudEvents in HTTP headers: quoting and percent-encoding, there and back."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.intake.domain.header_value import header_value


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"R-1", "R-1"),
        (b"Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        (b"Euro%20%e2%82%ac", "Euro €"),
        (b"%41%42", "AB"),
        (b"100%25", "100%"),
        (b"%2541", "%41"),
        (b"a b", "a b"),
        (b'"a b"', "a b"),
        (b'"say \\"yes\\" \\\\o/"', 'say "yes" \\o/'),
        (b'"%E2%82%AC"', "€"),
        (b"%22a%22", '"a"'),
        (b"", ""),
    ],
)
def test_a_header_value_is_unquoted_and_then_percent_decoded_once(raw: bytes, value: str) -> None:
    assert header_value(raw) == value


def percent_encoded(value: str) -> bytes:
    """As the binding tells a sender to do it."""
    return "".join(
        character
        if "!" <= character <= "~" and character not in '"%'
        else "".join(f"%{byte:02X}" for byte in character.encode())
        for character in value
    ).encode()


TEXT = st.text(st.characters(codec="utf-8"))


@given(TEXT)
@example('" %25\\')
def test_what_a_sender_encodes_comes_back(value: str) -> None:
    assert header_value(percent_encoded(value)) == value


@given(TEXT)
def test_encoding_more_than_needed_and_in_lower_case_changes_nothing(value: str) -> None:
    assert header_value("".join(f"%{byte:02x}" for byte in value.encode()).encode()) == value


@given(st.text(st.sampled_from('%"\\ aF09\x00\x7fé')).map(str.encode) | st.binary())
def test_any_bytes_are_text_or_refused_without_repeating_them(raw: bytes) -> None:
    try:
        value = header_value(raw)
    except ValueError as error:
        assert type(error) is ValueError  # that of a codec would repeat the bytes
    else:
        assert value.encode().decode() == value
