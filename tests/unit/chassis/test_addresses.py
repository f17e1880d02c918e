"""Addresses of upstreams, and of clients behind trusted proxies."""

import socket

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from chassis.calls.discovery import resolver
from chassis.settings import Settings
from chassis.web import client_address

PODS = ["10.1.0.7", "10.1.0.8"]
NAMES = {"users-pods": PODS, "users": ["10.2.0.1"]}


@pytest.fixture
def dns(monkeypatch):
    def looked_up(name, port, **_):
        if name not in NAMES:
            raise socket.gaierror
        return [(socket.AF_INET, None, None, "", (address, port)) for address in NAMES[name]]

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)


@pytest.mark.usefixtures("dns")
def test_listed_name_resolves_to_all_its_addresses():
    found = resolver("users", "users-pods:8080|users:80|gone:80")()
    assert found == [["10.1.0.7:8080", "10.1.0.8:8080", "10.2.0.1:80"]]


@pytest.mark.usefixtures("dns")
def test_spare_addresses_are_a_second_tier():
    found = resolver("users", "users-pods:8080||users:80")()
    assert found == [["10.1.0.7:8080", "10.1.0.8:8080"], ["10.2.0.1:80"]]


@pytest.mark.usefixtures("dns")
def test_unlisted_upstream_resolves_by_its_own_name():
    assert resolver("users", "")() == [["10.2.0.1:80"]]
    assert resolver("nobody", "")() == [[]]


def test_listed_address_resolves_to_itself():
    assert resolver("users", "127.0.0.1:8101|[::1]:8102")() == [["127.0.0.1:8101", "[::1]:8102"]]


@pytest.mark.parametrize(
    ("proxy", "believed"),
    [("10.1.2.3", True), ("127.0.0.1", True), ("fd00::7", True), ("11.0.0.1", False), ("127.0.0.2", False)],
)
def test_forwarded_address_is_believed_only_from_trusted_proxies(monkeypatch, proxy, believed):
    trusting: Settings = Settings.from_environment({"TRUSTED_PROXIES": "10.0.0.0/8,127.0.0.1,fc00::/7"})
    monkeypatch.setattr(client_address, "settings", lambda: trusting)
    client_address.is_trusted.cache_clear()
    headers = {"X-Forwarded-For": "1.1.1.1, 2.2.2.2"}
    request = Request(EnvironBuilder(headers=headers, environ_overrides={"REMOTE_ADDR": proxy}).get_environ())
    assert client_address.client_address(request) == ("2.2.2.2" if believed else proxy)
    client_address.is_trusted.cache_clear()


def test_wrong_network_is_rejected_with_the_name_of_the_setting():
    with pytest.raises(SystemExit, match="TRUSTED_PROXIES"):
        Settings.from_environment({"TRUSTED_PROXIES": "everybody"})
