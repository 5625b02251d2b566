from shapely import STRtree
from shapely.geometry import Point, Polygon

garden = Polygon([(0, 0), (4, 0), (4, 4), (0, 4)])
bushes = STRtree([Point(1, 1), Point(9, 9)])


def handler(event, context):
    return [garden.area, garden.contains(Point(2, 2)), bushes.query(garden).tolist()]
