"""A manifest against the configuration: KEDA's triggers, its numbers, and the time that a pod gets to leave."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial

from gridsidecar.broker.management import virtual_host
from gridsidecar.config.settings import Settings
from gridsidecar.doctor.finding import Asked, CannotTell, Diagnostic, Finding, at_once, fail, ok, unknown, warn
from gridsidecar.doctor.manifest import Manifest, ManifestError, at, keda_vhost, read_manifest
from gridsidecar.doctor.service_file import read_service_file, stop_grace
from gridsidecar.doctor.store import connections, server_facts
from gridsidecar.errors import ConfigError
from gridsidecar.language import counted
from gridsidecar.runtime.shutdown import longest_exit
from gridsidecar.store.inspection import DatabaseFacts, names_of


def checks(
    path: str, settings: Settings, facts: Asked[DatabaseFacts] | None, broken: Collection[str] = ()
) -> list[Diagnostic]:
    """Of the pods' own configuration, where the manifest has a ConfigMap with one; else of `settings`. Its keys in
    `broken` say nothing."""
    if (service := read_service_file(path)) is not None:
        return [Diagnostic(f"{service.area}.stop_grace", at_once(partial(stop_grace, service, settings)))]
    try:
        manifest = read_manifest(path)
        pods = manifest.settings(settings, broken) or settings
    except ManifestError as error:
        return [_failed("kubernetes.manifest", str(error), "name the file with the ScaledObject or ScaledJob")]
    except (ValueError, TypeError, AttributeError) as error:  # a list for a mapping, say
        told = f"{path} is not as Kubernetes has it: {error}"
        return [_failed("kubernetes.manifest", told, "try `kubectl apply --dry-run=server`")]
    except ConfigError as error:
        return [_failed("kubernetes.config", str(error).replace("\n", "; "), "correct the ConfigMap")]
    by_name = {**(_OF_KEDA if manifest.scaled else {}), **_OF_PODS}
    if "kubernetes.trigger.vhost" in by_name and "broker.url" in broken:
        by_name["kubernetes.trigger.vhost"] = _unknown_vhost
    found = [Diagnostic(name, at_once(partial(check, manifest, pods))) for name, check in by_name.items()]
    if facts is not None and settings.store.url.startswith("mysql"):
        found.append(_connections(manifest, pods, facts))
    return found


def _failed(name: str, found: str, advice: str) -> Diagnostic:
    return Diagnostic(name, at_once(lambda: fail(found, advice)))


def _connections(manifest: Manifest, pods: Settings, facts: Asked[DatabaseFacts]) -> Diagnostic:
    async def examine() -> Finding:
        try:
            return connections(await server_facts(facts), pods, manifest.most_pods)
        except CannotTell as error:
            return unknown(f"the database {error}")

    return Diagnostic("kubernetes.connections", examine)


def rabbitmq(manifest: Manifest, settings: Settings) -> Finding:
    triggers = manifest.triggers("rabbitmq")
    if not triggers:
        return fail("no trigger looks at the queue", "add the trigger `rabbitmq` of deploy/deployment.yaml")
    told = {name: str(value) for name, value in (at(triggers[0], "metadata") or {}).items()}
    queue = settings.broker.queue
    if told.get("queueName") != queue:
        return fail(f"it counts {told.get('queueName')!r}, the pods work on {queue!r}", f"set queueName: {queue}")
    if told.get("protocol") != "http":
        return fail(
            f"protocol {told.get('protocol', 'auto')} does not count running tasks: busy pods are taken away",
            "set protocol: http, and the URL of the management API",
        )
    if told.get("excludeUnacknowledged") == "true":
        return fail("running tasks are left out: busy pods are taken away", 'set excludeUnacknowledged: "false"')
    if told.get("mode", "QueueLength") != "QueueLength":
        return warn(f"mode {told['mode']} counts no tasks", "set mode: QueueLength")
    return ok(f"it counts {queue}, running tasks too")


def vhost(manifest: Manifest, settings: Settings) -> Finding:
    wanted = virtual_host(settings.broker.urls[0])
    for trigger in manifest.triggers("rabbitmq"):
        url = at(trigger, "metadata", "host") or manifest.secret(trigger, "host")
        if url is None:
            return unknown("KEDA's URL is not in the manifest", f"it must name the virtual host {wanted}")
        seen = keda_vhost(str(url), at(trigger, "metadata", "vhostName"))
        if seen != wanted:
            return fail(
                f"KEDA reads the virtual host {seen} out of its URL, the pods use {wanted}",
                f'set vhostName: "{wanted}" in the trigger, or end the URL with it, without a slash after it',
            )
        return ok(f"KEDA looks at {seen}")
    return unknown("there is no trigger: see kubernetes.trigger.rabbitmq")


def _unknown_vhost(_manifest: Manifest, _settings: Settings) -> Finding:
    return unknown("broker.url is not known here", "set its variable to have KEDA's URL compared with it")


def owed_work(manifest: Manifest, settings: Settings) -> Finding:
    queue, view = settings.broker.queue, f"{names_of(settings.store).tasks}_owed_work"
    right = f"SELECT COUNT(*) FROM {view} WHERE queue = '{queue}'"  # noqa: S608  # shown, not run
    queries = [str(at(each, "metadata", "query")) for each in manifest.triggers("mysql")]
    if not queries:
        return fail("no trigger looks at the database: what has no message wakes no pod", f"add one with: {right}")
    if not any(view in query.replace("`", "") for query in queries):
        return fail(f"no trigger asks {view}", f"set query: {right}")
    if not any(f"'{queue}'" in query or f'"{queue}"' in query for query in queries):
        return fail(f"the query is not about the queue {queue}", f"set query: {right}")
    return ok(f"it counts what {view} has of {queue}")


def values(manifest: Manifest, settings: Settings) -> Finding:
    concurrency = settings.worker.concurrency
    given = [at(each, "metadata", "value") for each in manifest.triggers("rabbitmq")]
    given += [at(each, "metadata", "queryValue") for each in manifest.triggers("mysql")]
    try:
        numbers = [float(str(each)) for each in given if each is not None]
    except ValueError:
        return fail(f"value and queryValue are {given}", "write numbers, in quotes")
    if too_large := [number for number in numbers if number > concurrency]:
        return warn(
            f"a value of {too_large[0]:g} for pods that run {counted(concurrency)} each: too few pods, "
            "and busy ones go",
            f"set value and queryValue to {concurrency} or less",
        )
    return ok(
        f"no more tasks for a pod than the {concurrency} that it runs; at most {counted(manifest.most_pods, 'pod')}"
    )


def grace(manifest: Manifest, settings: Settings) -> Finding:
    if not manifest.pod:
        return unknown("the pods are not in the manifest", f"give them {longest_exit(settings)} s at least")
    needed = longest_exit(settings)
    if manifest.grace < needed:
        return fail(
            f"terminationGracePeriodSeconds is {manifest.grace:g}, leaving may take {needed} s: pods are killed",
            f"set it to {needed} or more",
        )
    return ok(f"terminationGracePeriodSeconds {manifest.grace:g} is enough for the {needed} s that leaving may take")


def leaving(manifest: Manifest, settings: Settings) -> Finding:
    worker, arguments = settings.worker, manifest.arguments
    if manifest.is_cronjob:
        if worker.burst or worker.idle_timeout or {"--once", "--burst", "-b"} & set(arguments):
            return ok("the pods leave when there is nothing to do")
        return fail("the pods of a CronJob are not told to leave: the first one stays", "add --burst to args")
    if manifest.is_job:
        if "--once" not in arguments:
            return warn("the pods of a Job are not told to leave after a task", "add --once to args")
        if worker.idle_timeout < 2 * worker.lease:
            return warn(
                f"worker.idle_timeout is {worker.idle_timeout:g} s: a Job may leave too early to hear of a "
                "dead worker, or never",
                f"set it to {2 * worker.lease:g} at least",
            )
        return ok("a Job leaves after a task, or without one")
    if worker.idle_timeout or worker.burst or {"--once", "--burst", "-b"} & set(arguments):
        return fail(
            "pods of a Deployment leave by themselves: each time is a restart, later and later",
            "leave out idle_timeout, burst and --once",
        )
    if not manifest.scaled:
        return ok("the pods stay")
    if any(at(each, "spec", "replicas") is not None for each in manifest.objects if each.get("kind") == "Deployment"):
        return warn("the Deployment sets replicas: each apply undoes what KEDA did", "leave replicas out")
    return ok("the pods stay until KEDA takes them away")


_Checks = Mapping[str, Callable[[Manifest, Settings], Finding]]
_OF_KEDA: _Checks = {
    "kubernetes.trigger.rabbitmq": rabbitmq,
    "kubernetes.trigger.vhost": vhost,
    "kubernetes.trigger.owed_work": owed_work,
    "kubernetes.trigger.values": values,
}
_OF_PODS: _Checks = {"kubernetes.termination_grace": grace, "kubernetes.leaving": leaving}
