"""Clusters that run already, and clusters that a class starts; and which workers are refused."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from distributed import LocalCluster, Worker

import dsir_core
from dsir_core.errors import MixedVersionsError, RequestError, RunFailedError
from dsir_core.shards import versions
from tasks.cluster import DASK_CONFIG, start_in_background
from tasks.cluster_settings import Adaptive, Address, Local, LocalSettings, SchedulerFile, Started, TlsSettings
from tasks.clusters import open_cluster
from tasks.executor import DaskExecutor
from tests.hosts import Hosts, hosts
from tests.tasks.functions import Item, hold, until

PACKAGE = Path(dsir_core.__file__).parent


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Hosts]:
    with hosts(tmp_path) as found:
        yield found


def squares(settings: Address | SchedulerFile | Started | Local) -> list[int | None]:
    with open_cluster(settings) as client:
        outcomes = DaskExecutor(client).map(abs, [-1, -2, -3], name="count")
        return sorted(outcome.result for outcome in outcomes)


def test_a_scheduler_that_runs_is_used_and_left_running_and_its_workers_need_no_prefect(cluster: Hosts) -> None:
    cluster.scheduler()
    host = cluster.worker()
    assert squares(Address(address=cluster.address)) == [1, 2, 3]
    assert squares(SchedulerFile(scheduler_file=str(cluster.scheduler_file))) == [1, 2, 3]
    with open_cluster(Address(address=cluster.address)) as client:
        assert DaskExecutor(client).reduce(abs, [-1, -2, -3], sum, name="resample") == 6
        assert client.run(versions.versions) == {next(iter(client.nthreads())): versions.versions()}
    assert host.process.poll() is None


def test_a_scheduler_without_workers_and_no_scheduler_are_told_apart(cluster: Hosts) -> None:
    with pytest.raises(RunFailedError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        squares(Address(address="tcp://127.0.0.1:9", wait_seconds=0.5))
    cluster.scheduler()
    with pytest.raises(RunFailedError, match="has no worker"):
        squares(Address(address=cluster.address, wait_seconds=1))


def test_workers_of_another_version_are_refused_and_named(cluster: Hosts, tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "other" / "dsir_core")
    kinds = tmp_path / "other" / "dsir_core" / "checkpoints" / "kinds.py"
    kinds.write_text(kinds.read_text().replace('Kind("weights", 1,', 'Kind("weights", 99,'))
    cluster.scheduler()
    cluster.worker(PYTHONPATH=str(tmp_path / "other"))
    with pytest.raises(MixedVersionsError) as failure:
        squares(Address(address=cluster.address))
    said = str(failure.value)
    assert "weights weights-v99 there" in said
    assert "source " in said
    assert "tcp://127.0.0.1:" in said
    assert "Install the same version there" in said


def test_workers_without_the_package_are_refused(cluster: Hosts, tmp_path: Path) -> None:
    (tmp_path / "none" / "dsir_core").mkdir(parents=True)
    (tmp_path / "none" / "dsir_core" / "__init__.py").touch()
    cluster.scheduler()
    cluster.worker(PYTHONPATH=str(tmp_path / "none"))
    with pytest.raises(MixedVersionsError, match=r"cannot run dsir_core \(.*No module named"):
        squares(Address(address=cluster.address))


def test_a_worker_of_another_version_that_joins_later_does_nothing(cluster: Hosts, tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "other" / "dsir_core")
    (tmp_path / "other" / "dsir_core" / "added.py").touch()
    cluster.scheduler()
    first = cluster.worker()
    with open_cluster(Address(address=cluster.address)) as client:
        executor = DaskExecutor(client)
        cluster.worker(PYTHONPATH=str(tmp_path / "other"))
        first.kill()
        with pytest.raises(MixedVersionsError, match="source"):
            list(executor.map(abs, [-1], name="count"))
        with pytest.raises(MixedVersionsError, match="source"):
            executor.reduce(abs, [-1], sum, name="resample")


def test_tls(cluster: Hosts, tmp_path: Path) -> None:
    ca, cert, key = certificates(tmp_path)
    words = ["--tls-ca-file", ca, "--tls-cert", cert, "--tls-key", key]
    cluster.scheduler("--protocol", "tls", *words)
    cluster.worker("--protocol", "tls", *words)
    assert cluster.address.startswith("tls://")
    tls = TlsSettings(ca_file=ca, cert_file=cert, key_file=key)
    assert squares(Address(address=cluster.address, tls=tls)) == [1, 2, 3]
    with pytest.raises(RunFailedError, match="no Dask scheduler answers"):
        squares(Address(address=cluster.address, wait_seconds=2))
    missing = TlsSettings(ca_file=f"{tmp_path}/nowhere.pem", cert_file=cert, key_file=key)
    with pytest.raises(RequestError, match=r"cluster\.tls\.ca_file: no such file: .*nowhere\.pem"):
        squares(Address(address=cluster.address, tls=missing))


@pytest.mark.parametrize(
    "size", [{"workers": 2}, {"adaptive": Adaptive(minimum=0, maximum=2)}, {"adaptive": Adaptive(minimum=1, maximum=2)}]
)
def test_a_class_starts_a_cluster_for_the_length_of_a_run(size: dict[str, object]) -> None:
    options = {"n_workers": 0, "processes": False, "dashboard_address": None, "protocol": "tcp"}
    settings = Started(class_="distributed.LocalCluster", options=options, **size)
    with open_cluster(settings) as client:
        cluster = client.cluster
        assert isinstance(cluster, LocalCluster)
        outcomes = DaskExecutor(client).map(abs, range(-20, 0), name="count")
        assert sorted(outcome.result for outcome in outcomes) == list(range(1, 21))
    assert cluster.status.name == "closed"


JOBS = "tests.tasks.submitted.JobCluster"


def memory_settings(dask_worker: Worker) -> tuple[object, object, str]:
    manager = dask_worker.memory_manager
    return manager.memory_pause_fraction, manager.memory_spill_fraction, os.environ["MALLOC_TRIM_THRESHOLD_"]


@pytest.mark.parametrize("size", [{"workers": 1}, {"options": {"n_workers": 1}}], ids=["later", "at once"])
def test_workers_that_a_class_submits_have_our_settings_and_drain(size: dict[str, Any], tmp_path: Path) -> None:
    size = {**size, "options": {"folder": str(tmp_path), **size.get("options", {})}}
    runs = tmp_path / "runs"
    runs.mkdir()
    handler = signal.getsignal(signal.SIGINT)
    with start_in_background(open_cluster(Started(class_=JOBS, **size))) as start:
        assert signal.getsignal(signal.SIGINT) is handler
        client = start.result()
        trim = str(DASK_CONFIG["distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_"])
        assert list(client.run(memory_settings).values()) == [(False, False, trim)]
        outcomes = DaskExecutor(client).map(hold, [Item(0, runs)], name="count")
        found: list[object] = []
        consumer = threading.Thread(target=lambda: found.extend(o.result for o in outcomes))
        consumer.start()
        until((runs / "0").exists)
        os.kill(int((tmp_path / "pid-0").read_text()), signal.SIGTERM)
        until(lambda: "Draining" in (tmp_path / "log-0").read_text())
        (runs / "gate").touch()
        consumer.join(60)
        until(lambda: "Drained" in (tmp_path / "log-0").read_text())
    assert found == [0]
    assert (runs / "0").read_text() == "()"


def test_an_adaptive_cluster_waits_for_workers_as_long_as_it_is_told(tmp_path: Path) -> None:
    settings = Started(
        class_=JOBS, options={"folder": str(tmp_path)}, adaptive=Adaptive(minimum=0, maximum=2), wait_seconds=4321
    )
    with open_cluster(settings) as client:
        assert client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.no_workers_timeout) == 4321


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("os.path.join", "is no cluster class of Dask"),
        ("distributed.NoSuchCluster", "has no NoSuchCluster"),
        ("no_such_package.Cluster", "cannot be imported"),
        ("dask_kubernetes.operator.KubeCluster", r"pip install 'dsir-pipeline\[kubernetes\]'"),
    ],
)
def test_a_class_that_is_none_of_a_cluster_is_refused(path: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask_kubernetes", None)
    with pytest.raises(RequestError, match=said):
        squares(Started(class_=path))


def test_a_cluster_that_does_not_start_says_why_and_keeps_its_options_to_itself() -> None:
    with pytest.raises(RunFailedError, match=r"distributed\.LocalCluster does not start") as failure:
        squares(Started(class_="distributed.LocalCluster", options={"n_workers": "s3cret"}))
    assert "\n" not in str(failure.value)


def test_workers_of_the_request_are_for_this_machine_only() -> None:
    with pytest.raises(RequestError, match="workers is for a cluster on this machine"):
        open_cluster(Address(address="tcp://127.0.0.1:9"), 2)
    with pytest.raises(RequestError, match="differ"):
        open_cluster(Local(local=LocalSettings(workers=3)), 2)


def certificates(folder: Path) -> tuple[str, str, str]:
    """An authority's certificate, and one that it has signed for 127.0.0.1 with its key; paths."""
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)

    def sign(name: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, *, ca: bool) -> bytes:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
        )
        return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    authority, mine = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    written = {
        "ca.pem": sign("authority", authority, authority, ca=True),
        "cert.pem": sign("dsir", mine, authority, ca=False),
        "key.pem": mine.private_bytes(*plain),
    }
    for name, content in written.items():
        (folder / name).write_bytes(content)
    ca, cert, key = (str(folder / name) for name in written)
    return ca, cert, key
