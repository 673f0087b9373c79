"""MySQL 8+ and MariaDB 10.6+ as the store's database, through aiomysql."""

from gridsidecar.store.mysql import rsa  # before PyMySQL is loaded by what follows
from gridsidecar.store.mysql.database import MySQLDatabase

__all__ = ["MySQLDatabase", "rsa"]
