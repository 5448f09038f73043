"""Whether an image is in its registry, asked over Docker's registry API, version 2."""

import os
import re
from urllib.request import parse_http_list, parse_keqv_list

import httpx

from deploy.platform import Refused

TIMEOUT_SECONDS = 5.0
DOCKER_HUB = "registry-1.docker.io"
# Where a registry speaks HTTP, as Docker has it too.
LOCAL = re.compile(r"(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?")
NAME = re.compile(r"[a-z0-9._\-\[\]:]+(/[a-z0-9._-]+)*", re.IGNORECASE)
TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
# An image for one platform or for several, by Docker or by the Open Container Initiative.
MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.list.v2",
        "docker.distribution.manifest.v2",
    )
)


def demand_image(image: str, version: str) -> None:
    """Hold that the registry has `image` (its address, without a tag) in `version` (the tag).

    REGISTRY_USER and REGISTRY_PASSWORD are shown where the registry asks who is there.

    Raises:
        Refused: it has not, does not let one look, or does not answer.
    """
    if not NAME.fullmatch(image) or ":" in image.rpartition("/")[2]:
        raise Refused(
            f"expected IMAGE to be an image's address without a tag, got: {image or 'nothing'}; "
            "set it to one like registry.example.com/team/desk"
        )
    if not TAG.fullmatch(version):
        raise Refused(f"expected VERSION to be an image's tag, got: {version or 'nothing'}; set it to a commit's id")
    registry, _ = _parts(image)
    status = ask("HEAD", image, f"manifests/{version}").status_code
    if status in {401, 403}:
        raise Refused(
            f"expected to be let into {registry} to look for {image}:{version}, got: {status}; "
            f"set REGISTRY_USER and REGISTRY_PASSWORD{' to others' if _credentials() else ''}"
        )
    if status != 200:
        found = "none" if status == 404 else f"status {status}"
        raise Refused(
            f"expected the image {image}:{version} in its registry, got: {found}; "
            "push it first, which the pipeline's build does for each commit of the default branch"
        )


def ask(method: str, image: str, path: str) -> httpx.Response:
    """What the registry says of `path` of an image, as a person who may pull it.

    Raises:
        Refused: it does not answer.
    """
    registry, name = _parts(image)
    scheme = "http" if LOCAL.fullmatch(registry) else "https"
    try:
        # The environment may name a proxy, which knows nothing of this machine's own registry.
        with httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=True, trust_env=scheme == "https") as client:
            return _answer(client, method, f"{scheme}://{registry}/v2/{name}/{path}", name)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise Refused(
            f"expected the registry {registry} to answer, got: {error or type(error).__name__}; "
            "see whether it is up and can be reached from here"
        ) from None


def _parts(image: str) -> tuple[str, str]:
    """The registry, and the image's name there; an address without a registry means Docker Hub."""
    first, slash, rest = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return DOCKER_HUB, image if slash else f"library/{image}"


def _answer(client: httpx.Client, method: str, url: str, name: str) -> httpx.Response:
    said = client.request(method, url, headers={"Accept": MANIFESTS})
    if said.status_code != 401:
        return said
    scheme, _, challenge = said.headers.get("WWW-Authenticate", "").partition(" ")
    credentials = _credentials()
    if scheme.lower() == "bearer":
        asked = parse_keqv_list(parse_http_list(challenge))
        # A realm without encryption would be shown the password.
        realm = httpx.URL(asked.get("realm", ""))
        if realm.scheme not in {said.url.scheme, "https"}:
            return said
        # What it is for: the registry's own words, or else what they would be.
        query = {"scope": f"repository:{name}:pull"} | {key: asked[key] for key in ("service", "scope") if key in asked}
        answer = client.get(realm.copy_merge_params(query), auth=credentials)
        if answer.status_code != 200:
            return answer
        token = answer.json()
        if not isinstance(token, dict):
            raise ValueError("no token from its own door")
        authorization = f"Bearer {token.get('token') or token.get('access_token')}"
        return client.request(method, url, headers={"Accept": MANIFESTS, "Authorization": authorization})
    if scheme.lower() == "basic" and credentials:
        return client.request(method, url, headers={"Accept": MANIFESTS}, auth=credentials)
    return said


def _credentials() -> tuple[str, str] | None:
    user, password = os.environ.get("REGISTRY_USER"), os.environ.get("REGISTRY_PASSWORD")
    return (user, password) if user and password else None
