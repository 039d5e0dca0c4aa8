"""Checks of who is there: departments with agents, skills that somebody has, backups, RACI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.policy.models import Department, Person, PolicyDocument, weights_of
from shared.policy.sla_models import SlaEntry
from shared.policy.source import Keys, Source

AGENT = "agent"


def check_staff(document: PolicyDocument, source: Source) -> None:
    agents = {name: person for name, person in document.people.items() if _takes_cases(person)}
    _departments(document, agents, source)
    _rules(document, agents, source)
    _backups(document, agents, source)
    _circles_of_departments(document, source)
    _circles_of_people(document, source)
    _raci(document, source)


def _takes_cases(person: Person) -> bool:
    return AGENT in person.roles and person.capacity > 0


def _departments(document: PolicyDocument, agents: Mapping[str, Person], source: Source) -> None:
    for name, department in document.departments.items():
        most = max((one.capacity for one in agents.values() if one.department == name), default=0)
        if not most:
            reason = "has no agent with capacity: its cases wait for the supervisor"
            source.report(("departments", name), reason, warning=True)
            continue
        heavy = [
            f"{priority} ({weight})" for priority, weight in weights_of(document).items() if weight > most
        ]
        if heavy:
            whither = f"go to {department.backup}" if department.backup else "wait for the supervisor"
            reason = f"no agent may carry more than {most}: cases of {', '.join(heavy)} {whither}"
            source.report(("departments", name), reason, warning=True)


def _rules(document: PolicyDocument, agents: Mapping[str, Person], source: Source) -> None:
    for index, rule in enumerate(document.routing):
        department, skills = rule.assign.department, set(rule.assign.skills)
        if department not in document.departments:
            continue
        members = [person for person in agents.values() if person.department == department]
        keys: Keys = ("routing", index, "assign")
        if not members:
            source.report((*keys, "department"), f"nobody in {department} takes cases", warning=True)
        elif not any(skills <= set(person.skills) for person in members):
            listed = " and ".join(f"'{skill}'" for skill in rule.assign.skills)
            reason = f"nobody in {department} has the skill {listed}: its cases wait for the supervisor"
            source.report((*keys, "skills"), reason, warning=True)


def _backups(document: PolicyDocument, agents: Mapping[str, Person], source: Source) -> None:
    for name, person in document.people.items():
        keys: Keys = ("people", name, "backup")
        backup = person.backup
        if backup == name:
            source.report(keys, "is the person itself")
        elif backup not in document.people:
            continue  # said by the check of names
        elif backup not in agents:
            source.report(
                keys, f"'{backup}' takes no cases: a reassigned case goes to the pool", warning=True
            )
        elif document.people[backup].department != person.department:
            reason = f"'{backup}' is in another department: a reassigned case goes to the pool"
            source.report(keys, reason, warning=True)


def _circles_of_departments(document: PolicyDocument, source: Source) -> None:
    """A case that finds nobody goes from department to department; that has to end."""
    for circle in _circles(document.departments):
        shown = " -> ".join([*circle, circle[0]])
        source.report(("departments", circle[0], "backup"), f"the escalation goes in a circle: {shown}")


def _circles_of_people(document: PolicyDocument, source: Source) -> None:
    """People may stand in for each other; but escalations must not hand a case on until it is back."""
    most, entry = max(((_reassignments(entry), entry.name) for entry in document.sla), default=(0, ""))
    for circle in _circles(document.people):
        if len(circle) > 1 and most >= len(circle):
            shown = " -> ".join([*circle, circle[0]])
            reason = f"the escalation goes in a circle: '{entry}' reassigns {most} times, {shown}"
            source.report(("people", circle[0], "backup"), reason, warning=True)


def _reassignments(entry: SlaEntry) -> int:
    steps = [step for steps in entry.escalate.values() for step in steps]
    return sum(step.times for step in steps if "reassign" in step.do)


def _circles(among: Mapping[str, Department] | Mapping[str, Person]) -> Iterator[list[str]]:
    """Each circle of backups once, from the first of its names."""
    done: set[str] = set()
    for name in among:
        path: dict[str, int] = {}
        at: str | None = name
        while at is not None and at in among and at not in done and at not in path:
            path[at] = len(path)
            at = among[at].backup
        if at is not None and at in path:
            circle = list(path)[path[at] :]
            first = circle.index(min(circle))
            yield circle[first:] + circle[:first]
        done |= path.keys()


def _raci(document: PolicyDocument, source: Source) -> None:
    roles = {role for person in document.people.values() for role in person.roles}
    for category, spec in document.raci.items():
        keys: Keys = ("raci", category)
        if not any(name == category or name.startswith(f"{category}.") for name in document.categories):
            source.report(keys, f"unknown category '{category}'")
        for duty, parties in (("consulted", spec.consulted), ("informed", spec.informed)):
            for index, party in enumerate(parties):
                reason = _unknown_party(party, roles, document)
                if reason:
                    source.report((*keys, duty, index), reason)


def _unknown_party(party: str, roles: set[str], document: PolicyDocument) -> str:
    role = party.removeprefix("role:")
    if role != party:
        return "" if role in roles else f"nobody has the role '{role}'"
    if party in document.departments and party in document.people:
        return f"'{party}' is a department and a person"
    known = party in document.departments or party in document.people
    return "" if known else f"unknown department or person '{party}'"
