"""Nothing listens beyond this machine without a password."""

import ipaddress
import socket

from loraflow.errors import UserError


def require_password(host: str, has_password: bool, fix: str, *, option: str = "--host ") -> None:
    """Refuse to listen on `host`, given by `option`, for others unless a password is set.

    Raises:
        UserError: says how to set one.
    """
    if not (_is_loopback(host) or has_password):
        raise UserError(
            f"{option}{host} lets other machines in, and no password is set: {fix} in the "
            f"environment, or leave {option.strip(' =')} out (docs/servers.md)"
        )


def shown_host(host: str) -> str:
    """Return what others reach a server by that listens on `host`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return socket.getfqdn()
    return f"[{host}]" if address.version == 6 else host  # noqa: PLR2004 - the number is its name


def _is_loopback(host: str) -> bool:
    """Tell whether a name or an address is of this machine alone, whatever it resolves to."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return bool(found) and all(
        ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found
    )
