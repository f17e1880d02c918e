"""What is kept in DATA_DIR."""

from mercato.local.folder import Folder


def test_only_one_may_run_in_a_folder(tmp_path):
    first, second = Folder(tmp_path), Folder(tmp_path)
    assert first.lock() and not second.lock()


def test_a_password_is_made_once_and_one_that_is_given_is_kept(tmp_path):
    made = Folder(tmp_path).administrator("a@b.example", "")
    assert len(made["password"]) == 16
    assert Folder(tmp_path).administrator("a@b.example", "") == made
    assert Folder(tmp_path).administrator("a@b.example", "another one") == made, "the account has the first one"
    assert Folder(tmp_path).administrator("c@d.example", "given by hand")["password"] == "given by hand"


def test_a_log_that_has_grown_large_is_set_aside_and_one_old_one_is_kept(tmp_path):
    folder = Folder(tmp_path)
    for text in ("first ", "second"):
        folder.log_path("web").write_text(text * 2_000_000)
        folder.rotate_log("web")
    assert not folder.log_path("web").exists()
    assert folder.log_path("web").with_suffix(".log.old").read_text().startswith("second")
    folder.log_path("web").write_text("small")
    folder.rotate_log("web")
    assert folder.log_path("web").read_text() == "small"
