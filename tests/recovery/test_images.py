"""A recovery that is applied beside its fix: before it, with it, after it, and while the fix is taken back."""

from collections.abc import Mapping
from time import process_time

import pytest

from queue_recovery.api.required_image import RequiredImage
from queue_recovery.recovery.images import describe_missing
from tests.recovery.fakes import Case

BROKEN, FIXED = "registry.example.com/tts:1.4.1", "registry.example.com/tts:1.4.2"
REQUIRED = {"requireImage": [{"name": "worker", "image": FIXED}]}


def case(image: str, **fields: object) -> Case:
    made = Case({"restart": REQUIRED, **fields}, jobs=["a", "b"])
    made.broker.add("old-a")
    deploy(made, image)
    return made


def deploy(made: Case, image: str, **fields: object) -> None:
    """Give the workers an image, as a rollout does."""
    generation = made.workers.deployments["worker"].generation + 1
    made.workers.change("worker", images={"main": image}, generation=generation, **fields)
    made.environment.report_change()


async def test_before_the_fix_nothing_is_touched_and_with_it_the_recovery_starts_by_itself() -> None:
    made = case(BROKEN)
    working = made.start()

    said = await made.waits("AwaitingImage")

    assert said.endswith(
        f'waiting since 2030-01-01T00:00:00Z: Deployment "worker" has "{BROKEN}" (container "main"), and '
        f'restart.requireImage asks for "{FIXED}"'
    )
    assert (made.status.phase, made.broker.queued()) == ("Pending", ["old-a"])
    assert "scale_to_zero" not in made.workers.calls
    deploy(made, FIXED)
    await working
    assert (made.status.phase, made.jobs.statuses) == ("Succeeded", {"a": "pending", "b": "pending"})


@pytest.mark.parametrize(
    ("mode", "call"),
    [
        *(("Quarantine", call) for call in ("follow", "scale_to_zero", "scale_back", "freeze", "take", "pushed")),
        *(("None", call) for call in ("follow", "freeze", "pushed")),
    ],
)
async def test_a_fix_that_is_taken_back_in_the_middle_gets_no_job_until_it_is_there_again(mode: str, call: str) -> None:
    made = case(FIXED, purge={"mode": mode})
    pushed_to: list[str] = []

    def take_back() -> None:
        del called.on_call[call]
        deploy(made, BROKEN)

    called = made.workers if call in {"follow", "scale_to_zero", "scale_back"} else made.broker
    called.on_call[call] = take_back
    made.broker.on_call["push"] = lambda: pushed_to.append(made.workers.deployments["worker"].images["main"])
    working = made.start()

    await made.waits("AwaitingImage")
    assert pushed_to == []
    deploy(made, FIXED)
    await working

    assert (made.status.phase, set(pushed_to)) == ("Succeeded", {FIXED})


async def test_between_two_jobs_too_the_fix_has_to_be_there() -> None:
    made = case(FIXED, reenqueue={"ratePerSecond": 1})
    made.environment.on_pause = lambda: deploy(made, BROKEN) if made.jobs.statuses["a"] == "pending" else None
    working = made.start()

    said = await made.waits("AwaitingImage")

    assert "no job is enqueued until then" in said
    assert made.jobs.statuses == {"a": "pending", "b": "failed"}
    made.environment.on_pause = lambda: None
    deploy(made, FIXED)
    await working
    assert made.jobs.statuses == {"a": "pending", "b": "pending"}


async def test_no_job_is_enqueued_while_pods_of_the_image_before_may_run() -> None:
    made = case(FIXED, purge={"mode": "None"})
    made.workers.change("worker", rollout="1 old replica pending termination")
    working = made.start()

    await made.waits("AwaitingRollout")
    assert made.jobs.statuses == {"a": "failed", "b": "failed"}

    made.workers.change("worker", rollout=None)
    await working
    assert made.status.phase == "Succeeded"


@pytest.mark.parametrize("call", ["start", "pass_boundary"])
async def test_no_job_is_enqueued_while_a_strategy_keeps_pods_of_the_image_before(call: str) -> None:
    made = case(FIXED, purge={"mode": "None"})
    outdated = "1 of 2 replicas are of its template, because updateStrategy.type is OnDelete"

    def keep_pods() -> None:
        made.broker.on_call.clear()
        made.workers.change("worker", outdated=outdated)

    if call == "start":
        keep_pods()
    else:
        made.broker.on_call[call] = keep_pods
    working = made.start()

    said = await made.waits("AwaitingImage")
    assert f'Deployment "worker": {outdated}. Set partition to 0; if the type is OnDelete, delete the pods' in said
    assert made.jobs.statuses == {"a": "failed", "b": "failed"}
    assert (made.status.drain_start_time is None) == (call == "start")

    made.workers.change("worker", outdated=None)
    made.environment.report_change()
    await working
    assert made.status.phase == "Succeeded"


async def test_where_all_pods_are_stopped_those_of_the_image_before_do_not_keep_it_from_starting() -> None:
    made = case(FIXED)
    made.workers.change("worker", outdated="1 of 2 replicas are of its template")

    def replace_pods() -> None:
        made.workers.change("worker", outdated=None)

    made.workers.on_call["scale_back"] = replace_pods

    await made.reaches("Succeeded")


async def test_a_dry_run_plans_without_the_fix_and_the_recovery_waits_for_it_once_it_is_resumed() -> None:
    made = case(BROKEN, suspend=True)
    await made.reconciled()
    assert made.status.plan is not None

    made.resource.change(suspend=False)
    working = made.start()
    await made.waits("AwaitingImage")
    deploy(made, FIXED)
    await working

    assert made.status.phase == "Succeeded"


async def test_a_deployment_that_is_none_of_the_queues_workers_is_refused() -> None:
    made = case(FIXED, restart={"requireImage": [{"name": "web", "image": "*"}]})

    status = await made.reaches("Failed", "WorkerNotInTarget")

    assert status.message.startswith(
        'restart.requireImage names Deployment "web", and the queue\'s workers are Deployment "worker".'
    )


async def test_one_that_requires_nothing_looks_at_no_image() -> None:
    plain, required = Case(jobs=["a"]), case(FIXED)

    await plain.reaches("Succeeded")
    await required.reaches("Succeeded")

    assert required.workers.calls.count("look") > plain.workers.calls.count("look")


DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("images", "asked", "missing"),
    [
        ({"main": FIXED}, {"image": FIXED}, ""),
        ({"main": FIXED}, {"image": "*/tts:1.4.*"}, ""),
        ({"main": f"{FIXED}@{DIGEST}"}, {"image": f"*@{DIGEST}"}, ""),
        ({"main": "TTS:1"}, {"image": "tts:1"}, 'has "TTS:1" (container "main")'),
        ({"main": f"{FIXED}1"}, {"image": FIXED}, f'has "{FIXED}1" (container "main")'),
        ({"proxy": "envoy:1", "main": FIXED}, {"image": FIXED}, ""),
        ({"proxy": FIXED, "main": BROKEN}, {"image": FIXED, "container": "main"}, f'has "{BROKEN}" (container "main")'),
        ({"main": FIXED}, {"image": FIXED, "container": "app"}, 'has no container "app", only "main"'),
        ({"main": "a" * 2000}, {"image": "*a" * 200 + "b"}, 'asks for "*a*a'),
        ({"main": "a"}, {"image": "a*a"}, 'has "a" (container "main")'),
        ({"main": "aba"}, {"image": "a*b*ba"}, 'has "aba" (container "main")'),
        ({"main": "a-b-b"}, {"image": "a**b*b"}, ""),
        ({"main": "tts"}, {"image": "*"}, ""),
        ({"main": "a" * 8192}, {"image": "a*"}, ""),
        ({"main": "a" * 8193}, {"image": "a*"}, "has images of more than 8192 characters together"),
        ({"main": "a" * 5000, "proxy": "a" * 5000}, {"image": "a*"}, "images of more than 8192 characters"),
        ({"main": FIXED, "proxy": "a" * 9000}, {"image": FIXED, "container": "main"}, ""),
    ],
)
def test_an_image_is_compared_as_the_pod_template_names_it(
    images: Mapping[str, str], asked: Mapping[str, str], missing: str
) -> None:
    required = RequiredImage.model_validate({"name": "worker", **asked})
    worker = Case().workers.add("worker", images=images)

    said = describe_missing([required], [worker])

    assert missing in said
    assert bool(missing) == bool(said)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("a" * 1_200_000, "*" + "a" * 497 + "b*"),
        ("a" * 8192, "*" + "a" * 249 + "b" + "a" * 249),
        ("ab" * 4096, "*ab" * 150 + "c"),
    ],
)
def test_the_patterns_and_images_of_a_tenant_do_not_occupy_the_event_loop(text: str, pattern: str) -> None:
    made = Case()
    names = [f"worker-{number}" for number in range(20)]
    workers = [made.workers.add(name, images={"main": text}) for name in names]
    required = [RequiredImage(name=name, image=pattern) for name in names]

    started = process_time()
    missing = describe_missing(required, workers)

    assert process_time() - started < 0.06
    assert missing.count("restart.requireImage asks for") == 20
