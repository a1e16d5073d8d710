"""Exit 0 when the service in this container is ready, else 1 with the reason; standard library only."""

import os
import sys
import urllib.request

TIMEOUT_S = 2


def main() -> int:
    """Request the readiness of the REST port of the Open Inference Protocol: it covers models, lanes and drain."""
    port = os.environ.get("LECTORIUM_REST_PORT", "8000")
    if not port.isdecimal():  # set by Kubernetes for a service of that name, such as tcp://10.0.0.1:8000
        port = "8000"
    try:
        # An empty ProxyHandler: requests to this container must not go through a proxy from the environment.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(f"http://127.0.0.1:{port}/v2/health/ready", timeout=TIMEOUT_S).close()
    except OSError as error:
        print(f"not ready: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
