"""Which processes a change of code restarts."""

import pytest

from mercato.local import reloading


@pytest.fixture
def code(tmp_path, monkeypatch):
    """Two services, the chassis and the tool in a folder."""
    for name in ("services/a", "services/b", "chassis", "mercato"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "__init__.py").touch()
    monkeypatch.setattr(reloading, "catalog", lambda: dict.fromkeys("ab"))
    monkeypatch.setattr(reloading, "_folder", lambda package: tmp_path.joinpath(*package.split(".")))
    monkeypatch.setattr(reloading, "_TOOL", tmp_path / "mercato")
    return tmp_path


@pytest.mark.parametrize(
    ("written", "services"),
    [
        (["services/a/api.py"], {"a"}),
        (["services/a/pages/cart.html"], {"a"}),
        (["services/a/api.py", "services/b/api.py"], {"a", "b"}),
        (["services/b/messages.py"], {"a", "b"}),
        (["chassis/errors.py"], None),
        (["mercato/cli/new.py", "services/a/api.py"], None),
        (["services/a/contract/openapi.yaml", "services/a/api.py~"], set()),
    ],
)
def test_poll_returns_the_services_that_run_changed_code(code, written, services):
    reloader = reloading.Reloader()
    assert reloader.poll() == (set(), set())
    for name in written:
        (code / name).parent.mkdir(exist_ok=True)
        (code / name).write_text("changed")
    changed, found = reloader.poll()
    assert found == services
    assert changed == {code / name for name in written if name.endswith((".py", ".html"))}
    assert reloader.poll() == (set(), set())


def test_poll_sees_a_deleted_file(code):
    reloader = reloading.Reloader()
    (code / "services" / "b" / "__init__.py").unlink()
    assert reloader.poll()[1] == {"b"}
