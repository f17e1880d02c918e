"""Blobs over both engines: immutable, by name, all or nothing."""

import threading
from collections.abc import Callable

import pytest
from ports import Engine, SqliteEngine

from chassis.blobs import BlobEngine, Blobs
from chassis.blobs.folder import FolderBlobs
from chassis.store import StoreUnavailable

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "mongodb"], indirect=True)

LARGE = bytes(range(256)) * 4096  # more than one chunk of GridFS


@pytest.fixture
def opened(engine: Engine):
    """Return a function that opens the blobs, as another process would."""
    found: list[BlobEngine] = []

    def open_blobs() -> BlobEngine:
        if isinstance(engine, SqliteEngine):
            found.append(FolderBlobs(engine.folder / "blobs"))
        else:
            from chassis.blobs.gridfs import GridFsBlobs

            found.append(GridFsBlobs(engine.uri, engine.database))
        return found[-1]

    yield open_blobs
    for each in found:
        each.close()


@pytest.mark.parametrize("data", [b"", b"small", LARGE], ids=["empty", "small", "large"])
def test_another_process_reads_what_was_stored(opened: Callable[[], BlobEngine], data: bytes) -> None:
    opened().put("ab.webp", data)
    assert opened().get("ab.webp") == data


def test_unknown_blob_is_none(opened: Callable[[], BlobEngine]) -> None:
    assert opened().get("ab.webp") is None


def test_first_content_of_a_name_stays(opened: Callable[[], BlobEngine]) -> None:
    blobs = opened()
    blobs.put("ab.webp", b"first")
    blobs.put("ab.webp", b"second")
    assert blobs.get("ab.webp") == b"first"


def test_concurrent_writers_store_one_whole_blob(opened: Callable[[], BlobEngine]) -> None:
    blobs = opened()
    writers = [threading.Thread(target=blobs.put, args=("ab.webp", LARGE)) for _ in range(8)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert blobs.get("ab.webp") in (None, LARGE)
    assert blobs.get("ab.webp") == LARGE


@pytest.mark.parametrize("name", ["", "../secret", "a/b", ".hidden", "A", "a\0", "a" * 101])
def test_name_that_could_leave_the_folder_is_a_mistake(opened: Callable[[], BlobEngine], name: str) -> None:
    blobs = Blobs().attach(opened())
    with pytest.raises(ValueError, match="name of a blob"):
        blobs.put(name, b"")
    with pytest.raises(ValueError, match="name of a blob"):
        blobs.get(name)


def test_blob_that_cannot_be_written_leaves_nothing(engine: Engine, opened: Callable[[], BlobEngine]) -> None:
    if not isinstance(engine, SqliteEngine):
        pytest.skip("about files")
    blobs = opened()
    folder = engine.folder / "blobs"
    folder.write_text("a file in its place")
    with pytest.raises(StoreUnavailable):
        blobs.put("ab.webp", b"data")
    folder.unlink()
    blobs.put("ab.webp", b"data")
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["ab.webp"]
