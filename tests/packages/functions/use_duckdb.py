import duckdb

connection = duckdb.connect(":memory:")
connection.execute("create table teas (tea text, cups int)")
connection.execute("insert into teas values ('green', 3), ('black', 5), ('green', 2)")


def handler(event, context):
    return connection.execute(
        "select tea, sum(cups)::int from teas group by tea order by tea"
    ).fetchall()


def unique():
    random, uuid = connection.execute("select random(), uuid()").fetchone()
    return {"random()": random, "uuid()": str(uuid)}
