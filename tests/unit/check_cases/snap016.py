# case: bad: DNS
import socket

ADDRESS = socket.getaddrinfo("db.internal", 5432)  # expect: SNAP016
# case: bad: service discovery, configuration
import boto3

cloud_map = boto3.client("servicediscovery")
HOSTS = cloud_map.discover_instances(NamespaceName="x")["Instances"]  # expect: SNAP016
LIMIT = int(boto3.client("ssm").get_parameter(Name="limit")["Value"])  # expect: SNAP016
# case: bad: in an object, with Powertools, dnspython
import dns.resolver
from aws_lambda_powertools.utilities.parameters import get_parameter


class Settings:
    def __init__(self):
        self.limit = get_parameter("/limit")


settings = Settings()  # expect: SNAP016
RECORDS = [str(answer) for answer in dns.resolver.resolve("example.org", "A")]  # expect: SNAP016
# case: good: a name
HOST = "db.internal"
ADDRESS = (HOST, 5432)
# case: good: looked up in the handler
import socket


def handler(event, context):
    return socket.gethostbyname("db.internal")


# case: good: looked up again after restore
import boto3
from snapshot_restore_py import register_after_restore

ssm = boto3.client("ssm")
settings = {}


@register_after_restore
def fetch():
    settings["limit"] = ssm.get_parameter(Name="limit")


fetch()
