"""The list of services, and what is derived from it."""

import pytest

from mercato import catalog

VALUES = """
services:
  a: {routes: [/api/a, /api/b/a], worker: true, calls: [b]}
  b: {routes: [/api/b], exact: [/, /health, /api/a/x]}
"""


@pytest.fixture
def values(tmp_path, monkeypatch):
    path = tmp_path / "values.yaml"
    path.write_text(VALUES)
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
        ("/", ("/", "b")),
        ("//", ("", "")),
        ("/health", ("/health", "b")),
        ("/health/", ("", "")),
        ("/health/x", ("", "")),
        ("/api/a/x", ("/api/a/x", "b")),
        ("/api/a/xx", ("/api/a", "a")),
    ],
)
def test_owner_has_the_exact_path_or_the_longest_prefix_of_whole_segments(path, owner):
    assert catalog.owner(path) == owner


def test_prefix_of_all_paths_is_rejected(tmp_path, monkeypatch):
    path = tmp_path / "values.yaml"
    path.write_text("services: {a: {routes: [/]}}")
    monkeypatch.setenv("MERCATO_VALUES", str(path))
    catalog.catalog.cache_clear()
    try:
        with pytest.raises(SystemExit, match="exact"):
            catalog.catalog()
    finally:
        catalog.catalog.cache_clear()


@pytest.mark.parametrize("path", ["/internal/x", "/metrics", "/livez", "/api/nope", "/api", "/health/x", "/x"])
def test_private_and_unknown_paths_have_no_owner(path):
    assert catalog.owner(path) == ("", "")


def test_each_service_has_routes_and_calls_known_services():
    services = catalog.catalog()
    assert services
    assert all(entry.routes and set(entry.calls) <= set(services) - {entry.name} for entry in services.values())
