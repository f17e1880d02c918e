"""The response class of every route."""

import pytest

from chassis.web.response import WsgiResponse


@pytest.mark.parametrize(("status", "body", "lengths"), [(200, b"four", ["4"]), (200, None, ["0"]), (204, None, [])])
def test_content_length_is_sent_at_most_once(status, body, lengths):
    sent_headers = []
    chunks = WsgiResponse(body, status)({"REQUEST_METHOD": "GET"}, lambda _, headers: sent_headers.extend(headers))
    assert b"".join(chunks) == (body or b"")
    assert [value for name, value in sent_headers if name.lower() == "content-length"] == lengths
