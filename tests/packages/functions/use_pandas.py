import io

import pandas as pd

teas = pd.read_csv(
    io.StringIO("day,tea,cups\n2026-01-01,green,3\n2026-01-02,black,5\n2026-01-03,green,2\n"),
    parse_dates=["day"],
)
numbers = pd.DataFrame({"n": range(10_000)})


def handler(event, context):
    monthly = teas.groupby("tea")["cups"].sum()
    return {"cups": monthly.to_dict(), "last": teas["day"].max().isoformat()}


def unique():
    return {"a sample": numbers.sample(8)["n"].tolist()}
