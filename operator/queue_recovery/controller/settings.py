"""The operator's settings, read from the environment."""

import socket
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from queue_recovery.recovery.destinations import Destinations, is_host_pattern


class Settings(BaseSettings):
    """Everything that can be set; each field is the environment variable `QUEUE_RECOVERY_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="QUEUE_RECOVERY_", frozen=True)

    namespaces: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Namespaces to watch, separated by commas; empty: all of them."
    )
    log_format: Literal["json", "console"] = Field("json", description="How log lines are written.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="From which level on.")
    http_host: str | None = Field(
        None, description="Address of the port for metrics and health; none: all of the pod's."
    )
    http_port: int = Field(8080, ge=0, le=65535, description="Port for metrics and health.")
    metrics_with_names: bool = Field(
        default=False,
        description="Whether metrics name namespaces, targets and queues. Without it those of targets are one series "
        "over all targets, which tell no tenant's name.",
    )
    target_refresh_seconds: float = Field(
        30, ge=1, le=86400, description="How often a QueueTarget's status is refreshed; changes refresh it at once."
    )
    retention_interval_seconds: float = Field(
        300, ge=1, le=86400, description="How often each broker is searched for quarantines whose time is over."
    )
    max_draining: int = Field(
        40,
        ge=1,
        le=1000,
        description="How many recoveries may have their workers stopped at once; the others wait as `Queued`. One "
        "namespace gets at most a quarter of them.",
    )
    lease_seconds: int = Field(
        15,
        ge=0,
        le=3600,
        description="How long a leader that is gone without releasing its lease keeps the others waiting; 0: no "
        "election, for one replica alone.",
    )
    allow_local_addresses: bool = Field(
        default=False,
        description="Whether brokers and job stores may be at loopback, link-local and metadata addresses: the "
        "operator's own pod, its node, and the cloud's metadata service.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="The only hosts of brokers and job stores, separated by commas: names, *. and a domain, addresses "
        "and networks; empty: all of them.",
    )
    pod_name: str = Field(
        default_factory=socket.gethostname, description="The pod's name, as the lease and events report it."
    )
    pod_namespace: str = Field(
        "queue-recovery",
        description="The operator's own namespace: its lease is there, and the RoleBinding that a message asks for "
        "names it.",
    )
    service_account: str = Field(
        "queue-recovery", description="The operator's ServiceAccount, named in the RoleBinding that a message asks for."
    )

    @field_validator("namespaces", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(map(is_host_pattern, value)):
            raise ValueError("should be names, *. and a domain, addresses or networks, separated by commas")
        return value

    @property
    def destinations(self) -> Destinations:
        """To which addresses the operator connects for a tenant."""
        return Destinations(local_addresses=self.allow_local_addresses, hosts=self.allowed_hosts)

    @field_validator("lease_seconds")
    @classmethod
    def _long_enough(cls, value: int) -> int:
        if value in {1, 2}:
            raise ValueError("should be 0, or at least 3: a request to the API server takes its time")
        return value
