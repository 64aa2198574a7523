"""The operator's settings, read from the environment."""

import socket
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from queue_recovery.recovery.destinations import Destinations, is_host_pattern


class Settings(BaseSettings):
    """All settings; each field is the environment variable `QUEUE_RECOVERY_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="QUEUE_RECOVERY_", frozen=True)

    namespaces: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Namespaces to watch, separated by commas; empty: all namespaces."
    )
    log_format: Literal["json", "console"] = Field("json", description="Format of the log lines.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Lowest level that is logged.")
    http_host: str | None = Field(
        None, description="Address to serve metrics and health on; none: all addresses of the pod."
    )
    http_port: int = Field(8080, ge=0, le=65535, description="Port to serve metrics and health on.")
    metrics_with_names: bool = Field(
        default=False,
        description="Whether metrics have labels for namespace, target and queue. Otherwise metrics of targets are one "
        "series over all targets, which reveals no tenant's names.",
    )
    target_refresh_seconds: float = Field(
        30,
        ge=1,
        le=86400,
        description="Seconds between two checks of a QueueTarget; a change is checked at once.",
    )
    retention_interval_seconds: float = Field(
        300,
        ge=1,
        le=86400,
        description="Seconds between two removals of expired quarantines, for each target.",
    )
    max_draining: int = Field(
        40,
        ge=1,
        le=1000,
        description="How many recoveries may have their workers stopped at the same time; the others wait as `Queued`. "
        "One namespace gets at most a quarter of them.",
    )
    lease_seconds: int = Field(
        15,
        ge=0,
        le=3600,
        description="Seconds that the other replicas wait for a leader that has disappeared without releasing its "
        "lease; 0: no election, for a single replica.",
    )
    allow_local_addresses: bool = Field(
        default=False,
        description="Whether brokers and job stores may have loopback, link-local and metadata addresses: those of the "
        "operator's own pod, its node, and the cloud's metadata service.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Hosts that brokers and job stores may have, separated by commas: names, *. followed by a domain, "
        "addresses, and networks; empty: all hosts.",
    )
    pod_name: str = Field(
        default_factory=socket.gethostname, description="Name of the pod, for the lease and for events."
    )
    pod_namespace: str = Field(
        "queue-recovery",
        description="Namespace of the operator: its lease is there, and RoleBindings that messages ask for name it.",
    )
    service_account: str = Field(
        "queue-recovery", description="ServiceAccount of the operator: RoleBindings that messages ask for name it."
    )

    @field_validator("namespaces", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(map(is_host_pattern, value)):
            raise ValueError("should be names, *. followed by a domain, addresses or networks, separated by commas")
        return value

    @property
    def destinations(self) -> Destinations:
        """The addresses to which the operator connects for a tenant."""
        return Destinations(local_addresses=self.allow_local_addresses, hosts=self.allowed_hosts)

    @field_validator("lease_seconds")
    @classmethod
    def _long_enough(cls, value: int) -> int:
        if value in {1, 2}:
            raise ValueError("should be 0, or at least 3: a request to the API server takes time")
        return value
