"""Which servers these are."""

from __future__ import annotations

import re
import subprocess
from contextlib import closing
from urllib.parse import urlsplit

import pika  # type: ignore[import-untyped]
import pymysql

from tests.support.servers import find_program


def rabbitmq_version(url: str) -> str:
    """As the server says when one connects."""
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        properties = connection._impl.server_properties
        return f"{properties['product']} {properties['version']}"


def mysql_version(url: str) -> str:
    """As the server says when one asks."""
    address = urlsplit(url)
    connection = pymysql.connect(host=address.hostname, port=address.port or 3306, user="root")
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("select version()")
        [(version,)] = cursor.fetchall()
        return str(version) if "MariaDB" in version else f"MySQL {version}"


def galera_version(url: str) -> str:
    """MariaDB's and that of its replication, as the server says."""
    address = urlsplit(url)
    connection = pymysql.connect(host=address.hostname, port=address.port or 3306, user="root")
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("show status like 'wsrep_provider_version'")
        [(_, version)] = cursor.fetchall()
    return f"{mysql_version(url)}, Galera {version.partition('(')[0]}"


def haproxy_version() -> str:
    """Of this machine's."""
    program = find_program("haproxy")
    assert program is not None
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+\.\d+\.\d+)", said)
    assert found is not None
    return f"HAProxy {found[1]}"
