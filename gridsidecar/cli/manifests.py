"""`gridsidecar manifests`: what runs a configuration on Kubernetes, with compose or under systemd."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gridsidecar.cli.config_options import ConfigFile, config_file
from gridsidecar.cli.manifest_options import option_problems
from gridsidecar.cli.terminal import clean, say
from gridsidecar.errors import ConfigError, Fault, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gridsidecar.manifests import Application, Source

EPILOG = """
Examples:

gridsidecar manifests deployment --image example.org/worker:1.0 > deployment.yaml

gridsidecar manifests job --image example.org/worker:1.0 --name resize --max-replicas 50

gridsidecar manifests deployment --image example.org/node-app:1.0 --inject example.org/gridsidecar-bundle:0.1

gridsidecar manifests cronjob --image example.org/worker:1.0 --schedule "*/15 * * * *"

gridsidecar manifests secret > secret.yaml

Exit codes: 0, 64 usage, 78 configuration.
"""

ManifestKind = Literal["deployment", "job", "cronjob", "compose", "systemd", "secret"]


def manifests(
    kind: Annotated[
        ManifestKind,
        typer.Argument(
            help="deployment: for short tasks, scaled by KEDA; job: one for each task, by KEDA; cronjob: burst runs; "
            "compose: one machine; systemd: a unit; secret: one to fill in, for the first three.",
            metavar="KIND",
        ),
    ],
    config: ConfigFile = None,
    image: Annotated[str | None, typer.Option(help="The image with your handler.")] = None,
    inject: Annotated[
        str | None,
        typer.Option(
            help="An image with the bundle, which an init container copies: --image stays as it is.",
            metavar="IMAGE",
        ),
    ] = None,
    container: Annotated[
        str | None,
        typer.Option(
            help="An image of gridsidecar for a container of its own; handlers with mode: http are in that of --image.",
            metavar="IMAGE",
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of all that is made.")] = "gridsidecar",
    namespace: Annotated[str | None, typer.Option("-n", "--namespace", help="Else the one that kubectl uses.")] = None,
    secret: Annotated[str | None, typer.Option(help="The Secret with the variables; else as --name.")] = None,
    image_pull_secret: Annotated[
        list[str] | None, typer.Option(help="A Secret for the registry; again for more.", metavar="NAME")
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(help="So many pods of a deployment, without KEDA.", min=0, max=10_000)
    ] = None,
    max_replicas: Annotated[
        int | None, typer.Option(help="Most pods at a time; else 10, or 20 jobs.", min=1, max=10_000)
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="When a cronjob runs, as in cron.", metavar='"*/15 * * * *"')
    ] = None,
    pdb: Annotated[bool, typer.Option("--pdb", help="With a PodDisruptionBudget.")] = False,
    network_policy: Annotated[bool, typer.Option("--network-policy", help="With a NetworkPolicy.")] = False,
) -> None:
    """Print what runs this configuration: queue, probes, triggers and grace periods agree with it.

    Variables of the configuration stay variables: secret ones come from a Secret, which is only referred to, and others
    have the values of this shell.
    """
    from gridsidecar.manifests import Application
    from gridsidecar.manifests.application import BUNDLED
    from gridsidecar.manifests.suitability import KUBERNETES

    wishes: dict[str, object] = {"--image": image, "--inject": inject, "--container": container, "--name": name}
    wishes |= {"--namespace": namespace, "--secret": secret, "--image-pull-secret": image_pull_secret}
    wishes |= {"--schedule": schedule, "--pdb": pdb}
    wishes |= {"--replicas": replicas, "--max-replicas": max_replicas, "--network-policy": network_policy}
    unfit = list(option_problems(kind, wishes))
    file = config_file(config)
    if file is None:
        unfit.append("there is no config.yaml here: name the configuration with --config")
        raise UsageError("\n".join(unfit))
    source, wrong = _read(file, shown=kind in KUBERNETES)
    app = (
        None
        if source is None
        else Application(
            source=source,
            made_by=_made_by(),
            name=name,
            secret=secret or name,
            image=image or "",
            namespace=namespace,
            pull_secrets=tuple(image_pull_secret or ()),
            max_replicas=max_replicas or (20 if kind == "job" else 10),
            replicas=replicas,
            schedule=schedule or "",
            pdb=pdb,
            network_policy=network_policy,
            inject=inject,
            container=container,
            installed=shutil.which("gridsidecar") or BUNDLED,
        )
    )
    sys.stdout.write(_printed(kind, app, unfit, wrong))


def _printed(kind: ManifestKind, app: Application | None, unfit: Sequence[str], wrong: Sequence[Fault]) -> str:
    """The manifest. Raises UsageError or ConfigError with all that is wrong: with the options, with the configuration,
    and with it as what is to be printed."""
    from gridsidecar.manifests import KINDS
    from gridsidecar.manifests.suitability import doubts, faults

    wrong = [*wrong, *(faults(kind, app) if app else ())]
    if unfit:
        raise UsageError("\n".join([*unfit, *map(str, wrong)]))
    if wrong or app is None:
        raise ConfigError(wrong)
    for doubt in doubts(kind, app):
        say(doubt)
    return KINDS[kind](app)


def _read(file: str, *, shown: bool) -> tuple[Source | None, list[Fault]]:
    """The configuration, where anything of it can be used, and what is wrong with it."""
    from gridsidecar.manifests import Source, read_source

    try:
        return read_source(file, os.environ, shown=shown), []
    except ConfigError as error:
        return error.usable if isinstance(error.usable, Source) else None, error.faults


def _made_by() -> str:
    """This command, for whoever wants the file anew."""
    return clean(shlex.join(["gridsidecar", *sys.argv[1:]]))
