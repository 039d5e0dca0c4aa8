import sys

import msgspec

from deploy.local.plan import Plan, service_env


def test_a_service_is_told_everything_by_its_environment() -> None:
    plan = Plan(data_dir="/d", policy="/p", env={"EXTRA": "1"})
    env = service_env(plan, "127.0.0.1:1", "mongodb://m", 8001, {"PATH": "/bin", "CQM_AUTH": "keys"})
    assert env == {
        "PATH": "/bin",
        "CQM_KAFKA": "127.0.0.1:1",
        "CQM_MONGO": "mongodb://m",
        "CQM_POLICY": "/p",
        "CQM_PORT": "8001",
        "CQM_HOST": "127.0.0.1",
        "CQM_AUTH": "off",
        "CQM_LOG": "json",
        "EXTRA": "1",
    }


def test_kafka_passwords_of_the_user_reach_their_kafka_and_not_the_embedded_one() -> None:
    inherited = {"CQM_KAFKA_PASSWORD": "x"}
    assert "CQM_KAFKA_PASSWORD" not in service_env(Plan(data_dir="/d"), "k", "m", 1, inherited)
    given = Plan(data_dir="/d", kafka="k:9092")
    assert service_env(given, "k:9092", "m", 1, inherited)["CQM_KAFKA_PASSWORD"] == "x"


def test_the_default_plan_runs_the_four_services_and_travels_as_json() -> None:
    plan = Plan(data_dir="/d", replicas={"routing": 2})
    assert [word.format(name="sla") for word in plan.command] == [sys.executable, "-m", "services.sla"]
    assert plan.services == ("intake", "routing", "sla", "analytics")
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
