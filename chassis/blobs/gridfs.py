"""Blobs in MongoDB's GridFS, in the collections `blobs.files` and `blobs.chunks` of the service's database.

GridFS writes the chunks first and then the document of the file, which alone makes the blob visible. A process that
dies in between leaves chunks that nothing reads.
"""

from gridfs import GridFSBucket, NoFile

from chassis.store.mongodb.client import BACKGROUND_TIMEOUT_S, MongodbClient

_BUCKET = "blobs"


class GridFsBlobs:
    """Implements `chassis.blobs.BlobEngine` for up to `threads` threads."""

    def __init__(self, uri: str, database: str, threads: int = 16) -> None:
        self._client = MongodbClient(uri, database, threads)

    def put(self, name: str, data: bytes) -> None:
        files = self._client.database()[f"{_BUCKET}.files"]
        if self._client.read(lambda: files.find_one({"filename": name}, {"_id": True}), self._client.timeout_s()):
            return
        with self._client.time_limit(BACKGROUND_TIMEOUT_S):
            self._bucket().upload_from_stream(name, data)  # concurrent uploads store two, of the same content

    def get(self, name: str) -> bytes | None:
        def work() -> bytes | None:
            try:
                with self._bucket().open_download_stream_by_name(name) as stream:
                    return bytes(stream.read())
            except NoFile:
                return None

        return self._client.read(work, self._client.timeout_s())

    def close(self) -> None:
        self._client.close()

    def _bucket(self) -> GridFSBucket:
        return GridFSBucket(self._client.database(), _BUCKET)
