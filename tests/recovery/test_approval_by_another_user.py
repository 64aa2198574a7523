"""A target that does not let the author of a recovery approve it."""

import pytest

from tests.recovery.approvals import NOT_THE_AUTHOR, assert_untouched, awaits, case

AUTHOR, APPROVER = "media-developer", "media-lead"


async def test_the_author_may_be_kept_from_approving() -> None:
    made = case(NOT_THE_AUTHOR)
    made.resource.is_author_guarded = True
    made.resource.annotate(author=AUTHOR)
    asked = await awaits(made)
    assert made.status.message.endswith(
        f"queuerecovery.dev/approve={asked.digest} queuerecovery.dev/approver="
        "\"$(kubectl auth whoami -o jsonpath='{.status.userInfo.username}')\""
    )

    made.resource.annotate(approve=asked.digest)
    await awaits(made)
    assert "the annotation queuerecovery.dev/approver is missing" in made.status.message
    made.resource.annotate(approver=AUTHOR)
    await awaits(made)
    assert "the author of the recovery may not approve it" in made.status.message
    assert_untouched(made)

    made.resource.annotate(approver=APPROVER)
    status = await made.reaches("Succeeded")
    assert status.approval is not None
    assert status.approval.approver == APPROVER


@pytest.mark.parametrize(
    ("author", "guarded", "said"),
    [("", True, "no author is named"), (AUTHOR, False, "the policies of manifests/admission were not in force")],
)
async def test_without_proof_of_the_author_it_fails(author: str, guarded: bool, said: str) -> None:  # noqa: FBT001
    made = case(NOT_THE_AUTHOR)
    made.resource.is_author_guarded = guarded
    made.resource.annotate(author=author, approver=APPROVER)

    status = await made.reaches("Failed", "AuthorUnknown")

    assert said in status.message
    assert_untouched(made)


async def test_a_proof_that_is_gone_at_the_intent_is_none() -> None:
    made = case(NOT_THE_AUTHOR)
    made.resource.is_author_guarded = True
    made.resource.annotate(author=AUTHOR)
    asked = await awaits(made)
    made.resource.annotate(approve=asked.digest, approver=APPROVER)
    made.workers.on_call["follow"] = lambda: setattr(made.resource, "is_author_guarded", False)

    await made.reaches("Failed", "AuthorUnknown")

    assert_untouched(made)
