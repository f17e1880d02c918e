"""The list of services, and what is derived from it."""

import pytest

from mercato import catalog


@pytest.fixture
def values(tmp_path, monkeypatch):
    path = tmp_path / "values.yaml"
    path.write_text("services:\n  a: {routes: [/api/a, /api/b/a], worker: true, calls: [b]}\n  b: {routes: [/api/b]}\n")
    monkeypatch.setenv("MERCATO_VALUES", str(path))
    catalog.catalog.cache_clear()
    yield
    catalog.catalog.cache_clear()


@pytest.mark.usefixtures("values")
@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("/api/a", ("/api/a", "a")),
        ("/api/a/", ("/api/a", "a")),
        ("/api/ab", ("", "")),
        ("/api/b/x", ("/api/b", "b")),
        ("/api/b/a/x", ("/api/b/a", "a")),
        ("/api/b/ax", ("/api/b", "b")),
        ("", ("", "")),
    ],
)
def test_owner_has_the_longest_prefix_of_whole_segments(path, owner):
    assert catalog.owner(path) == owner


def test_each_service_has_routes_and_calls_known_services():
    services = catalog.catalog()
    assert services
    assert all(entry.routes and set(entry.calls) <= set(services) - {entry.name} for entry in services.values())
