"""A real Postgres on loopback, of whatever installation there is."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tracking.mlflow_server import free_port

USER = "loraflow"


class Postgres:
    """A running server with a superuser, which a password lets in."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self._folder = folder
        self._owner = _owner()
        self.port = free_port()
        self.password = secrets.token_hex(12)

    def url(self, database: str, driver: str = "postgresql") -> str:
        return f"{driver}://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def query(self, database: str, text: str) -> list[str]:
        """Return the rows that psql prints."""
        words = ["--no-psqlrc", "--tuples-only", "--no-align", "--command", text]
        return self._run("psql", "--dbname", self.url(database), *words).split()

    def start(self) -> None:
        words = self._folder / "password"
        words.write_text(self.password)
        os.chown(words, self._owner, -1)
        data = str(self._folder / "data")
        self._run(
            *["initdb", "--pgdata", data, "--username", USER, "--encoding", "UTF8", "--no-sync"],
            *["--auth", "scram-sha-256", "--pwfile", str(words), "--locale", "C"],
        )
        options = f"-p {self.port} -h 127.0.0.1 -k {self._folder} -c fsync=off"
        log = str(self._folder / "log")
        self._run("pg_ctl", "start", "--wait", "-D", data, "-l", log, "-o", options)

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "--mode", "immediate", "-D", str(self._folder / "data"))

    def _run(self, program: str, *words: str) -> str:
        done = subprocess.run(
            [self._binaries / program, *words],
            stdout=subprocess.PIPE,
            cwd=self._folder,
            user=self._owner,
            text=True,
            check=True,
            timeout=120,
        )
        return done.stdout


@contextmanager
def running_postgres(*databases: str) -> Iterator[Postgres]:
    """Yield a Postgres with these databases; skip the test where none is installed."""
    folder = Path(tempfile.mkdtemp(prefix="loraflow-pg-"))  # pytest's are root's alone
    try:
        os.chown(folder, _owner(), -1)
        server = Postgres(_binaries(), folder)
        server.start()
        try:
            for database in databases:
                server.query("postgres", f"CREATE DATABASE {database}")
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/opt").glob("pg*/bin")]
    on_path = shutil.which("initdb")
    found = [path for path in [*folders, *([Path(on_path).parent] if on_path else [])]]
    for folder in sorted(found, reverse=True):
        if all((folder / name).exists() for name in ("initdb", "pg_ctl", "psql")):
            return folder
    pytest.skip("there is no Postgres on this machine: apt-get install postgresql")


def _owner() -> int:
    """Return who may run Postgres, which refuses to be root."""
    if os.getuid() != 0:
        return os.getuid()
    names = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    return names.get("postgres", names["nobody"])
