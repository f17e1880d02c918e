"""The toy shop of pages, for each test anew."""

import pytest
from werkzeug.test import Client

from chassis.web import limits
from tests.unit.chassis.page_shop import app_of, make_pages


@pytest.fixture
def handled():
    """What the handlers got."""
    return []


@pytest.fixture
def pages(tmp_path, handled):
    return make_pages(tmp_path, handled)


@pytest.fixture
def client(pages):
    limits._local._windows.clear()  # every client of a test has the same address
    return Client(app_of(pages))
