"""TLS as the options of a server's URL ask for it: whose certificates we trust, and which one is ours."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

from gridsidecar.config.trust import system_trust

TlsMode = Literal["preferred", "required", "verify_ca", "verify_identity"]

TLS_OPTIONS = ("ssl_mode", "ssl_ca", "ssl_cert", "ssl_key")
_EARLIER = {"cafile": "ssl_ca", "certfile": "ssl_cert", "keyfile": "ssl_key"}  # names of RabbitMQ's clients
_OTHER_AUTHORITIES = ("capath", "cadata")
_FILES = ("ssl_ca", "ssl_cert", "ssl_key")
_MODES: dict[str, TlsMode] = {
    "preferred": "preferred",
    "required": "required",
    "verify_ca": "verify_ca",
    "verify_identity": "verify_identity",
}
_Stamp = tuple[int, int, int]


class Tls(Struct, frozen=True, kw_only=True):
    """`preferred` encrypts where the server offers it, `required` always; both verify nothing. `verify_ca` verifies the
    chain, `verify_identity` the name too. The rest are files in PEM; without `ca` the system's authorities count."""

    mode: TlsMode
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    @classmethod
    def of(cls, options: Mapping[str, str], default: TlsMode | None) -> Tls | None:
        """None where there is to be no TLS. ValueError where the options contradict each other.

        Whoever names an authority wants it asked: then `preferred` and `required` verify chain and name as well.
        """
        for name in _FILES:
            if options.get(name) == "":
                raise ValueError(f"{name} is empty: name a file, or leave it out")
        if "ssl_key" in options and "ssl_cert" not in options:
            raise ValueError("ssl_key means nothing without ssl_cert, the certificate that belongs to it")
        given = options.get("ssl_mode", "").lower()
        if given not in ("", "disabled", *_MODES):
            raise ValueError(f"ssl_mode must be one of disabled, {', '.join(_MODES)}")
        mode = _MODES.get(given, default)
        if given == "disabled" or (mode is None and not set(_FILES) & set(options)):
            return None
        if mode is None or ("ssl_ca" in options and mode in ("preferred", "required")):
            mode = "verify_identity" if "ssl_ca" in options else "required"
        return cls(mode=mode, ca=options.get("ssl_ca"), cert=options.get("ssl_cert"), key=options.get("ssl_key"))

    @property
    def renewable(self) -> bool:
        """Whether files of ours may be renewed while we run."""
        return any((self.ca, self.cert, self.key))

    def context(self) -> ssl.SSLContext:
        """For the next connection; files that were renewed are read again. ValueError names the one that is no use."""
        return _context(self, tuple(_stamp(path) for path in (self.ca, self.cert, self.key)))


@lru_cache(maxsize=8)
def _context(tls: Tls, _stamps: tuple[_Stamp | None, ...]) -> ssl.SSLContext:
    """Reading the system's authorities takes longer than connecting."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.mode in ("verify_ca", "verify_identity"):
        context = _trusting(tls.ca)
        context.check_hostname = tls.mode == "verify_identity"
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert is not None:
        _show(context, tls.cert, tls.key)
    return context


def _trusting(ca: str | None) -> ssl.SSLContext:
    try:
        return system_trust() if ca is None else ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise ValueError(f"ssl_ca={ca} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)") from None
    except OSError as error:
        raise ValueError(f"cannot read ssl_ca={ca}: {error.strerror or error}") from None


def _show(context: ssl.SSLContext, cert: str, key: str | None) -> None:
    def nobody_types_it() -> str:
        raise ValueError(f"the key in {key or cert} is encrypted; write it without a passphrase, readable by us alone")

    for name, path in (("ssl_cert", cert), ("ssl_key", key)):
        if path is not None and not os.access(path, os.R_OK):
            reason = "permission denied" if os.path.exists(path) else "no such file"
            raise ValueError(f"cannot read {name}={path}: {reason}")
    try:
        context.load_cert_chain(cert, key, password=nobody_types_it)
    except ssl.SSLError as error:
        if "MISMATCH" in str(error.reason):
            raise ValueError(f"the key in {key or cert} is not that of the certificate in ssl_cert={cert}") from None
        where = f"ssl_cert={cert}" + (
            f" or ssl_key={key}" if key else ", which must hold the key too, or name ssl_key,"
        )
        raise ValueError(f"{where} is no certificate and key in PEM") from None
    except OSError as error:
        raise ValueError(f"cannot read ssl_cert={cert}: {error.strerror or error}") from None


def _stamp(path: str | None) -> _Stamp | None:
    """What changes with a file, also where links are swapped, as Kubernetes does."""
    try:
        found = None if path is None else os.stat(path)
    except OSError:  # who reads it says so
        return None
    return None if found is None else (found.st_ino, found.st_mtime_ns, found.st_size)


def options_of(url: str, other_names: Mapping[str, str]) -> dict[str, str]:
    """What stands after the ? of a server's URL, by our names. ValueError where nobody can tell which of two values is
    meant."""
    options: dict[str, str] = {}
    for given, value in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        name = other_names.get(given, given)
        if name in TLS_OPTIONS and options.get(name, value) != value:
            raise ValueError(f"{name} stands there twice, once as {options[name]!r} and once as {value!r}: leave one")
        options[name] = value
    return options


def broker_tls(url: str) -> Tls | None:
    """TLS of an AMQP URL: `amqps://` verifies chain and name, unless `ssl_mode` says otherwise. ValueError as `of`."""
    options = options_of(url, _EARLIER)
    for name in _OTHER_AUTHORITIES:
        if name in options:
            raise ValueError(f"{name} is not read: name the file of the authorities by ssl_ca")
    mode = options.get("ssl_mode", "").lower()
    if not url.startswith("amqps:"):
        idle = [name for name in TLS_OPTIONS if name in options and (name, mode) != ("ssl_mode", "disabled")]
        if idle:
            raise ValueError(f"{idle[0]} asks for TLS, which this URL has not: write amqps://")
        return None
    if mode in ("disabled", "preferred"):
        raise ValueError(f"ssl_mode={mode} and amqps:// exclude each other: amqp:// is without TLS")
    if not mode and options.get("no_verify_ssl", "").lower() in ("1", "true", "yes", "y", "on", "enable", "enabled"):
        options["ssl_mode"] = "required"
    return Tls.of(options, "verify_identity")
