"""A real FTP server, in a thread, that misbehaves on demand."""

from __future__ import annotations

import datetime
import ipaddress
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

with warnings.catch_warnings():  # Python 3.11 still has the asyncore that it builds on, and says that 3.12 has not
    warnings.simplefilter("ignore", DeprecationWarning)
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

DATE = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC


class Fault:
    """What happens to one RETR: an answer instead of the file, or (after ``after`` bytes) something worse."""

    def __init__(self, kind: str, after: int = 0) -> None:
        self.kind, self.after = kind, after


def answers(text: str) -> Fault:
    return Fault(text)


def drops(after: int) -> Fault:
    return Fault("drop", after)


def truncates(after: int) -> Fault:
    return Fault("truncate", after)


def stalls() -> Fault:
    return Fault("stall")


def changes(content: bytes) -> Fault:
    fault = Fault("change")
    fault.content = content  # type: ignore[attr-defined]
    return fault


class _Short:
    """A file that ends early, with or without the connection."""

    def __init__(self, file: Any, fault: Fault, handler: Any) -> None:
        self.file, self.fault, self.handler = file, fault, handler
        self.left = fault.after

    def read(self, size: int = -1) -> bytes:
        chunk: bytes = self.file.read(min(size, self.left) if size >= 0 else self.left)
        self.left -= len(chunk)
        if not chunk and self.fault.kind == "drop":
            self.handler.close()
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


class Ftp:
    """``ftp["a.tsv"] = b"..."``; ``commands`` has what clients asked for."""

    def __init__(self, folder: Path, certificate: Path | None = None) -> None:
        self.folder = folder
        self.faults: list[Fault] = []
        self.refusals: list[str] = []
        """What the next logins are answered."""
        self.unknown: set[str] = set()
        """Commands that the server does not know."""
        self.commands: list[str] = []
        self.stalled = threading.Event()
        self._end = threading.Event()
        self.loop = IOLoop()
        authorizer = DummyAuthorizer()
        authorizer.add_anonymous(str(folder))
        authorizer.add_user("me", "secret", str(folder))
        self.server = FTPServer(("127.0.0.1", 0), self._handler(authorizer, certificate), ioloop=self.loop)
        self.address = f"127.0.0.1:{self.server.address[1]}"
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _handler(self, chosen: DummyAuthorizer, certificate: Path | None) -> type[FTPHandler]:
        ftp, base = self, TLS_FTPHandler if certificate else FTPHandler

        class Handler(base):  # type: ignore[misc,valid-type]
            authorizer = chosen
            use_sendfile = False
            auth_failed_timeout = 0
            certfile = str(certificate)
            tls_control_required = tls_data_required = bool(certificate)

            def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
                ftp.commands.append(f"{cmd} {arg}".strip())
                if cmd == "PASS" and ftp.refusals:
                    self.respond(ftp.refusals.pop(0))
                elif cmd in ftp.unknown:
                    self.respond(f"500 {cmd} not understood")
                else:
                    super().pre_process_command(line, cmd, arg)

            def ftp_RETR(self, file: str) -> Any:
                fault = ftp.faults.pop(0) if ftp.faults else None
                if fault is None:
                    return super().ftp_RETR(file)
                if fault.kind[0].isdigit():
                    return self.respond(fault.kind)
                if fault.kind == "stall":
                    self.respond("150 About to begin")
                    return ftp.stalled.set()
                if fault.kind == "change":
                    Path(file).write_bytes(fault.content)
                    return super().ftp_RETR(file)
                return self._short(file, fault)

            def _short(self, file: str, fault: Fault) -> Any:
                opened = self.fs.open
                self.fs.open = lambda *args: _Short(opened(*args), fault, self)
                try:
                    return super().ftp_RETR(file)
                finally:
                    self.fs.open = opened

        return Handler

    def _serve(self) -> None:
        while not self._end.is_set():
            self.loop.loop(timeout=0.01, blocking=False)
        self.server.close_all()

    def __setitem__(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (DATE, DATE))

    def url(self, path: str, scheme: str = "ftp") -> str:
        return f"{scheme}://{self.address}/{path}"

    def asked(self, command: str) -> list[str]:
        return [line for line in self.commands if line.startswith(command)]

    def close(self) -> None:
        self._end.set()
        self.thread.join()


@contextmanager
def ftp_server(folder: Path, certificate: Path | None = None) -> Iterator[Ftp]:
    folder.mkdir(exist_ok=True)
    ftp = Ftp(folder, certificate)
    try:
        yield ftp
    finally:
        ftp.close()


def self_signed(file: Path) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    place = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(place, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + certificate.public_bytes(pem))
    return file
