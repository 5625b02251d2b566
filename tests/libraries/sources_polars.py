"""polars: the process-wide generator."""

import polars

column = polars.Series(range(50))


def sources():
    return {
        "shuffle": lambda: column.shuffle().to_list(),
        "sample": lambda: column.sample(20).to_list(),
    }
