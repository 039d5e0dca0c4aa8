"""Forms and adapters change while intake runs: what is good takes over, what is wrong leaves what was."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import structlog

from services.intake.api.in_force import AdapterFiles, FormFiles
from shared.errors import SetupError

FORM = """\
title: {title}
intro: Tell us
thanks: Thank you
send: Send
set: {{kind: complaint}}
fields: {{what: {{type: text, lines: many, label: What, required: true}}}}
"""
ADAPTER = """\
source: {source}
scheme: standard
secret: {{env: SHOP}}
set: {{kind: complaint}}
fields: {{text: $.text}}
"""


@pytest.fixture
def forms(tmp_path: Path) -> FormFiles:
    write(tmp_path, "one", FORM.format(title="First"))
    write(tmp_path, "two", FORM.format(title="Second"))
    return FormFiles(tmp_path)


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def title(forms: FormFiles, name: str) -> str:
    return forms().forms[name].spec.title.en


def test_a_form_that_is_changed_or_added_takes_over(forms: FormFiles, tmp_path: Path) -> None:
    assert not forms.look() and title(forms, "one") == "First"
    write(tmp_path, "one", FORM.format(title="Changed"))
    write(tmp_path, "three", FORM.format(title="Third"))
    assert forms.look()
    assert (title(forms, "one"), title(forms, "two"), title(forms, "three")) == ("Changed", "Second", "Third")


def test_a_form_that_becomes_wrong_stays_as_it_was_and_the_others_change(
    forms: FormFiles, tmp_path: Path
) -> None:
    write(tmp_path, "one", "title: [")
    write(tmp_path, "two", FORM.format(title="Changed"))
    write(tmp_path, "new", "nonsense: 1")
    with structlog.testing.capture_logs() as said:
        assert forms.look()
    assert (title(forms, "one"), title(forms, "two")) == ("First", "Changed")
    assert list(forms().refused) == ["new"]
    told = {line["form"]: line["in_force"] for line in said if line["event"] == "form_refused"}
    assert told == {"one": "what was read before", "new": "nothing"}
    write(tmp_path, "one", FORM.format(title="Mended"))
    assert forms.look() and title(forms, "one") == "Mended"


def test_a_form_without_its_file_is_gone_but_not_all_with_their_folder(
    forms: FormFiles, tmp_path: Path
) -> None:
    (tmp_path / "two.yaml").unlink()
    assert forms.look() and list(forms().forms) == ["one"]
    shutil.rmtree(tmp_path)
    assert not forms.look() and title(forms, "one") == "First"


def test_adapters_that_are_wrong_leave_all_as_they_were(tmp_path: Path) -> None:
    write(tmp_path, "shop", ADAPTER.format(source="shop"))
    adapters = AdapterFiles(tmp_path, {})
    write(tmp_path, "shop", ADAPTER.format(source="mall"))
    write(tmp_path, "other", "source: 1")
    assert not adapters.look() and adapters()["shop"].adapter.source == "shop"
    write(tmp_path, "other", ADAPTER.format(source="other"))
    assert adapters.look()
    assert [adapters()[name].adapter.source for name in ("shop", "other")] == ["mall", "other"]


def test_adapters_that_are_wrong_at_the_start_stop_intake(tmp_path: Path) -> None:
    write(tmp_path, "shop", "source: 1")
    with pytest.raises(SetupError, match=r"shop\.yaml"):
        AdapterFiles(tmp_path, {})
