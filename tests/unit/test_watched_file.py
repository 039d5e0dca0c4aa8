"""A file that changes while a service runs, and a reader that breaks on it."""

from pathlib import Path

import pytest

from shared import watched_file
from shared.watched_file import WatchedFile


def test_a_reader_that_breaks_leaves_what_was_read_and_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure was told once as one of the background, and the next look said that all was well."""
    file = tmp_path / "number"
    file.write_text("1")
    watched = WatchedFile(file, lambda path: int(path.read_text()))
    file.write_text("one")
    told: list[str] = []
    monkeypatch.setattr(watched_file.log, "critical", lambda event, **said: told.append(event), raising=False)
    looks = [watched.look(), watched.look()]
    assert looks == [False, False] and watched() == 1
    assert watched.wrong == "cannot be read: ValueError"
    assert told == ["file_refused"]
    file.write_text("22")
    assert watched.look() and (watched(), watched.wrong) == (22, "")


def test_a_link_to_nowhere_hides_no_change_beside_it(tmp_path: Path):
    (tmp_path / "number").write_text("1")
    (tmp_path / "lost").symlink_to("nowhere")
    watched = WatchedFile(tmp_path, lambda folder: int((folder / "number").read_text()))
    (tmp_path / "number").write_text("22")
    assert watched.look() and watched() == 22
