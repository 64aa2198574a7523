"""Deployments that a recovery holds, as `kubectl label` makes them."""

_HELD_BY, _UID, _REPLICAS = (f"queuerecovery.dev/{name}" for name in ("held-by", "held-by-uid", "scale-back-to"))

NOTE = frozenset({_HELD_BY, _UID, _REPLICAS})
"""The labels of a Deployment that is held."""

RELEASE = [f"{name}-" for name in sorted(NOTE)]
"""What `kubectl label` takes to remove them."""


def held_by(uid: str, name: str, *, replicas: int | str) -> list[str]:
    """Return what `kubectl label` takes to let a recovery hold a Deployment."""
    return [f"{_HELD_BY}={name}", f"{_UID}={uid}", f"{_REPLICAS}={replicas}"]
