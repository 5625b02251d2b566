import pymysql
from local import CLOSED

connection = pymysql.Connection(
    host="127.0.0.1", port=CLOSED, user="tea", password="x", connect_timeout=5, defer_connect=True
)


def handler(event, context):
    try:
        connection.connect()
    except pymysql.err.OperationalError as error:
        return [error.args[0], pymysql.converters.escape_string("o'tea")]
