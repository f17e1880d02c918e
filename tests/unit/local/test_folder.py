"""DATA_DIR: lock, administrator, logs and format."""

import pytest

from chassis.store.format import VERSION
from mercato.local.folder import Folder
from mercato.local.running_platform import find_run


def test_folder_can_be_locked_once(tmp_path):
    first, second = Folder(tmp_path), Folder(tmp_path)
    assert first.lock() and not second.lock()


def test_administrator_is_kept_until_it_is_forgotten(tmp_path):
    kept = {"email": "a@b.example", "password": "correct horse battery"}
    assert Folder(tmp_path).administrator() is None
    Folder(tmp_path).write("admin.json", kept)
    assert Folder(tmp_path).administrator() == kept
    Folder(tmp_path).forget_administrator()
    Folder(tmp_path).forget_administrator()
    assert Folder(tmp_path).administrator() is None


def test_secret_is_generated_once_and_a_second_line_is_accepted_too(tmp_path):
    generated = Folder(tmp_path).secrets()
    assert len(generated["PLATFORM_SECRET"]) == 64 and generated["PLATFORM_SECRET_ACCEPTED"] == ""
    assert Folder(tmp_path).secrets() == generated
    (tmp_path / "secret").write_text("the next one\nthe former one\n")
    assert Folder(tmp_path).secrets() == {
        "PLATFORM_SECRET": "the next one",
        "PLATFORM_SECRET_ACCEPTED": "the former one",
    }


def test_large_log_is_rotated_and_one_old_log_is_kept(tmp_path):
    folder = Folder(tmp_path)
    for text in ("first ", "second"):
        folder.log_path("web").write_text(text * 2_000_000)
        folder.rotate_log("web")
    assert not folder.log_path("web").exists()
    assert folder.log_path("web").with_suffix(".log.old").read_text().startswith("second")
    folder.log_path("web").write_text("small")
    folder.rotate_log("web")
    assert folder.log_path("web").read_text() == "small"


def test_new_folder_is_marked_with_its_format(tmp_path):
    Folder(tmp_path / "data")
    assert Folder(tmp_path / "data").read("format.json") == {"format": VERSION}


@pytest.mark.parametrize(("marker", "age"), [(None, "an earlier"), (1, "an earlier"), (VERSION + 1, "a later")])
def test_folder_of_another_version_is_refused(tmp_path, marker, age):
    (tmp_path / "secret").write_text("of that version")
    if marker is not None:
        (tmp_path / "format.json").write_text(f'{{"format": {marker}}}')
    for use in (Folder, find_run):
        with pytest.raises(SystemExit, match=rf"^mercato: .* was made by {age} version .*: set DATA_DIR .*$"):
            use(tmp_path)
    assert not (tmp_path / "lock").exists()
