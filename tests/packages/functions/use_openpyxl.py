import io

import openpyxl

book = openpyxl.Workbook()
book.active.append(["tea", "cups"])
book.active.append(["green", 2])


def handler(event, context):
    file = io.BytesIO()
    book.save(file)
    again = openpyxl.load_workbook(file)
    return [list(row) for row in again.active.iter_rows(values_only=True)]
