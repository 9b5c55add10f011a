"""Which Dask cluster does the work: one key, `cluster`, of a request's YAML file or of a deployment's form."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from dsir_core.errors import RequestError

Memory = Annotated[str, Field(pattern=r"^\d+(\.\d+)? ?([kMGT]i?)?B$")]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, populate_by_name=True)


class LocalSettings(_Settings):
    """Worker processes on this machine."""

    workers: int | None = Field(default=None, ge=1)
    """Worker processes; default: one for each core."""

    memory: Memory | None = None
    """Memory of each worker, as in `4 GiB`; above it the worker is restarted. Default: a share of the machine."""

    @field_validator("memory", mode="before")
    @classmethod
    def _bytes(cls, value: Any) -> Any:
        return f"{value} B" if isinstance(value, int) and not isinstance(value, bool) else value


class Local(_Settings):
    """A cluster on this machine, for the length of the run."""

    model_config = ConfigDict(title="Local")

    local: LocalSettings
    """Worker processes on this machine."""


class TlsSettings(_Settings):
    """Files (PEM) on this machine with which scheduler and client know each other."""

    ca_file: str
    """Certificates of the authority that signed the scheduler's."""

    cert_file: str
    """This client's certificate."""

    key_file: str
    """Its key."""


class Running(_Settings):
    """What holds for a scheduler that runs already."""

    tls: TlsSettings | None = None
    """Certificates, where the scheduler asks for them."""

    wait_seconds: float = Field(default=60.0, gt=0, le=86_400)
    """Seconds to wait for the scheduler, and then for its first worker."""


class Address(Running):
    """A Dask scheduler that runs already, by its address."""

    model_config = ConfigDict(title="Address")

    address: str = Field(pattern=r"^(tcp|tls|ws|wss)://.+")
    """As in `tcp://scheduler:8786`, or `tls://`."""


class SchedulerFile(Running):
    """A Dask scheduler that runs already, by the file it was told to write."""

    model_config = ConfigDict(title="File")

    scheduler_file: str = Field(min_length=1)
    """Path on this machine, as given to `dask scheduler --scheduler-file`."""


class Adaptive(_Settings):
    """Workers come and go with the work."""

    minimum: int = Field(default=0, ge=0)
    """Workers that stay when there is no work."""

    maximum: int = Field(ge=1)
    """Never more workers than this."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError("minimum is above maximum")
        return self


class Started(_Settings):
    """A cluster that a class of Dask's ecosystem starts for the length of the run."""

    model_config = ConfigDict(title="Class")

    class_: str = Field(alias="class", pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")
    """Dotted path, as in `dask_kubernetes.operator.KubeCluster`, `dask_jobqueue.SLURMCluster`, `coiled.Cluster`."""

    options: dict[str, Any] = {}
    """What its constructor is given. No secrets: those belong in the environment."""

    workers: int | None = Field(default=None, ge=1)
    """Scale to this many workers; default: what `options` say."""

    adaptive: Adaptive | None = None
    """Scale with the work, between bounds, instead."""

    wait_seconds: float = Field(default=600.0, gt=0, le=86_400)
    """Seconds to wait for the first worker: machines or jobs must start."""

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.workers is not None and self.adaptive is not None:
            raise ValueError("workers and adaptive exclude each other: give one of them")
        return self


def _kind(value: Any) -> str | None:
    """The tag of a value: the key that it has, or its type's; the first where it has several, and is then refused."""
    keys = set(value) if isinstance(value, dict) else set(getattr(type(value), "model_fields", ()))
    tags = {"local": "local", "address": "address", "scheduler_file": "scheduler_file", "class": "class"}
    return next((tag for key, tag in (tags | {"class_": "class"}).items() if key in keys), None)


def _no_discriminator(schema: dict[str, Any]) -> None:
    # Forms know `anyOf`; exactly one fits all the same, since each kind forbids the others' keys.
    schema["anyOf"] = schema.pop("oneOf")


Cluster = Local | Address | SchedulerFile | Started

ClusterSettings = Annotated[
    Annotated[Local, Tag("local")]
    | Annotated[Address, Tag("address")]
    | Annotated[SchedulerFile, Tag("scheduler_file")]
    | Annotated[Started, Tag("class")],
    Discriminator(
        _kind,
        custom_error_type="cluster",
        custom_error_message="give one of local, address, scheduler_file and class",
    ),
    Field(json_schema_extra=_no_discriminator),
]
"""The value of the key `cluster`."""

HERE = Local(local=LocalSettings())
"""The cluster of a request that names none."""

_ADAPTER: TypeAdapter[Cluster] = TypeAdapter(ClusterSettings)


def parse_cluster(value: Any) -> Cluster:
    """The settings in the value of a `cluster` key.

    Raises:
        RequestError: one line that names each wrong key and what is wrong with it.
    """
    if isinstance(value, dict) and "local" in value and value["local"] is None:
        value = {**value, "local": {}}  # `local:` with nothing behind it
    try:
        return _ADAPTER.validate_python(value)
    except ValidationError as error:
        raise RequestError("; ".join(_describe(problem) for problem in error.errors())) from None


def _describe(problem: Any) -> str:
    # The first step of a place is the tag of the kind.
    place = ".".join(str(part) for part in ("cluster", *problem["loc"][1:]))
    words = {"missing": "required, and not given", "extra_forbidden": "no such setting"}
    return f"{place}: {words.get(problem['type'], problem['msg'].removeprefix('Value error, '))}"
