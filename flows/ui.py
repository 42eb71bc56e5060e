"""MLflow's pages and API on this project's runs (`make ui`), on this machine unless told otherwise.

python -m flows.ui                   # http://127.0.0.1:5000
python -m flows.ui --host 0.0.0.0    # for others too: only with a password
"""

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from flows.command import run_safely, set_environment
from flows.exposure import require_password, shown_host
from loraflow.errors import UserError

HOST = "127.0.0.1"
PORT = 5000
AUTH = Path(__file__).resolve().parents[1] / "deploy" / "mlflow_auth.ini"  # holds no secret
_SECRETS = ("MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY")


def main() -> None:
    """Serve the runs until Ctrl-C."""
    parser = argparse.ArgumentParser(description="MLflow on this project's runs")
    parser.add_argument("--host", default=HOST, help=f"default {HOST}: this machine alone")
    parser.add_argument("--port", type=int, default=PORT, help=f"default {PORT}")
    arguments = parser.parse_args()
    run_safely(lambda: _serve(arguments.host, arguments.port))


def _serve(host: str, port: int) -> None:
    """Become MLflow's server."""
    has_password = all(os.environ.get(name) for name in _SECRETS)
    require_password(host, has_password, f"set {' and '.join(_SECRETS)}")
    if has_password and find_spec("flask_wtf") is None:
        raise UserError(
            "a password for MLflow needs a package that is not installed; "
            "run .venv/bin/pip install Flask-WTF"
        )
    set_environment()
    os.environ["PYTHONWARNINGS"] = "ignore"
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # eight processes less
    words = ["--host", host, "--port", str(port), "--workers", "1"]
    words += ["--uvicorn-opts", "--log-level warning"]
    words += ["--backend-store-uri", "sqlite:///mlruns/mlflow.db"]
    words += ["--default-artifact-root", "mlruns/artifacts"]
    if has_password:
        os.environ.setdefault("MLFLOW_AUTH_CONFIG_PATH", str(AUTH))
        words += ["--app-name", "basic-auth"]
    Path("mlruns").mkdir(exist_ok=True)
    sys.stderr.write(f"MLflow: http://{shown_host(host)}:{port} (Ctrl-C ends it)\n")
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "server", *words])


if __name__ == "__main__":
    main()
