"""The import rules of the project, read from the code by grimp; CONTRIBUTING.md tells them in words.

Each rule is a function of the import graph that names what breaks it, so that a planted import can show that
the rule would notice.
"""

from __future__ import annotations

import copy
import functools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("services", "shared", "deploy")
SERVICES = ("intake", "routing", "sla", "analytics")

# Whether a signature is right (cryptography) is a function of values, and so are who may what (permission)
# and which words a Chinese text has (rjieba).
DOMAIN_MAY_IMPORT = {"msgspec", "cryptography", "rjieba"} | {
    f"shared.{module}"
    for module in (
        "events", "clock", "errors", "ids", "handler", "policy", "calendar", "forms", "language",
        "permission", "principal", "rating",
    )
}  # fmt: skip
IO_LIBRARIES = {"motor", "pymongo", "aiokafka", "faststream", "httpx", "fastapi", "uvicorn"}
VAGUE_NAMES = {"util", "utils", "helper", "helpers", "manager", "common", "misc"}


@dataclass(frozen=True)
class Differences:
    """How one service's files differ from its sisters', and why."""

    lacks: frozenset[str] = frozenset()
    has: frozenset[str] = frozenset()


FILES_OF_A_SERVICE = frozenset(
    {"__init__", "__main__", "app", "api", "handlers", "domain", "store", "settings"}
)
DIFFERENCES = {
    # Nothing comes in from Kafka. Files are imported after they have been taken, by whoever has the time.
    # What foreign systems send is mapped by adapters, which are files: neither a decision nor HTTP.
    "intake": Differences(lacks=frozenset({"handlers"}), has=frozenset({"adapters", "imports"})),
    # People act on cases: that is a transaction of its own, and its events are swept; histories are audited.
    "routing": Differences(has=frozenset({"actions", "audit", "sweep"})),
    # Figures are checked against the log, say how far they have come in it, and are built anew from it.
    "analytics": Differences(has=frozenset({"log", "freshness", "generation"})),
    # Time comes in too, and with it what people are told; both count what they do.
    "sla": Differences(has=frozenset({"sweep", "notices", "figures"})),
}

Rule = Callable[[grimp.ImportGraph], list[str]]


def _imports(graph: grimp.ImportGraph) -> Iterator[tuple[str, str]]:
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            yield importer, imported


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _service_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "services" and len(parts) > 1 else None


def _layer_of(module: str) -> str | None:
    """The part of a service a module belongs to: "store" for services.sla.store and services.sla.store.x."""
    parts = module.split(".")
    return parts[2] if parts[0] == "services" and len(parts) > 2 else None


def _offending(graph: grimp.ImportGraph, breaks: Callable[[str, str], bool]) -> list[str]:
    return sorted(
        f"{importer} -> {imported}" for importer, imported in _imports(graph) if breaks(importer, imported)
    )


def shared_imports_neither_services_nor_deploy(graph: grimp.ImportGraph) -> list[str]:
    return _offending(
        graph,
        lambda importer, imported: (
            _within(importer, "shared") and (_within(imported, "services") or _within(imported, "deploy"))
        ),
    )


def services_never_import_each_other(graph: grimp.ImportGraph) -> list[str]:
    return _offending(
        graph,
        lambda importer, imported: (
            _service_of(importer) is not None
            and _service_of(imported) is not None
            and _service_of(importer) != _service_of(imported)
        ),
    )


def services_and_deploy_know_nothing_of_each_other(graph: grimp.ImportGraph) -> list[str]:
    pair = {"services", "deploy"}
    return _offending(
        graph, lambda importer, imported: {importer.split(".")[0], imported.split(".")[0]} == pair
    )


def domain_imports_only_values(graph: grimp.ImportGraph) -> list[str]:
    def breaks(importer: str, imported: str) -> bool:
        if _layer_of(importer) != "domain":
            return False
        own = f"services.{_service_of(importer)}.domain"
        allowed = _within(imported, own) or any(_within(imported, module) for module in DOMAIN_MAY_IMPORT)
        return not allowed and imported.split(".")[0] not in sys.stdlib_module_names

    return _offending(graph, breaks)


def domain_reaches_no_io(graph: grimp.ImportGraph) -> list[str]:
    """Not by way of what it may import either: a decision can be tested without a client of anything."""
    domains = [module for module in graph.modules if _layer_of(module) == "domain"]
    libraries = IO_LIBRARIES & graph.modules
    chains = (
        graph.find_shortest_chain(importer=domain, imported=library)
        for domain in domains
        for library in libraries
    )
    return sorted(" -> ".join(chain) for chain in chains if chain)


def store_imports_nothing_above_it(graph: grimp.ImportGraph) -> list[str]:
    above = {"__main__", "app", "api", "handlers", "sweep"}
    return _offending(
        graph, lambda importer, imported: _layer_of(importer) == "store" and _layer_of(imported) in above
    )


def only_main_imports_the_composition_root(graph: grimp.ImportGraph) -> list[str]:
    return _offending(
        graph,
        lambda importer, imported: (
            _layer_of(imported) == "app" and _layer_of(importer) not in {"app", "__main__"}
        ),
    )


def only_shared_mongo_imports_motor(graph: grimp.ImportGraph) -> list[str]:
    return _offending(
        graph, lambda importer, imported: imported == "motor" and not _within(importer, "shared.mongo")
    )


RULES: list[Rule] = [
    shared_imports_neither_services_nor_deploy,
    services_never_import_each_other,
    services_and_deploy_know_nothing_of_each_other,
    domain_imports_only_values,
    domain_reaches_no_io,
    store_imports_nothing_above_it,
    only_main_imports_the_composition_root,
    only_shared_mongo_imports_motor,
]

PLANTED: list[tuple[Rule, list[tuple[str, str]]]] = [
    (shared_imports_neither_services_nor_deploy, [("shared.events", "services.sla.store")]),
    (shared_imports_neither_services_nor_deploy, [("shared.settings", "deploy.cli")]),
    (services_never_import_each_other, [("services.routing.handlers", "services.sla.domain")]),
    (services_and_deploy_know_nothing_of_each_other, [("services.intake.app", "deploy.local")]),
    (services_and_deploy_know_nothing_of_each_other, [("deploy.cli", "services.intake.app")]),
    (domain_imports_only_values, [("services.routing.domain", "pydantic")]),
    (domain_imports_only_values, [("services.sla.domain.clock", "services.sla.store")]),
    (domain_imports_only_values, [("services.sla.domain.clock", "shared.mongo")]),
    (domain_reaches_no_io, [("services.sla.domain.clock", "shared.ids"), ("shared.ids", "aiokafka")]),
    (store_imports_nothing_above_it, [("services.analytics.store.facts", "services.analytics.handlers")]),
    (only_main_imports_the_composition_root, [("services.sla.api", "services.sla.app")]),
    (only_shared_mongo_imports_motor, [("services.routing.store", "motor")]),
]


@functools.cache
def _graph(at_run_time: bool) -> grimp.ImportGraph:
    return grimp.build_graph(
        *PACKAGES,
        include_external_packages=True,
        exclude_type_checking_imports=at_run_time,
        cache_dir=None,
    )


def _graph_for(rule: Rule) -> grimp.ImportGraph:
    """An import for the type checker alone couples two modules, but it takes no client along at run time."""
    return _graph(at_run_time=rule is domain_reaches_no_io)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_import_rules_hold(rule: Rule) -> None:
    assert rule(_graph_for(rule)) == []


@pytest.mark.parametrize(
    ("rule", "planted"), PLANTED, ids=lambda value: value.__name__ if callable(value) else value[0][0]
)
def test_a_planted_import_is_noticed(rule: Rule, planted: list[tuple[str, str]]) -> None:
    graph = _graph_for(rule)
    broken = copy.deepcopy(graph)
    for importer, imported in planted:
        for module in (importer, imported):
            if module not in broken.modules:
                broken.add_module(module)
        broken.add_import(importer=importer, imported=imported)
    expected = " -> ".join([planted[0][0], *(imported for _, imported in planted)])
    assert expected in set(rule(broken)) - set(rule(graph))


def _files_of(service: str) -> set[str]:
    folder = ROOT / "services" / service
    return {
        path.stem
        for path in folder.iterdir()
        if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))
    }


@pytest.mark.parametrize("service", SERVICES)
def test_the_services_are_sisters(service: str) -> None:
    difference = DIFFERENCES.get(service, Differences())
    assert _files_of(service) == (FILES_OF_A_SERVICE - difference.lacks) | difference.has


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if VAGUE_NAMES & {path.stem, path.parent.name}
    ]
    assert vague == []
