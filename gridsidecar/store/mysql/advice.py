"""What to do where a MySQL-family server refuses us, by its error number."""

from __future__ import annotations

_LOGIN = "check user and password in store.url, and ssl_cert and ssl_key there where the user is to show a certificate"
_EXPIRED = "give the user a new one (ALTER USER … IDENTIFIED BY …), and write it into store.url"
_UNLOCK = "ALTER USER … ACCOUNT UNLOCK lets the user in again"
_RIGHT = "GRANT the user that right"
_TLS = "add ssl_mode=verify_identity and ssl_ca=FILE to store.url"
_PLUGIN = "make the user log in by caching_sha2_password or mysql_native_password (ALTER USER … IDENTIFIED WITH …)"
_BINARY_LOG = "set binlog_format=ROW (or MIXED) on the server: this program writes under READ COMMITTED"
_COLLATION = (
    "a column has another character set or collation than this program gave it; ALTER TABLE … MODIFY it to utf8mb4"
)
_RELEASE = "it may be older than MySQL 8.0 and MariaDB 10.6"
_TABLES = "let the user create and alter tables as they are, or have an administrator run `gridsidecar migrate`"

ADVICE = {
    **dict.fromkeys((1045, 1131, 1698, 1873), _LOGIN),
    **dict.fromkeys((1820, 1862), _EXPIRED),
    **dict.fromkeys((3118, 3955, 4150, 4151), _UNLOCK),
    **dict.fromkeys((1044, 1141, 1142, 1143, 1227, 1345, 1370, 1410, 1419, 1449), _RIGHT),
    1049: "CREATE DATABASE makes it, or name another in store.url",
    1129: "FLUSH HOSTS on the server, or `mariadb-admin flush-hosts`, lets this host in again",
    1130: "CREATE USER 'name'@'%' (or with this host's address) on the server lets it in",
    3159: _TLS,
    **dict.fromkeys((1251, 1275, 1524, 2054, 2059, 2061), _PLUGIN),
    **dict.fromkeys((1661, 1662, 1663, 1664, 1665, 1666), _BINARY_LOG),
    **dict.fromkeys((1253, 1267, 1270, 1271), _COLLATION),
    **dict.fromkeys((1115, 1193, 1231, 1235, 1273, 1305), _RELEASE),
    **dict.fromkeys((1286, 1289, 3161, 3750), _TABLES),
}
