"""An API server that answers kubectl as Kubernetes does, for the calls that a deploy makes.

It knows one account, which may do what `deploy/kubernetes/ci.yaml` allows and no more.
"""

import json
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, RLock, Thread
from typing import Self
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
import trustme
import yaml

from tests.kubernetes_cluster import Cluster, Object
from tests.kubernetes_kinds import KINDS, WrongError, discovered

TOKEN = "the-pipelines-own"


class ApiServer(ThreadingHTTPServer):
    """The front of a cluster, over TLS, for whoever has TOKEN and the rules of the Role in `account`."""

    daemon_threads = True

    def __init__(self, cluster: Cluster, account: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        (role,) = [each for each in yaml.safe_load_all(account.read_text()) if each["kind"] == "Role"]
        self.cluster, self.rules = cluster, role["rules"]
        self.used: set[tuple[str, str]] = set()
        self.seen: list[str] = []
        # Turned by tests: nobody gets an answer; the next of these calls is done, and its answer lost; so many fail.
        self.silent, self.lose, self.failing = False, "", 0
        # Whether the account may do everything.
        self.admin = False
        self.over, self.lock = Event(), RLock()
        self.authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("127.0.0.1").configure_cert(context)
        # The handshake is each connection's own affair.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def __enter__(self) -> Self:
        """Answer."""
        Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Answer no more."""
        self.over.set()
        self.shutdown()
        self.server_close()

    def kubeconfig(self, folder: Path, token: str = TOKEN, trusted: bool = True) -> Path:
        """A file that lets one in."""
        authority = self.authority if trusted else trustme.CA()
        (folder / "ca.pem").write_bytes(authority.cert_pem.bytes())
        server = {"server": f"https://127.0.0.1:{self.server_port}", "certificate-authority": str(folder / "ca.pem")}
        made = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": server}],
            "users": [{"name": "deploy", "user": {"token": token}}],
            "contexts": [{"name": "deploy", "context": {"cluster": "here", "user": "deploy"}}],
            "current-context": "deploy",
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(made))
        return path

    def may(self, verb: str, group: str, resource: str) -> bool:
        """What the account's Role says."""
        return self.admin or any(
            verb in rule["verbs"] and group in rule["apiGroups"] and resource in rule["resources"]
            for rule in self.rules
        )


class Answers(BaseHTTPRequestHandler):
    """One connection."""

    server: ApiServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # An answer is one packet.

    def do_GET(self) -> None:
        """One object, a list, or what there is."""
        self._answer("get")

    def do_POST(self) -> None:
        """Make one."""
        self._answer("create")

    def do_PATCH(self) -> None:
        """Apply: make or change."""
        self._answer("patch")

    def do_PUT(self) -> None:
        """Replace what was read."""
        self._answer("update")

    def do_DELETE(self) -> None:
        """Take away."""
        self._answer("delete")

    def _answer(self, verb: str) -> None:
        server = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if server.silent:
            server.over.wait()
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        try:
            with server.lock:
                server.seen.append(f"{self.command} {url.path}")
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    raise WrongError(401, "Unauthorized")
                if server.failing:
                    server.failing -= 1
                    raise WrongError(503, "the server is currently unable to handle the request")
                code, said = self._do(verb, url.path.strip("/").split("/"), query, body)
        except WrongError as wrong:
            code, said = wrong.code, wrong.body
        if server.lose and f"{self.command} {url.path}".endswith(server.lose):
            server.lose = ""
            self.close_connection = True
            return
        text = said if isinstance(said, str) else json.dumps(said)
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(said, str) else "application/json")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def _do(self, verb: str, parts: list[str], query: dict[str, str], body: bytes) -> tuple[int, Object | str]:
        if len(parts) < 3 or (parts[0] == "apis" and len(parts) == 3):
            return 200, discovered(parts)
        version, rest = ("v1", parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
        group = version.rpartition("/")[0]
        given: Object = yaml.safe_load(body) if body else {}
        if rest[0] == "selfsubjectaccessreviews":
            about = given["spec"]["resourceAttributes"]
            resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
            here = self.server.admin or about["namespace"] == self.server.cluster.namespace
            allowed = here and self.server.may(about["verb"], about.get("group", ""), resource)
            return 201, {**given, "status": {"allowed": allowed}}
        if rest[0] != "namespaces":
            raise WrongError(404, f"the server could not find {'/'.join(rest)}")
        namespace, *rest = rest[1:]
        resource, name, part = [*(rest or ["namespaces", namespace]), "", ""][:3]
        if verb == "get" and not name:
            verb = "watch" if query.get("watch") in {"1", "true"} else "list"
        what = f"{resource}/{part}" if part else resource
        if namespace != self.server.cluster.namespace and self.server.admin:
            raise WrongError(404, f'namespaces "{namespace}" not found')
        if namespace != self.server.cluster.namespace or not self.server.may(verb, group, what):
            raise WrongError(403, f'User "deploy" cannot {verb} resource "{what}" in the namespace "{namespace}"')
        self.server.used.add((verb, f"{group}/{what}"))
        kind = KINDS[version, resource]
        if verb == "patch" and not self.server.cluster.there(kind, name):
            # Whoever applies what is not there makes it, and has to be allowed to.
            self.server.used.add(("create", f"{group}/{what}"))
            if not self.server.may("create", group, what):
                raise WrongError(403, f'User "deploy" cannot create resource "{what}" in the namespace "{namespace}"')
        if verb == "watch":
            gone = self.server.cluster.gone(kind, _pairs(query, "fieldSelector")["metadata.name"])
            return 200, {"type": "DELETED", "object": gone}
        if part == "log":
            return 200, self.server.cluster.log(name)
        if what == "namespaces":
            return 200, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        if verb == "list":
            metadata = {"resourceVersion": "1"}
            found = self._those(kind, _pairs(query, "labelSelector"), _pairs(query, "fieldSelector"))
            return 200, {"apiVersion": version, "kind": f"{kind}List", "metadata": metadata, "items": found}
        return self._one(verb, kind, name, given, query)

    def _those(self, kind: str, labels: dict[str, str], fields: dict[str, str]) -> list[Object]:
        cluster = self.server.cluster
        if kind == "Event":
            return cluster.events(fields["involvedObject.name"])
        name = fields.get("metadata.name")
        return [each for each in cluster.those(kind, labels) if name in {None, each["metadata"]["name"]}]

    def _one(self, verb: str, kind: str, name: str, given: Object, query: dict[str, str]) -> tuple[int, Object]:
        cluster = self.server.cluster
        if kind == "Pod":
            return 200, self._those(kind, {}, {"metadata.name": name})[0]
        there = cluster.there(kind, name or given["metadata"]["name"])
        if verb == "create" and there:
            raise WrongError(409, f'{kind} "{given["metadata"]["name"]}" already exists', "AlreadyExists")
        if verb not in {"create", "patch"} and not there:
            raise WrongError(404, f'{kind} "{name}" not found')
        if verb == "get":
            return 200, there or {}
        if verb == "delete":
            cluster.delete(kind, name)
            return 200, there or {}
        version = given["metadata"].get("resourceVersion")
        if verb == "update" and there and version not in {None, there["metadata"]["resourceVersion"]}:
            raise WrongError(409, f'Operation cannot be fulfilled on {kind} "{name}": the object has been modified')
        patch = self.headers["Content-Type"], query.get("force")
        if verb == "patch" and patch != ("application/apply-patch+yaml", "true"):
            raise WrongError(400, f"expected a server-side apply, got: {patch}")
        try:
            return 200 if there else 201, cluster.put(given)
        except kubernetes_validate.ValidationError as error:
            raise WrongError(400, f"{kind} {name}: {error.message}") from None

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _pairs(query: dict[str, str], name: str) -> dict[str, str]:
    """A selector: a=b,c=d."""
    return dict(each.split("=") for each in query.get(name, "").split(",") if each)
