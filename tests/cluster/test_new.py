"""`make new` and `make deploy` are all that a service of one's own takes to answer through the Ingress."""

import subprocess
from pathlib import Path

import pytest

from tests.cluster import kube
from tests.system.platform import Front, expect
from tests.system.test_new import Copy

pytestmark = pytest.mark.timeout(900)
DEPLOY = "make images && k8s/deploy --set defaults.settings.RATE_LIMITS=off"  # `make deploy`, with what is set here


def test_a_service_that_was_made_answers_through_the_ingress(shop: Front, tmp_path: Path) -> None:
    copy = Copy(tmp_path / "copy")
    with kube.restored():
        for script in ("make -o .venv/.installed new name=reviews", DEPLOY):
            done = subprocess.run(script, shell=True, cwd=copy.folder, env=copy.environment, text=True, timeout=600)
            assert done.returncode == 0
        assert expect(shop.shopper().get("/api/reviews"), 200)["items"] == []
