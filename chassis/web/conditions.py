"""Conditional requests (RFC 9110, section 13): entity tags, `If-None-Match` and `If-Match`.

    ETag: "7-1f0c9a66b0e5d2c4"      version 7 of the object, and a digest of its representation

`If-None-Match` compares the whole tag: a representation may change without a new version, as the stock of a product
does. `If-Match` compares the version alone: such a change is no reason to reject a write. Both read lists, and weak
forms of our tags, into which a proxy that compresses turns them.
"""

import re
from hashlib import blake2b

from chassis.errors import IfMatch

_DIGEST_BYTES = 8
_MEMBER = re.compile(r'[ \t]*(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?:,[ \t,]*|$)')
_OWN = re.compile(r"([0-9]{1,18})(?:-[0-9a-f]+)?", re.ASCII)


def etag(version: int, body: bytes) -> str:
    """Return the entity tag of a representation of this version."""
    return f'"{version}-{blake2b(body, digest_size=_DIGEST_BYTES).hexdigest()}"'


def is_unchanged(if_none_match: str, tag: str) -> bool:
    """Return whether `If-None-Match` names the representation with this tag: the client has it already."""
    return if_none_match.strip() == "*" or tag.strip('"') in _members(if_none_match)


def accepted_versions(if_match: str | None) -> IfMatch:
    """Return the versions that an `If-Match` header accepts; tags that are not ours accept none."""
    if if_match is None or if_match.strip() == "*":
        return None
    return frozenset(int(found[1]) for tag in _members(if_match) if (found := _OWN.fullmatch(tag)))


def _members(header: str) -> list[str]:
    """Return the opaque tags of a list of entity tags; none if the header is malformed."""
    found: list[str] = []
    at = len(header) - len(header.lstrip(" \t,"))
    while at < len(header):
        member = _MEMBER.match(header, at)
        if member is None:
            return []
        found.append(member[1])
        at = member.end()
    return found
