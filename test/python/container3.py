"""The client of a 3.x algorithm with a container token, called as such algorithms do.

Standard input is one JSON object {"path": folder of the packages, "host", "port", "token", "task", "organizations"}; the last line
of standard output is a JSON object with what each call gave.
"""

import json
import sys

asked = json.load(sys.stdin)
sys.path.insert(0, asked["path"])

import vantage6.client  # noqa: E402
from vantage6.client import ContainerClient  # noqa: E402

assert vantage6.client.__file__.startswith(asked["path"])

client = ContainerClient(token=asked["token"], host=asked["host"], port=asked["port"], path="/api")
said = {
    "image": client.image,
    "addresses": client.get_algorithm_addresses(asked["task"]),
    "labelled": client.get_algorithm_address_by_label(asked["task"], "com"),
    "missing": client.get_algorithm_address_by_label(asked["task"], "none"),
    "organizations": client.get_organizations_in_my_collaboration(),
    "task": client.get_task(asked["task"])["id"],
}
if asked.get("finished"):
    said["results"] = client.get_results(asked["finished"])
if asked.get("create"):
    said["created"] = client.create_new_task({"method": "part"}, asked["create"])
print(json.dumps(said))
