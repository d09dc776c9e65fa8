"""A scheduler that lets in only those who have a certificate."""

import shutil
import subprocess
from contextlib import closing

import dask
import pytest
from distributed import LocalCluster, Security

from benchmark.errors import RequestError
from benchmark.execution import cluster


@pytest.fixture
def certificate(tmp_path):
    """A certificate that vouches for itself, as Dask's configuration names it."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    key, cert = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    words += f" -subj /CN=dask -keyout {key} -out {cert}"
    subprocess.run(words.split(), check=True, capture_output=True)
    roles = ("scheduler", "worker", "client")
    files = {"key": key, "cert": cert}
    settings = {f"{role}.{kind}": path for role in roles for kind, path in files.items()}
    settings["ca-file"] = cert
    return {f"distributed.comm.tls.{name}": path for name, path in settings.items()}


def test_certificates_of_dasks_configuration_are_used(certificate):
    refused = pytest.raises(RequestError, match="cannot be reached")
    with dask.config.set(certificate):
        scheduler = LocalCluster(
            **{"n_workers": 0, "processes": False, "dashboard_address": None},
            **{"protocol": "tls", "security": Security()},
        )
        with scheduler:
            address = scheduler.scheduler_address
            with closing(cluster.Cluster(address)) as connected:
                assert connected.size() == 0
            with dask.config.set(dict.fromkeys(certificate)), refused:
                cluster.Cluster(address)
