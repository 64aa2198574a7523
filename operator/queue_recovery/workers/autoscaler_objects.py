"""HorizontalPodAutoscalers and KEDA's ScaledObjects, as far as they are read; and how one is paused. Pure.

KEDA stops scaling while the annotation `autoscaling.keda.sh/paused` is true: it ends its loop and deletes its
HorizontalPodAutoscaler, and leaves the replicas alone. The annotation `paused-replicas` would not do: with it KEDA
itself sets the replicas, also after the recovery has set them back.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import Field

from queue_recovery.api.base import GROUP, Model
from queue_recovery.api.worker_ref import DEPLOYMENT
from queue_recovery.recovery.ports import HELD_BY, HELD_BY_UID
from queue_recovery.recovery.ports.autoscalers import PausedBy
from queue_recovery.workers.namespace import Patch
from queue_recovery.workers.objects import KubernetesObject
from queue_recovery.workers.patches import FENCE

PAUSED: Final = "autoscaling.keda.sh/paused"
PAUSED_REPLICAS: Final = "autoscaling.keda.sh/paused-replicas"

PAUSED_BEFORE: Final = f"{GROUP}/paused-before"
"""The annotation with the former value of `PAUSED`; absent: there was none."""

PAUSED_REPLICAS_BEFORE: Final = f"{GROUP}/paused-replicas-before"
"""The same of `PAUSED_REPLICAS`."""

PAUSED_BY: Final = f"{GROUP}/paused-by"
"""The annotation with the name and the UID of the recovery, as `NAME/UID`.

It says the same as the labels, by which the object is found: somebody may remove one of the two.
"""

_NAME_AND_UID: Final = re.compile(r"(?P<name>[a-z0-9][-.a-z0-9]{0,62})/(?P<uid>[-A-Za-z0-9]{1,63})\Z")
"""Any user who may change the object may write any text of any size, where the API server limits labels."""

_BEFORE: Final = {PAUSED: PAUSED_BEFORE, PAUSED_REPLICAS: PAUSED_REPLICAS_BEFORE}

_FALSE: Final = frozenset({"0", "f", "F", "false", "False", "FALSE"})
"""What Go's ParseBool reads as false; KEDA takes any other text for true."""


class ScaleTargetRef(Model):
    """What an autoscaler scales."""

    api_version: str = ""
    """Empty: that of Deployments, as KEDA reads it."""
    kind: str = ""
    """Empty: a Deployment, as KEDA reads it."""
    name: str = ""

    @property
    def group(self) -> str:
        """The API group of what is scaled."""
        return (self.api_version or DEPLOYMENT.api_version).partition("/")[0]


class HPASpec(Model):
    scale_target_ref: ScaleTargetRef = ScaleTargetRef()
    min_replicas: int = 1


class HorizontalPodAutoscaler(KubernetesObject):
    spec: HPASpec = HPASpec()


class ScaledObjectSpec(Model):
    scale_target_ref: ScaleTargetRef = ScaleTargetRef()


class KedaScaledObject(KubernetesObject):
    spec: ScaledObjectSpec = Field(default_factory=ScaledObjectSpec)


def is_frozen(found: KedaScaledObject) -> bool:
    """Return whether KEDA leaves the replicas as they are."""
    annotations = found.metadata.annotations
    return PAUSED_REPLICAS not in annotations and annotations.get(PAUSED, "false") not in _FALSE


def labelled_by(found: KedaScaledObject) -> PausedBy | None:
    """Return the recovery that has paused a ScaledObject, as its labels say."""
    labels = found.metadata.labels
    uid, name = labels.get(HELD_BY_UID), labels.get(HELD_BY)
    return PausedBy(uid=uid, name=name) if uid and name else None


def all_paused_by(found: KedaScaledObject) -> Sequence[PausedBy]:
    """Return the recovery that has paused a ScaledObject, as its labels say and as its annotation says."""
    noted = _NAME_AND_UID.match(found.metadata.annotations.get(PAUSED_BY, ""))
    annotated = None if noted is None else PausedBy(name=noted["name"], uid=noted["uid"])
    return [one for one in (labelled_by(found), annotated) if one is not None]


def pausing(found: KedaScaledObject, by: PausedBy) -> Patch:
    """Return the patch that pauses a ScaledObject, and notes who has and how it was before."""
    annotations = found.metadata.annotations
    changed: dict[str, str | None] = {PAUSED: "true", PAUSED_REPLICAS: None, PAUSED_BY: f"{by.name}/{by.uid}"}
    if not all_paused_by(found):
        changed |= {_BEFORE[name]: annotations.get(name) for name in _BEFORE}
    elif PAUSED_REPLICAS in annotations:
        changed[PAUSED_REPLICAS_BEFORE] = annotations[PAUSED_REPLICAS]  # the user's, since the first pause removed it
    return _patch(found, changed, {HELD_BY: by.name, HELD_BY_UID: by.uid})


def unpausing(found: KedaScaledObject) -> Patch:
    """Return the patch that gives a ScaledObject its former pause back, unless somebody has changed it since."""
    annotations = found.metadata.annotations
    changed: dict[str, str | None] = dict.fromkeys((PAUSED_BY, *_BEFORE.values()))
    if annotations.get(PAUSED) == "true":
        changed[PAUSED] = annotations.get(PAUSED_BEFORE)
    if PAUSED_REPLICAS not in annotations:
        changed[PAUSED_REPLICAS] = annotations.get(PAUSED_REPLICAS_BEFORE)
    return _patch(found, changed, {HELD_BY: None, HELD_BY_UID: None})


def _patch(found: KedaScaledObject, annotations: Mapping[str, str | None], labels: Mapping[str, str | None]) -> Patch:
    condition = {"uid": found.metadata.uid, "resourceVersion": found.metadata.resource_version}
    return {"metadata": {**condition, "annotations": dict(annotations), "labels": {**labels, FENCE: None}}}
