"""An id that is not written as the job store's ids are is refused, and the message shows how to write it."""

import pytest

from queue_recovery.api.servers import IdType
from queue_recovery.jobs.documents import fits
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.frozen_jobs import look_up
from queue_recovery.recovery.ids import describe_misfits, written
from queue_recovery.recovery.jobs import listed
from tests.recovery.fakes import Case, target

ID = "662f1c0e9d3e4b0001a1b2c3"


@pytest.mark.parametrize(
    ("job_id", "id_type", "form"),
    [
        (ID.upper(), "ObjectId", f'"{ID}"'),
        (f" {ID}\n", "ObjectId", f'"{ID}"'),
        (f'ObjectId("{ID.upper()}")', "ObjectId", f'"{ID}"'),
        (f"objectid('{ID}')", "ObjectId", f'"{ID}"'),
        (f'{{"$oid": "{ID}"}}', "ObjectId", f'"{ID}"'),
        (f'"{ID}"', "ObjectId", f'"{ID}"'),
        (ID[1:], "ObjectId", None),
        ("662f1c0e9d3e4b0001a1b2cX", "ObjectId", None),
        (42, "ObjectId", None),
        ("42", "Int", "42"),
        ('NumberLong("-42")', "Int", "-42"),
        ("job-42", "Int", None),
        (42, "String", '"42"'),
    ],
)
def test_the_form_to_write_is_shown_where_one_document_is_meant(
    job_id: str | int, id_type: IdType, form: str | None
) -> None:
    assert written(job_id, id_type) == form
    if form is not None:
        assert fits(int(form) if id_type == "Int" else form.strip('"'), id_type)


def test_the_message_names_each_id_with_its_form_and_what_to_do() -> None:
    assert describe_misfits([ID.upper(), "abc"], "ObjectId") == (
        f'idType of the target is ObjectId, and these ids do not have its form: "{ID.upper()}" (write "{ID}"), "abc". '
        'An ObjectId is written as 24 lower-case hexadecimal digits in quotes, such as "662f1c0e9d3e4b0001a1b2c3". '
        "Create a recovery with such ids, or correct idType in the target"
    )
    assert '"9" (write 9) and 990 more. ' in describe_misfits([str(number) for number in range(1000)], "Int")


@pytest.mark.parametrize("other", [ID.upper(), f" {ID}", f'ObjectId("{ID}")'])
async def test_two_forms_of_one_id_never_become_two_jobs(other: str) -> None:
    """Nothing is looked up, so nothing is claimed or enqueued."""
    case = Case(jobs=[ID, other])
    case.jobs.id_type = "ObjectId"
    case.environment.targets["media"] = target(id_type="ObjectId")
    jobs = listed(case.resource.desired.spec)

    with pytest.raises(RecoveryError) as refused:
        _ = [job async for job in look_up(case.recovery(), jobs)]

    assert refused.value.reason == "InvalidJobId"
    assert f'(write "{ID}")' in refused.value.message
