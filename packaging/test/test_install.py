"""`make install` and `make uninstall`."""

from conftest import TOP, VERSION, run


def files(directory):
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}


def test_uninstall_removes_what_install_put_there_and_nothing_else(tmp_path):
    for arguments in ([], ["PREFIX=/opt/drain-init", "ZSH_COMPLETIONS=/etc/zsh/functions"]):
        make = ["make", "-C", TOP, f"DESTDIR={tmp_path}", *arguments]
        prefix = "opt/drain-init" if arguments else "usr"
        (tmp_path / prefix / "bin").mkdir(parents=True)
        (tmp_path / prefix / "bin/other").touch()
        run(*make, "install")
        installed = files(tmp_path)
        assert {f"{prefix}/bin/drain-init", f"{prefix}/share/man/man1/drain-init.1"} < installed
        for shell in ("bash-completion", "zsh", "fish"):
            assert any(f"{shell}/" in path for path in installed), shell
        assert VERSION in run(tmp_path / prefix / "bin/drain-init", "--version")
        run(*make, "uninstall")
        assert files(tmp_path) - {f"{other}/bin/other" for other in ("usr", "opt/drain-init")} == set()
        # A second time it has nothing to do.
        run(*make, "uninstall")
