"""`GET /metrics`: what Prometheus gets, and who else."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from service.observe import names
from tests.contract.conftest import Make, Service


def families(caller: httpx.Client) -> dict[str, dict[tuple[str, ...], float]]:
    """Each metric with its samples, as Prometheus's own parser reads them."""
    answer = caller.get("/metrics")
    assert answer.status_code == 200
    return {
        family.name: {tuple(sorted(sample.labels.values())): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(answer.text)
    }


class TestMetrics:
    def test_shows_the_gauges_of_the_store(self, anna: httpx.Client, job: Make) -> None:
        """Every gauge is there, and of each queue what `GET /v1/queues` shows."""
        job()
        seen = families(anna)
        assert {name.replace(".", "_") for name in names.GAUGES} <= seen.keys()
        queues = {each["name"]: each for each in anna.get("/v1/queues").json()["queues"]}
        for name in ("depth", "running", "dead_letters"):
            assert seen[f"queue_{name}"] == {(queue,): shown[name] for queue, shown in queues.items()}
        assert seen["queue_depth"][("slow",)] >= 1
        assert seen["beat_workers"] == {(): 0}

    def test_counts_what_was_served(self, anna: httpx.Client) -> None:
        """One more request is one more, and what nobody specified is counted as one operation."""
        before = families(anna)["api_requests"].get(("200", "GET", "queues.index"), 0)
        anna.get("/v1/queues")
        for number in range(3):
            anna.get(f"/v1/unknown-{number}")
        after = families(anna)["api_requests"]
        assert after[("200", "GET", "queues.index")] == before + 1
        assert after[("404", "GET", "none")] >= 3
        assert not [labels for labels in after if "unknown" in "".join(labels)]

    def test_wants_a_token_that_may_read(self, service: Service) -> None:
        """It shows what `GET /v1/queues` shows, to the same callers."""
        with service.caller() as stranger, service.caller("reader") as reader:
            assert stranger.get("/metrics").status_code == 401
            assert reader.get("/metrics").status_code == 200
