import polars as pl

teas = pl.DataFrame({"tea": ["green", "black", "green"], "cups": [3, 5, 2]})
numbers = pl.Series("n", range(10_000))


def handler(event, context):
    return teas.group_by("tea").agg(pl.col("cups").sum()).sort("tea").to_dicts()


def unique():
    return {"a sample": numbers.sample(8).to_list()}
