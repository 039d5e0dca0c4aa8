"""Where the runtime's programs come from, and what is said when they cannot be had."""

import os
from pathlib import Path
from threading import Event

import pytest

from deploy.local.errors import RuntimeUnavailable
from deploy.local.java import java_major, runnable
from deploy.local.kafka_jars import kafka_jars
from deploy.local.mongod_binary import find_mongod, missing_libraries

LDD = """\
\tlinux-vdso.so.1 (0x00007f91b2ed7000)
\tlibcurl.so.4 => not found
\tlibssl.so.3 => not found
\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f91abf20000)
"""


def a_program(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    find_mongod.cache_clear()


def no_progress(name: str, done: int, total: int) -> None:
    pass


def test_all_missing_libraries_are_read_from_ldd() -> None:
    assert missing_libraries(LDD) == ["libcurl.so.4", "libssl.so.3"]


def test_missing_libraries_are_named_with_their_packages_and_the_other_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_program(tmp_path / "ldd", f"cat <<'END'\n{LDD}END")
    mongod = a_program(tmp_path / "mongod", "echo 'error while loading shared libraries' >&2; exit 127")
    monkeypatch.setenv("CQM_MONGOD", str(mongod))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(RuntimeUnavailable) as error:
        find_mongod()
    assert "libcurl.so.4, libssl.so.3" in error.value.message
    assert "apt-get install libcurl4 libssl3" in error.value.remedy
    assert "--mongo URI" in error.value.remedy


def test_a_processor_without_avx_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CQM_MONGOD", str(a_program(tmp_path / "mongod", "kill -ILL $$")))
    with pytest.raises(RuntimeUnavailable, match="AVX"):
        find_mongod()


def test_a_java_version_is_read_from_what_it_prints(tmp_path: Path) -> None:
    java = a_program(tmp_path / "java", """echo 'openjdk version "17.0.15" 2025-04-15' >&2""")
    old = a_program(tmp_path / "old", """echo 'java version "1.8.0_301"' >&2""")
    assert (java_major(java), java_major(old), java_major(tmp_path / "absent")) == (17, 1, 0)


def test_a_program_without_its_run_bit_gets_it(tmp_path: Path) -> None:
    program = a_program(tmp_path / "bin" / "java", "exit 0", mode=0o644)
    assert runnable(program, tree=tmp_path) == program
    assert os.access(program, os.X_OK)


def test_a_program_in_a_read_only_place_is_copied_to_the_cache_with_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "site"
    program = a_program(home / "bin" / "java", "exit 0", mode=0o644)
    (home / "lib").mkdir()
    monkeypatch.setenv("CQM_CACHE", str(tmp_path / "cache"))

    def refuse(self: Path, mode: int) -> None:
        if self == program:
            raise PermissionError(1, "Operation not permitted")
        os.chmod(self, mode)

    monkeypatch.setattr(Path, "chmod", refuse)
    copy = runnable(program, tree=home)
    assert copy.is_relative_to(tmp_path / "cache")
    assert os.access(copy, os.X_OK)
    assert (copy.parent.parent / "lib").is_dir()
    assert runnable(program, tree=home) == copy


def test_kafka_home_is_used_instead_of_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = tmp_path / "libs" / "kafka_2.13-4.1.0.jar"
    jar.parent.mkdir()
    jar.touch()
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    assert kafka_jars(no_progress, Event()) == [jar]


def test_a_kafka_home_without_kafka_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    with pytest.raises(RuntimeUnavailable, match="KAFKA_HOME"):
        kafka_jars(no_progress, Event())


def test_without_a_network_every_way_out_is_named_and_nothing_half_is_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    monkeypatch.setenv("CQM_CACHE", str(tmp_path))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: nobody listens
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(RuntimeUnavailable) as error:
        kafka_jars(no_progress, Event())
    for way in ("--kafka HOST:PORT", "--mongo URI", "KAFKA_HOME", "docker compose up"):
        assert way in error.value.remedy
    assert not list(tmp_path.glob("*/jars"))
