"""What UPSTREAMS may say: whatever a limit could not be kept by is refused where the service starts, all at once."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from service.config import WrongSettings, read, settings
from service.jobs.shapes import upstreams

GOOD = {"DATABASE_URL": "postgresql://u:p@db/x", "BROKER_URL": "redis://broker/0"}
PAYMENTS: Mapping[str, Any] = {"hosts": ["api.example.com", "*.pay.example.com"], "rate": "5/second", "at_once": 2}


def refused(declared: object, **environment: str) -> list[str]:
    """What is said of it."""
    text = declared if isinstance(declared, str) else json.dumps(declared)
    with pytest.raises(WrongSettings) as caught:
        read(GOOD | {"UPSTREAMS": text} | environment)
    return str(caught.value).splitlines()


def test_the_example_that_errors_show_is_taken() -> None:
    (payments,) = read(GOOD | {"UPSTREAMS": upstreams.EXAMPLE}).upstreams.values()
    assert payments == ("payments", ("api.example.com", "*.pay.example.com"), 5, 1, 2)
    assert read(GOOD).upstreams == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hosts": []}, "expected a list of hosts, got none"),
        ({"hosts": "api.example.com"}, "expected a list of hosts, got none"),
        ({"hosts": ["https://api.example.com"]}, "got: 'https://api.example.com'; no scheme, port or path"),
        ({"hosts": ["api.example.com:443"]}, "expected a host as api.example.com or *.example.com"),
        ({"hosts": ["api.*.com"]}, "expected a host as api.example.com or *.example.com"),
        ({"hosts": ["*"]}, "expected a host as api.example.com or *.example.com"),
        ({"hosts": [7]}, "expected a host as api.example.com or *.example.com"),
        ({"rate": "0/second"}, "expected a rate as 5/second or 100/15 minutes, got: '0/second'"),
        ({"rate": "often"}, "expected a rate as 5/second or 100/15 minutes, got: 'often'"),
        ({"rate": 5}, "expected a rate as 5/second or 100/15 minutes, got: 5"),
        ({"at_once": 0}, "expected at_once to be a number from 1 to 10000, got: 0"),
        ({"at_once": True}, "expected at_once to be a number from 1 to 10000, got: True"),
        ({"at_most": 2}, "expected hosts, a rate, and at_once if any, got something else"),
    ],
)
def test_what_is_no_limit_is_refused(change: Mapping[str, Any], said: str) -> None:
    (fault,) = refused({"payments": {**PAYMENTS, **change}})
    assert fault.startswith("UPSTREAMS: 'payments': expected ")
    assert said in fault


@pytest.mark.parametrize("declared", ["5/second", "[]", "{}", '"x"', '{"a": '])
def test_what_is_no_json_of_upstreams_is_refused_with_an_example(declared: str) -> None:
    assert refused(declared) == [f"UPSTREAMS: expected JSON as {upstreams.EXAMPLE}, got something else; correct it"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("api.example.com", "api.example.com"),
        ("api.example.com", "*.example.com"),
        ("*.example.com", "*.pay.example.com"),
    ],
)
def test_two_upstreams_for_one_host_are_refused(one: str, other: str) -> None:
    both = {"a": {"hosts": [one], "rate": "5/second"}, "b": {"hosts": [other], "rate": "5/second"}}
    (fault,) = refused(both)
    assert fault.startswith("UPSTREAMS: expected one upstream for a host, got: ")


def test_all_faults_are_named_at_once_and_beside_those_of_other_settings() -> None:
    wrong = {"A B": {**PAYMENTS, "rate": "0/second", "at_once": 0}, "c": 1}
    faults = refused(wrong, PORT="many")
    assert [fault.partition(":")[0] for fault in faults] == ["PORT", *["UPSTREAMS"] * 4]


def test_without_a_redis_to_count_in_a_limit_is_refused() -> None:
    rabbit = {"BROKER_URL": "amqp://u:p@broker//"}
    assert refused({"payments": PAYMENTS}, **rabbit) == [
        "UPSTREAMS: expected a Redis to count in, got: none, as the broker is RabbitMQ; set REDIS_URL"
    ]
    limited = GOOD | rabbit | {"UPSTREAMS": upstreams.EXAMPLE, "REDIS_URL": "redis://limits/0"}
    assert read(limited).redis == "redis://limits/0"
    assert read(GOOD | rabbit).upstreams == {}


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("api.example.com", True),
        ("API.Example.com.", True),
        ("eu.pay.example.com", True),
        ("pay.example.com", False),
        ("xpay.example.com", False),
        ("example.com", False),
        ("127.0.0.2", True),
        ("2130706434", True),
        ("::1", True),
    ],
)
def test_a_host_is_found_however_it_is_spelt(monkeypatch: pytest.MonkeyPatch, host: str, known: bool) -> None:
    hosts = ["api.example.com", "*.pay.example.com", "127.0.0.2", "::1"]
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("UPSTREAMS", json.dumps({"payments": {"hosts": hosts, "rate": "100/15 minutes"}}))
    settings.cache_clear()
    found = upstreams.of(host)
    assert (found is not None) is known
    assert upstreams.describe() == "payments 100 in 900 s, 10000 at once"
    settings.cache_clear()
