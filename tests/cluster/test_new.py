"""`make new` and `make deploy` are enough for a new service to be reachable through the Ingress."""

import subprocess
from pathlib import Path

import pytest

from tests.cluster import kube
from tests.system.platform import Front, expect
from tests.system.test_new import Copy

pytestmark = pytest.mark.timeout(900)
DEPLOY = "make images && k8s/deploy --set defaults.settings.RATE_LIMITS=off"  # as this cluster has it


def test_new_service_is_reachable_through_the_ingress(shop: Front, tmp_path: Path) -> None:
    copy = Copy(tmp_path / "copy")
    with kube.restored():
        for script in ("make -o .venv/.installed new name=reviews", DEPLOY):
            done = subprocess.run(script, shell=True, cwd=copy.folder, env=copy.environment, text=True, timeout=600)
            assert done.returncode == 0
        assert expect(shop.shopper().get("/api/reviews"), 200)["items"] == []
