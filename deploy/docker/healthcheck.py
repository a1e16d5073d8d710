"""Exit 0 when the service in this container is ready, else 1 with the reason; standard library only."""

import os
import sys
import urllib.request

TIMEOUT_S = 2


def main() -> int:
    """Ask the readiness page of the tensor-level REST port: it knows the models, the lanes and the drain."""
    port = os.environ.get("LECTORIUM_REST_PORT", "8000")
    if not port.isdecimal():  # a link to a Kubernetes service of that name, as tcp://10.0.0.1:8000
        port = "8000"
    try:
        # An empty ProxyHandler: a proxy named in the environment must not see requests to ourselves.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(f"http://127.0.0.1:{port}/v2/health/ready", timeout=TIMEOUT_S).close()
    except OSError as error:
        print(f"not ready: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
