import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

table = pa.table({"tea": ["green", "black", "green"], "cups": [3, 5, 2]})


def handler(event, context):
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    again = pq.read_table(pa.BufferReader(sink.getvalue()))
    return again.group_by("tea").aggregate([("cups", "sum")]).sort_by("tea").to_pylist()


def unique():
    return {"random": pc.random(4).to_pylist()}
