"""Render a service, give it work, kill a worker in the middle, and show what became of every job."""

import signal
import sys
import time
from collections import Counter

import httpx

from demo.errands import LONG_ROWS, NOTIFICATIONS, Errand, errands, interrupted
from demo.service import HEARTBEAT_SECONDS, DemoError, Service, wait_for
from demo.third_party import ThirdParty

END_SECONDS = 120
RUN_SECONDS = 30


class Story:
    """Tells each step in one line, with the seconds since the start."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def tell(self, step: str, line: str) -> None:
        """Say what happens now, or what was seen."""
        print(f"{time.monotonic() - self.start:6.1f} s  {step:<8} {line}", flush=True)


def main() -> int:
    """Run the demo; the exit code is 0 when every job ended as it must."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    third_parties = ThirdParty(), ThirdParty()
    service = Service(outbound_allow="127.0.0.1")
    try:
        faults = run(Story(), service, third_parties)
    except (DemoError, httpx.HTTPError) as error:
        faults = [str(error)]
    except KeyboardInterrupt:
        faults = ["stopped by Ctrl-C"]
    finally:
        service.stop()
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        print(f"The service and the logs of its processes are in {service.folder}", file=sys.stderr)
        return 1
    service.remove()
    return 0


def run(story: Story, service: Service, third_parties: tuple[ThirdParty, ThirdParty]) -> list[str]:
    """Every step; gives what is wrong in the end."""
    story.tell("render", "a service named Order Desk, with the default answers")
    service.render()
    story.tell("install", "what it depends on, into its own .venv, with `make setup`")
    service.install()
    story.tell("start", "api, worker-fast, worker-slow and beat, on an embedded broker and SQLite")
    service.start()
    story.tell("ready", f"{service.api.base_url} answers; a heartbeat every {HEARTBEAT_SECONDS} s instead of 10")

    work = list(errands(*third_parties))
    for errand in work:
        submit(service, errand)
    story.tell("submit", f"{len(work)} requests over HTTP; each was answered with 202: the job is a committed row")
    wait_for(lambda: any(ended(service, work)), "a job to end", RUN_SECONDS)
    story.tell("first", "job is done")

    cancelled = work[0]
    wait_for(lambda: running(service, cancelled), "the long export to run", RUN_SECONDS)
    service.api.post(f"/v1/jobs/{cancelled.job['id']}/cancel").raise_for_status()
    story.tell("cancel", f"an export of {LONG_ROWS:,} rows while it runs: it stops between two chunks")
    wait_for(lambda: cancelled in ended(service, work), "the export to stop", RUN_SECONDS)

    work.append(killed := interrupted())
    submit(service, killed)
    wait_for(lambda: running(service, killed), "another export to run", RUN_SECONDS)
    service.kill("worker-slow")
    story.tell("kill", "worker-slow and its children with SIGKILL, in the middle of another export")
    story.tell("restart", f"worker-slow, as a supervisor would: process {service.start_role('worker slow')}")
    story.tell("wait", "for three missed heartbeats; then the dead worker's job runs again")

    watch(story, service, work)
    show(work)
    return verify(service, sum((each.heard for each in third_parties), Counter()), work)


def submit(service: Service, errand: Errand) -> None:
    """Send a job; anything but 202 ends the demo."""
    headers = {"Idempotency-Key": errand.key} if errand.key else {}
    answer = service.api.post(errand.path, json=errand.body, headers=headers)
    if answer.status_code != 202:
        raise DemoError(f"expected 202 for {errand.path}, got: {answer.status_code} {answer.text}")
    errand.job = answer.json()


def look(service: Service, errand: Errand) -> None:
    """Ask the API what has become of a job."""
    errand.job = service.api.get(f"/v1/jobs/{errand.job['id']}").raise_for_status().json()


def running(service: Service, errand: Errand) -> bool:
    """Whether the job is under way and has said how far it is."""
    look(service, errand)
    return errand.job["state"] == "running" and errand.job["progress"] is not None


def ended(service: Service, work: list[Errand]) -> list[Errand]:
    """The jobs of which nothing more will become."""
    for errand in work:
        if not errand.ended:
            look(service, errand)
    return [errand for errand in work if errand.ended]


def watch(story: Story, service: Service, work: list[Errand]) -> None:
    """Tell how many jobs ended, until all have, or nobody wants to wait any longer."""
    deadline, told = time.monotonic() + END_SECONDS, -1
    while told < len(work) and time.monotonic() < deadline:
        now = len(ended(service, work))
        if now != told:
            story.tell("wait", f"{now} of {len(work)} ended")
        told = now
        time.sleep(0.5)


def show(work: list[Errand]) -> None:
    """The table: a job a line."""
    print(f"\n{'job':<10}{'task':<20}{'what it shows':<34}{'state':<11}{'attempts':>8}{'ended after':>13}{'ran':>9}")
    for errand in work:
        job, after, ran = errand.job, errand.seconds("created_at", "ended_at"), errand.seconds("started_at", "ended_at")
        line = f"{job['id'][-8:]:<10}{job['task']:<20}{errand.shows:<34}{job['state']:<11}{job['attempt']:>8}"
        remark = "WRONG" if errand.fault() else (job["error"] or {}).get("type", "")
        print(f"{line}{after:>11.2f} s{ran:>7.2f} s  {remark}".rstrip())
    print()


def verify(service: Service, heard: Counter[str], work: list[Errand]) -> list[str]:
    """What is missing or wrong, a sentence each."""
    faults = [f"{errand.shows} ({errand.job['id']}): {fault}" for errand in work if (fault := errand.fault())]
    messages = {e.body["message"] for e in work if e.path == NOTIFICATIONS and e.state == "succeeded"}
    if heard != dict.fromkeys(messages, 1):
        faults.append(f"expected the third parties to hear each message once, got: {dict(heard)}")
    jobs = {errand.job["id"] for errand in work}
    if len(jobs) != len(work) - 1:
        faults.append(f"expected one job for the two requests with one key, got: {len(jobs)} jobs of {len(work)}")
    rows = service.api.get(f"/v1/reports/{work[-1].job['id']}").text.count("\n")
    if rows <= LONG_ROWS:
        faults.append(f"expected the report of the killed worker to be whole, got: {rows:,} lines")
    if died := service.died():
        faults.append(f"expected every process to run to the end, got: {', '.join(died)} ended by itself")
    if not faults:
        print(f"{len(work)} requests, {len(jobs)} jobs, none lost, none done twice.")
    return faults


if __name__ == "__main__":
    sys.exit(main())
