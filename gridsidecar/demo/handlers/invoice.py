"""A handler that refuses bad data: trying again would not help, and it says so."""

import json
import sys

task = json.loads(sys.stdin.readline())
amount = task["data"]["amount"]
if amount < 0:
    error = {"error": f"amount is {amount}, it must not be negative", "error_type": "InvalidInvoice"}
    print(json.dumps({"gs": 1, "type": "error", "retryable": False, **error}))
    sys.exit(1)

print(json.dumps({"gs": 1, "type": "result", "result": {"booked": amount}}))
