"""What the user sees once every port listens."""

from service.config import Config


def greeting(config: Config, models: list[str]) -> str:
    """The models, the addresses, and a command to try."""
    host = "localhost" if config.host in ("127.0.0.1", "0.0.0.0", "::") else config.host
    by = f" by {config.workers} workers" if config.workers > 1 else ""
    return f"""
Lectorium serves {", ".join(models) or "no model yet"}{by}

  tasks and OpenAPI page   http://{host}:{config.http_port}
  Open Inference REST      http://{host}:{config.rest_port}/v2
  gRPC                     {host}:{config.grpc_port}
  metrics                  http://{host}:{config.metrics_port}/metrics

Try:  curl -F image=@tests/data/seven.png http://{host}:{config.http_port}/v1/classify
"""
