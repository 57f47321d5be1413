"""The manifests of deploy/kubernetes are valid, and their values fit the kit, the shop and each other.

Kustomize builds the overlays. Nothing here runs in a cluster.
"""

import os
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from deploy_tools import OVERLAYS, SECRETS, Resource, constant, one, rendered
from servers import ROOT, restwell
from shop.app import create_app
from shop.settings import ShopSettings

pytestmark = pytest.mark.integration

VERSIONS: Final = ("1.30", "1.37")
"""The oldest release of Kubernetes that has every field, and the newest that the tool knows."""
MARGIN_SECONDS: Final = 10
"""For what follows a stop: the last log lines, and the runtime of the container."""
WORKLOADS: Final = ("Deployment", "Job")
INTERNAL: Final = ("/metrics", "/health/*", "/ops*", "/graphql/*")  # the last one is GraphiQL, which is for development
GUIDE: Final = (ROOT / "docs/kubernetes.md").read_text()


def pods(overlay: str) -> dict[str, Resource]:
    """The specification of the pods of each workload."""
    found = (each for each in rendered(overlay) if each["kind"] in WORKLOADS)
    return {each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in found}


def config() -> dict[str, str]:
    data: dict[str, str] = one("production", "ConfigMap")["data"]
    return data


def settings(folder: Path) -> ShopSettings:
    for name, value in SECRETS.items():
        (folder / name).write_text(f"{value}\n")
    return ShopSettings.load(config(), secrets_dir=folder)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_resource_is_valid(overlay: str, version: str) -> None:
    """Fails if a field is misspelled: a server ignores it."""
    for resource in rendered(overlay):
        if not is_custom(resource):
            try:
                kubernetes_validate.validate(resource, version, strict=True)
            except ValidationError as error:
                name = f"{resource['kind']} {resource['metadata']['name']}"
                pytest.fail(f"{name}: {error.json_path}: {error.message}", pytrace=False)


@pytest.mark.skipif("CRDS" not in os.environ, reason="CRDS=file has the definitions: kubectl get crd -o yaml >file")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_custom_resource_is_valid(overlay: str) -> None:
    """Those of the Gateway API and of the Prometheus Operator, which no package of the registry has."""
    schemas = {}
    for document in filter(None, yaml.safe_load_all(Path(os.environ["CRDS"]).read_text())):
        for crd in document.get("items", [document]):
            for version in crd["spec"]["versions"]:
                key = f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"]
                schemas[key] = strict(version["schema"]["openAPIV3Schema"])
    for resource in rendered(overlay):
        if is_custom(resource):
            Draft202012Validator(schemas[resource["apiVersion"], resource["kind"]]).validate(resource)


def is_custom(resource: Resource) -> bool:
    return resource["apiVersion"].partition("/")[0] in {"gateway.networking.k8s.io", "monitoring.coreos.com"}


def strict(schema: Any) -> Any:
    """The schema with unknown fields as errors. The metadata of a resource is that of Kubernetes."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: strict(each) for name, each in schema.items() if name != "metadata"}
    closed = "properties" in schema and "metadata" not in schema["properties"]
    return inner | ({"additionalProperties": False} if closed else {})


def test_a_pod_has_the_time_that_its_process_takes_to_stop(tmp_path: Path) -> None:
    """Fails with a grace period of 45 s, or a DRAIN_SECONDS of 30: the kubelet kills requests in progress."""
    api, worker = pods("production")["shop-api"], pods("production")["shop-worker"]
    stops = settings(tmp_path).drain_seconds + constant("_child_processes.py", "STOP_SECONDS")
    assert pre_stop(api) + stops + MARGIN_SECONDS <= api["terminationGracePeriodSeconds"]

    (drain,) = re.findall(r"--drain-seconds=(\d+)", " ".join(worker["containers"][0]["command"]))
    stops = int(drain) + constant("_supervisor.py", "KILL_SECONDS")
    assert pre_stop(worker) + stops + MARGIN_SECONDS <= worker["terminationGracePeriodSeconds"]


def pre_stop(pod: Resource) -> int:
    hook = pod["containers"][0].get("lifecycle", {}).get("preStop", {})
    assert hook.keys() <= {"sleep"}, "the seconds of another hook are unknown"
    seconds: int = hook.get("sleep", {"seconds": 0})["seconds"]
    return seconds


def test_the_drain_is_longer_than_a_pod_takes_to_become_unready(tmp_path: Path) -> None:
    """For load balancers that ask the pods themselves. Fails with a failureThreshold of 5."""
    probe = pods("production")["shop-api"]["containers"][0]["readinessProbe"]
    assert (
        settings(tmp_path).drain_seconds > probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    )


def test_an_idle_connection_is_closed_by_what_is_in_front(tmp_path: Path) -> None:
    """Fails with the default of 10 s: ingress-nginx may send a request on a connection that the pod closes."""
    (longest,) = re.findall(r"(\d+) s for ingress-nginx", GUIDE)
    assert settings(tmp_path).keepalive_seconds > int(longest)


def test_the_autoscaler_reads_a_metric_that_the_guide_derives_from_one_of_the_kit() -> None:
    """Fails if it is renamed in one place, or counts requests in progress: refused ones are missing then."""
    metrics = one("gateway", "HorizontalPodAutoscaler")["spec"]["metrics"]
    (name,) = (each["pods"]["metric"]["name"] for each in metrics if each["type"] == "Pods")
    (rules,) = re.findall(r"```yaml\n(rules:.*?)```", GUIDE, re.DOTALL)
    (rule,) = yaml.safe_load(rules)["rules"]
    assert rule["name"]["as"] == name
    series = rule["seriesQuery"].partition("{")[0].removesuffix("_count")
    assert f"| `{series}` |" in (ROOT / "docs/metrics.md").read_text()


def test_the_configuration_is_accepted_in_production(tmp_path: Path) -> None:
    """Fails if a required setting is missing, or a name is misspelled."""
    found = settings(tmp_path)
    known = {"_".join(path).upper() for path in ShopSettings.paths()}
    assert config().keys() | SECRETS.keys() <= known | {"SECRETS_DIR", "RESTWELL_APP"}
    assert found.fallbacks() == {}
    assert set(re.findall(r"--from-literal=(\w+)|--from-file=(\w+)", GUIDE)) >= {(name, "") for name in SECRETS}


def test_every_folder_that_is_written_to_is_a_volume(tmp_path: Path) -> None:
    """Fails if RUNTIME_DIR is outside: the root of the container is read-only."""
    runtime = settings(tmp_path).runtime_dir
    assert runtime is not None
    for name in ("shop-api", "shop-worker"):
        mounts = {
            Path(mount["mountPath"]): mount for mount in pods("production")[name]["containers"][0]["volumeMounts"]
        }
        for folder in (*settings(tmp_path).folders().values(), runtime, Path("/tmp")):  # noqa: S108  # in the container
            assert any(folder.is_relative_to(mount) for mount in mounts), folder
        assert runtime not in mounts, "it must belong to the user of the process, and a volume belongs to root"
        assert Path(config()["SECRETS_DIR"]) in mounts


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_pod_has_more_rights_than_it_needs(overlay: str) -> None:
    """What the restricted level of the Pod Security Standards asks for, and a read-only root and no token besides."""
    for name, pod in pods(overlay).items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["limits"].keys() == {"memory"}, name
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_references_name_what_exists(overlay: str) -> None:
    """Fails if the volume claim is renamed, or a port of the Service."""
    names = {(each["kind"], each["metadata"]["name"]) for each in rendered(overlay)}
    for pod in pods(overlay).values():
        for volume in pod["volumes"]:
            claim = volume.get("persistentVolumeClaim", {"claimName": "shop-files"})["claimName"]
            assert "persistentVolumeClaim" not in volume or ("PersistentVolumeClaim", claim) in names
            secret = volume.get("secret", {"secretName": "shop-secrets"})["secretName"]
            assert secret in {"shop-secrets", "shop-grpc-tls"}
        (container,) = pod["containers"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        assert ("ConfigMap", container["envFrom"][0]["configMapRef"]["name"]) in names
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        probes = [probe for key, probe in container.items() if key.endswith("Probe") and "httpGet" in probe]
        assert {probe["httpGet"]["port"] for probe in probes} <= ports.keys()
        own = {each["name"]: each["value"] for each in container.get("env", [])}
        assert set(ports.values()) <= {int(config()["PORT"]), int(own.get("GRPC_PORT", 0))}
    assert {each["metadata"].get("namespace", "shop") for each in rendered(overlay)} == {"shop"}


@pytest.mark.parametrize("overlay", ["production", "gateway"])
def test_grpc_has_tls_and_the_pods_that_may_call_it_reach_it(overlay: str, tmp_path: Path) -> None:
    """Fails if a file of the Secret is not that of the setting, or if Service and policy name another port."""
    (api,) = pods(overlay)["shop-api"]["containers"]
    environment = {each["name"]: each["value"] for each in api["env"]}
    (folder,) = {mount["mountPath"] for mount in api["volumeMounts"] if mount["name"] == "grpc-tls"}
    for name, value in environment.items():
        if name.endswith("_FILE"):
            assert Path(value).parent == Path(folder)
            assert Path(value).name in {"tls.crt", "tls.key"}, "the names of a Secret of the type kubernetes.io/tls"
            environment[name] = str(tmp_path / Path(value).name)
            (tmp_path / Path(value).name).write_text("")
    given = ShopSettings.load(config() | SECRETS | environment).grpc
    assert given.tls_certificate_file is not None
    (port,) = one(overlay, "Service", "shop-grpc")["spec"]["ports"]
    assert {port["port"], *(each["containerPort"] for each in api["ports"] if each["name"] == port["targetPort"])} == {
        given.port
    }
    (rule,) = one(overlay, "NetworkPolicy", "shop-api-from-grpc-clients")["spec"]["ingress"]
    assert [each["port"] for each in rule["ports"]] == [port["targetPort"]]
    assert "env" not in pods(overlay)["shop-worker"]["containers"][0]


def test_commands_have_options_that_exist() -> None:
    """Fails if the option of a command is renamed."""
    for overlay in OVERLAYS:
        for pod in pods(overlay).values():
            program, command, *options = pod["containers"][0]["command"]
            assert program == "restwell"
            text = restwell(command, "--help").stdout
            for option in options:
                assert option.partition("=")[0] in re.findall(r"--[\w-]+", text)


def test_the_public_reaches_the_api_and_not_what_is_for_operators() -> None:
    """Fails if a new version of the API is not added, or with the path /."""
    rules = one("production", "Ingress")["spec"]["rules"][0]["http"]["paths"]
    ingress = {(rule["path"], rule["pathType"] == "Prefix") for rule in rules}
    matches = one("gateway", "HTTPRoute", "shop")["spec"]["rules"][0]["matches"]
    gateway = {(match["path"]["value"], match["path"]["type"] == "PathPrefix") for match in matches}
    assert ingress == gateway
    paths = {route.path for route in create_app(ShopSettings()).routes} | {"/docs", "/metrics", "/health/live"}
    assert len(paths) > 50
    for path in paths:
        public = any(path == rule or (prefix and path.startswith(f"{rule}/")) for rule, prefix in ingress)
        assert public is not any(fnmatch(path, internal) for internal in INTERNAL), path


def test_the_database_has_connections_for_all_pods(tmp_path: Path) -> None:
    """Fails if maxReplicas is 20: the sum of docs/kubernetes.md is then wrong."""
    api, worker = one("production", "HorizontalPodAutoscaler"), one("production", "Deployment", "shop-worker")
    given = settings(tmp_path)
    most = api["spec"]["maxReplicas"]
    surge = -(
        -most
        * int(one("production", "Deployment", "shop-api")["spec"]["strategy"]["rollingUpdate"]["maxSurge"][:-1])
        // 100
    )
    pods_of_workers = worker["spec"]["replicas"] + worker["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    each = given.database.pool_size + 1
    total = (most + surge) * given.workers * each + pods_of_workers * each
    (stated,) = re.findall(r"= (\d+) connections", GUIDE)
    assert int(stated) == total
