"""The images of a node, which several checkouts of this machine may build at the same time."""

from pathlib import Path

import pytest

from sandbox.node.images import ImageStore

pytestmark = pytest.mark.own_node


def test_the_file_of_an_image_stays_for_those_about_to_import_it_when_another_one_is_built(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY content /\n")
    archives = []
    for content in ("of one checkout", "of another"):
        (context / "content").write_text(content)
        store._build("localhost/queue-recovery-test:1", context)  # not `build`, which makes the base image first
        archives.append(store._exported("localhost/queue-recovery-test:1").archive)

    assert archives[0] != archives[1]
    assert archives[0].exists()
