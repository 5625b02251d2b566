
import snowflake.connector
from local import http

QUERIES = []
LOGIN = {
    "token": "t", "masterToken": "m", "parameters": [], "sessionId": 1, "validityInSeconds": 3600,
    "masterValidityInSeconds": 3600, "serverVersion": "9", "sessionInfo": {
        "databaseName": None, "schemaName": None, "warehouseName": None, "roleName": "TEA"},
}  # fmt: skip
ROWS = {
    "parameters": [], "rowset": [["green"]], "total": 1, "returned": 1, "queryId": "q", "version": 1,
    "queryResultFormat": "json", "finalDatabaseName": None, "finalSchemaName": None, "statementTypeId": 4096,
    "finalWarehouseName": None, "finalRoleName": "TEA", "rowtype": [
        {"name": "TEA", "type": "text", "nullable": True, "length": 9, "byteLength": 36, "precision": None,
         "scale": None, "database": "", "schema": "", "table": ""}],
}  # fmt: skip


def server(method, path, body):
    data = None
    if "login-request" in path:
        data = LOGIN
    elif "query-request" in path:
        QUERIES.append(path.partition("?")[2])
        data = ROWS
    return {"success": True, "code": None, "message": None, "data": data}


def select(port):
    connection = snowflake.connector.connect(
        account="tea", user="tea", password="tea", protocol="http", host="127.0.0.1", port=port,
        login_timeout=5,
    )  # fmt: skip
    try:
        return connection.cursor().execute("select tea from teas").fetchall()
    finally:
        connection.close()


config = snowflake.connector.ConnectionConfig(account="tea", user="tea")


def handler(event, context):
    with http(server) as port:
        return select(port)


# The Rust core has threads of its own from the first connection on.
THREADED = True


def unique():
    QUERIES.clear()
    with http(server) as port:
        select(port)
    return {"request id": QUERIES[0]}
