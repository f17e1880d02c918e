"""The choice of the engine of blobs by the settings."""

from chassis.blobs import BlobEngine
from chassis.blobs.folder import FolderBlobs
from chassis.settings import Settings


def open_blobs(settings: Settings, service: str) -> BlobEngine:
    """Return the blobs of one service. They connect at their first use."""
    if uri := settings.mongodb_uri.get_secret_value():
        from chassis.blobs.gridfs import GridFsBlobs

        return GridFsBlobs(uri, settings.prefix + service, settings.threads)
    return FolderBlobs(settings.data_dir / "blobs" / service)
