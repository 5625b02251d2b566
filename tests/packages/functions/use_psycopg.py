import psycopg
from local import CLOSED
from psycopg import sql

insert = sql.SQL("insert into {} ({}) values (%s)").format(
    sql.Identifier("teas"), sql.Identifier("name")
)


def handler(event, context):
    try:
        psycopg.connect(f"host=127.0.0.1 port={CLOSED} user=tea", connect_timeout=5)
    except psycopg.OperationalError as error:
        return [type(error).__name__, insert.as_string(), psycopg.pq.__impl__]
