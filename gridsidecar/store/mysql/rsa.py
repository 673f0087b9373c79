"""`cryptography` is loaded when a server wants the password encrypted by its key, and not before.

PyMySQL loads it at once, 7.5 MiB of it, for a login that few servers ask for: most ask for a digest, or come by TLS.
"""

import importlib
import sys

_LIBRARY = "cryptography"


def _load_pymysql_without() -> None:
    if _LIBRARY in sys.modules or "pymysql" in sys.modules:
        return
    sys.modules[_LIBRARY] = None  # type: ignore[assignment]  # what makes an import of it fail; PyMySQL goes on without
    try:
        import pymysql._auth
    finally:
        del sys.modules[_LIBRARY]
    pymysql._auth.sha2_rsa_encrypt = _encrypt


def _encrypt(password: bytes, salt: bytes, key: bytes) -> bytes:
    """In PyMySQL's place until it is first called: PyMySQL's own is back then, with its library."""
    import pymysql._auth

    encrypted: bytes = importlib.reload(pymysql._auth).sha2_rsa_encrypt(password, salt, key)
    return encrypted


_load_pymysql_without()
