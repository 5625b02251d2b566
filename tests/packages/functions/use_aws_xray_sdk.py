from aws_xray_sdk.core import patch, xray_recorder
from aws_xray_sdk.core.models.segment import Segment
from aws_xray_sdk.core.models.traceid import TraceId

xray_recorder.configure(service="teas", context_missing="LOG_ERROR", sampling=False)
patch(["sqlite3"])


def handler(event, context):
    with xray_recorder.in_subsegment("brew") as part:
        if part is not None:
            part.put_annotation("tea", "green")
    segment = Segment("shop")
    segment.close()
    return segment.to_dict()["name"]


def unique():
    return {"trace": TraceId().to_id(), "segment": Segment("shop").id}
