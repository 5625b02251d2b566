import celery

app = celery.Celery("teas", broker="memory://", backend="cache+memory://")
app.conf.task_always_eager = False


@app.task
def brew(tea):
    return f"{tea} tea"


def handler(event, context):
    brew.apply_async(["green"])
    return brew.apply(["green"]).get()


def unique():
    return {"task": brew.apply_async(["green"]).id, "oid": str(app.oid), "thread": app.thread_oid}
